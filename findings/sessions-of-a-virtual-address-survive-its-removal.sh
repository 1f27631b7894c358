#!/usr/bin/env bash
# Linux and PostgreSQL 15: a virtual address that is taken off the primary's host ends no session, and the same sessions write when it comes back.
#
# From memory: the clients of an address that moves are cut off: with the address the host's connections on it are gone, the server ends their
# sessions and rolls back, and the clients get an error and connect to where the address is now. So moving the address moves the clients.
#
# In fact the kernel keeps connections whose address it has no more, and only cannot send. The server sees no end: the session stays with its
# transaction and its locks until TCP gives up (by default after many minutes where an answer is under way, else after two hours). The client
# waits for its answer. If the address comes back, after a failover and a failback or because whoever manages it had a restart, they
# continue as if nothing had been, and a transaction from before the move is committed. The removal of an address fences nobody: end the
# server, or its sessions, first.
#
# Seen on Linux 6.18 with PostgreSQL 15.18 (Debian 12).
# Fails if that changes. It runs as root, in network namespaces of its own, with iproute2, and the server as the user nobody; it needs the libraries
# of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
hosts=()
finish() {
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || :
  for pid in "${hosts[@]}"; do kill "$pid" || :; done
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; }
for _ in 1 2; do # the server's host and the client's
  unshare --net sleep 300 &
  hosts+=($!)
done
for pid in "${hosts[@]}"; do until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done; done
on() { nsenter --net="/proc/${hosts[$1]}/ns/net" "${@:2}"; } # HOST COMMAND...
on 0 ip link add cable type veth peer name cable netns "${hosts[1]}"
on 0 ip address add 192.0.2.1/24 dev cable
on 1 ip address add 192.0.2.2/24 dev cable
for host in 0 1; do on $host ip link set cable up; done
address() { on 0 ip address "$1" 192.0.2.100/32 dev cable; } # add|del
address add
mkdir data socket
chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as sh -c 'echo "host all all 192.0.2.0/24 trust" >>data/pg_hba.conf'
"$bin/postgres" --version
uname -sr
on 0 setpriv --reuid nobody --regid nogroup --clear-groups -- "$bin/pg_ctl" -D data -l data/server.log -w \
  -o "-p 5001 -k '$work/socket' -c listen_addresses=* -c fsync=off" start >/dev/null
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
ask 'CREATE TABLE t (i int)'
mkfifo asks
on 1 "$bin/psql" -XAtq "host=192.0.2.100 port=5001 user=postgres dbname=postgres" <asks >answers 2>&1 &
client=$!
exec 3>asks
echo "BEGIN; LOCK TABLE t; INSERT INTO t VALUES (1); SELECT 'inserted';" >&3
until [ -s answers ]; do sleep 0.05; done
address del
echo "COMMIT; SELECT 'committed';" >&3
sleep 10
new=$(on 1 "$bin/psql" -XAtq "host=192.0.2.100 port=5001 user=postgres dbname=postgres connect_timeout=3" -c 'SELECT 1' 2>&1) || :
without="$(tail -n 1 answers), session $(ask "SELECT state || ' with ' || count(l) || ' lock' FROM pg_stat_activity a JOIN pg_locks l USING (pid)
  WHERE client_addr = '192.0.2.2' AND relation = 't'::regclass AND mode = 'AccessExclusiveLock' GROUP BY state")"
address add
for _ in $(seq 300); do ! grep -q 'committed\|error' answers || break; sleep 0.1; done
with="$(tail -n 1 answers), rows: $(ask 'SELECT count(*) FROM t')"
exec 3>&-
wait "$client"
printf '10 s without the address, a new client: %s\nthe client: %s\nthe address is back: %s\n' "${new##*failed: }" "$without" "$with"
[ "$new" != 1 ] && [ "$without" = 'inserted, session idle in transaction with 1 lock' ] && [ "$with" = 'committed, rows: 1' ]
