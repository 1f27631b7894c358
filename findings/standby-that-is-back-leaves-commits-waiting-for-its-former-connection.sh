#!/usr/bin/env bash
# PostgreSQL 15: commits wait for the former connection of a synchronous standby that is back, streams and has acknowledged them.
#
# From memory: a standby that has lost its connection connects anew, catches up and is synchronous again, and commits return at once. What is left
# of the former connection on the primary is replaced by the new one, as both bear the same name.
#
# In fact nothing replaces it. As long as the primary has not noticed the end of the former connection (a host that lost its power, a
# firewall that has forgotten it) there are two WAL senders of that name. Both have the priority of the name, one of them is chosen, and it
# may be the one that came first: it stays "sync", the new one is "potential", and each commit waits until wal_sender_timeout ends the dead one,
# 60 s by default, and for ever with 0. With ANY 1 (...) instead of FIRST, or of a plain list, which means FIRST 1, the acknowledgement of either
# counts, and commits return. A short wal_sender_timeout or tcp_user_timeout shortens the wait.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
# Fails if that changes. As root it runs the servers as the user nobody; it needs python3 and the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
proxy=
finish() {
  [ -z "$proxy" ] || kill "$proxy" || :
  for pid in "$work"/*/postmaster.pid; do
    [ ! -f "$pid" ] || as "$bin/pg_ctl" -D "${pid%/*}" -m immediate -w stop >/dev/null || :
  done
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir data socket proxy
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket proxy
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'wal_sender_timeout = 15s' 'wal_retrieve_retry_interval = 200ms' 'autovacuum = off' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/proxy port=5001 user=postgres application_name=one'\" >>standby/postgresql.conf
  touch standby/standby.signal"
# A network between the two. At a signal it drops the connections that there are: the standby sees their end, the primary does not.
cat >proxy.py <<'PYTHON'
import os, select, signal, socket, sys

os.umask(0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
peer, standbys, dropped = {}, set(), []

def drop(*_):
    for near in standbys:
        far = peer.pop(near)
        del peer[far]
        dropped.append(far)
        near.close()
    standbys.clear()

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
while True:
    if signal.sigtimedwait([signal.SIGUSR1], 0):
        drop()
    for ready in select.select([listener, *peer], [], [], 0.1)[0]:
        if ready is listener:
            near, far = listener.accept()[0], socket.socket(socket.AF_UNIX)
            far.connect(sys.argv[2])
            peer[near], peer[far] = far, near
            standbys.add(near)
        elif ready in peer:
            data = ready.recv(65536)
            if data:
                peer[ready].sendall(data)
                continue
            for end in ready, peer[ready]:
                del peer[end]
                standbys.discard(end)
                end.close()
PYTHON
/usr/bin/python3 proxy.py "$work/proxy/.s.PGSQL.5001" "$work/socket/.s.PGSQL.5001" &
proxy=$!
start data 5001
for _ in $(seq 100); do [ ! -S proxy/.s.PGSQL.5001 ] || break; sleep 0.05; done
start standby 5002
senders() { # of the former connection and the new one
  ask 5001 "SELECT string_agg(concat_ws(' ', state, sync_state, CASE WHEN flush_lsn = pg_current_wal_flush_lsn() THEN 'has' ELSE 'lacks' END), ', '
    ORDER BY backend_start) FROM pg_stat_replication"
}
course() { # SYNCHRONOUS_STANDBY_NAMES SYNC_STATE: a commit after the standby is back
  ask 5001 "ALTER SYSTEM SET synchronous_standby_names = '$1'"
  ask 5001 'SELECT pg_reload_conf()' >/dev/null
  until_is 5001 "SELECT string_agg(sync_state, ' ') FROM pg_stat_replication" "$2"
  kill -USR1 "$proxy"
  until_is 5001 "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'" 2
  local from=$EPOCHREALTIME commit
  ask 5001 'INSERT INTO t VALUES (1)' &
  commit=$!
  sleep 3
  seen=$(senders)
  wait "$commit"
  took=$(((${EPOCHREALTIME/./} - ${from/./}) / 1000000))
  [ $took -gt 5 ] || took='less than 5'
  printf '%s: a commit takes %s s; the WAL senders after 3 s: %s\n' "$1" "$took" "$seen"
  until_is 5001 'SELECT count(*) FROM pg_stat_replication' 1
}
course one sync
first=$took/$seen
course 'ANY 1 (one)' quorum
any=$took/$seen
[ "${first%%/*}" != 'less than 5' ] && [ "${first#*/}" = 'streaming sync lacks, streaming potential has' ] &&
  [ "$any" = 'less than 5/streaming quorum lacks, streaming quorum has' ]
