#!/usr/bin/env bash
# HAProxy 2.6: sessions that were opened before a reload stay on a server that is marked down after it, whatever on-marked-down says.
#
# From memory: "on-marked-down shutdown-sessions" closes all sessions of a server whose check fails, so with a check for the primary no client stays
# on the former one after a failover. A reload changes nothing of that: it keeps sessions, and its checks go on.
#
# In fact a reload leaves the sessions to the old worker, and that makes no checks any more, so it never learns that its server went down. Only the
# sessions of the new worker are closed. "shutdown sessions server" on the usual socket reaches the new worker only, and says nothing of
# the others; sent to the old worker, through the master's socket, it is refused with "Proxy is disabled.". Sessions of a pool live
# for days, so after a certificate's renewal or a new member, which need a reload, the next failover leaves them on a primary that
# is frozen, cut off or a standby by now. hard-stop-after in the global section limits that; before then each session of the old worker can be
# ended by its address, "@!PID show sess" and "@!PID shutdown session ADDRESS".
#
# Seen on HAProxy 2.6.12 (Debian 12); 3.2.26 does the same.
# Fails if that changes. It needs python3.
set -euo pipefail
VERSION=2.6.12-1+deb12u4
work=$(mktemp -d)
finish() {
  [ ! -f "$work/pid" ] || kill "$(cat "$work/pid")" || :
  [ -z "${servers:-}" ] || kill "$servers" || :
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "haproxy=$VERSION" liblua5.3-0 libopentracing1 libopentracing-c-wrapper0
for deb in ./*.deb; do dpkg -x "$deb" root; done
library=$(dirname "$(find root -name 'liblua5.3.so.0')")
haproxy() { LD_LIBRARY_PATH=$work/$library root/usr/sbin/haproxy "$@"; }
haproxy -v | head -n 1

# Two servers: each tells a client its name for every line, and a check (GET) whether the file "primary" names it.
cat >servers.py <<'PYTHON'
import socketserver, threading

class Session(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line.startswith(b"GET"):
                up = open("primary").read().strip() == self.server.name
                self.wfile.write(b"HTTP/1.0 %d x\r\n\r\n" % (200 if up else 503))
                return
            self.wfile.write(self.server.name.encode() + b"\n")

class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

for name in "one", "two":
    server = Server(name + ".sock", Session)
    server.name = name
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
PYTHON
echo one >primary
/usr/bin/python3 servers.py &
servers=$!
cat >haproxy.cfg <<CFG
global
  stats socket $work/admin.sock mode 600 level admin expose-fd listeners
  pidfile $work/pid
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen database
  bind unix@$work/database.sock
  option httpchk GET /primary
  http-check expect status 200
  default-server inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
  server one unix@$work/one.sock check
  server two unix@$work/two.sock check
CFG
cat >client.py <<'PYTHON'
import os, re, signal, socket, subprocess, time

def ask(path, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(line.encode() + b"\n")
        s.shutdown(socket.SHUT_WR)
        return s.makefile().read()

def until(what, true):
    for _ in range(400):
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("not seen: " + what)

def state(): # of the servers, as the worker in charge sees them
    rows = [r.split(",") for r in ask("admin.sock", "show stat").splitlines() if r.startswith("database,")]
    return {r[1]: r[17] for r in rows}

def settled(up):
    until(up + " is up", lambda: {n: s.split()[0] for n, s in state().items() if n in ("one", "two")} ==
          {n: "UP" if n == up else "DOWN" for n in ("one", "two")})

class Client:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect("database.sock")
    def __str__(self):
        try:
            self.s.sendall(b"who\n")
            return self.s.recv(9).decode().strip() or "closed"
        except OSError:
            return "closed"

def worker():
    return re.search(r"# workers\n(\d+)", ask("master.sock", "show proc")).group(1)

settled("one")
old, before = worker(), Client()
first = str(before)
os.kill(int(open("pid").read()), signal.SIGUSR2) # the reload
until("a new worker", lambda: worker() != old)
settled("one")
after = Client()
second = str(after)
with open("next", "w") as f:
    f.write("two")
os.rename("next", "primary") # the failover
settled("two")
print("opened before the reload: %s, then %s; after it: %s, then %s; a new one: %s" % (first, before, second, after, Client()))
ask("admin.sock", "shutdown sessions server database/one")
print("after 'shutdown sessions server' on the socket:", before)
kept = str(before)
refused = ask("master.sock", "@!%s shutdown sessions server database/one" % old).strip()
kept = str(before)
print("the same for the old worker: %s %s" % (refused, kept))
for session in re.findall(r"(0x\w+):.* be=database ", ask("master.sock", "@!%s show sess" % old)):
    ask("master.sock", "@!%s shutdown session %s" % (old, session))
print("after 'shutdown session' for each one:", before)
raise SystemExit(not (first == second == kept == "one" and refused == "Proxy is disabled." and str(after) == "closed" and str(Client()) == "two"))
PYTHON
for _ in $(seq 100); do [ ! -S two.sock ] || break; sleep 0.05; done
haproxy -W -S "$work/master.sock" -f haproxy.cfg -D 2>/dev/null
/usr/bin/python3 client.py
