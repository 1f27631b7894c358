#!/usr/bin/env bash
# PostgreSQL 15 on Linux: tcp_user_timeout ends the connections of clients that are well and answer, but do not read for that long.
#
# From memory: tcp_user_timeout limits how long sent data may remain unacknowledged (so the manual), thus it finds peers that are dead or cut off
# much sooner than retransmission does. A peer whose kernel answers every probe is neither, however slowly its program reads.
#
# In fact the kernel counts the time for which it cannot send, too. Once the client's receive buffer is full its kernel announces a window of
# zero, and goes on to acknowledge each probe; when that has lasted for tcp_user_timeout, the server's kernel aborts the connection all the same:
# "could not send data to client: Connection timed out". So a limit of some seconds, set for quick failovers, can end a pg_dump whose disk
# stalls, a pg_basebackup to a slow target, or a client that works on one row of a large result, while the network is perfect. The limit must
# be longer than the longest pause of any reader.
#
# Seen on 15.18 (Debian 12) with Linux 6.18; 18.6 does the same.
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
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
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
"$bin/postgres" --version
uname -sr
for port in $(shuf -i 20000-30000 -n 20); do # one that is free
  as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p $port -k '$work/socket' -c listen_addresses=127.0.0.1 -c fsync=off" start >/dev/null 2>&1 ||
    continue
  break
done
# The reader takes the first of 60,000 rows and rests for 8 s; what the kernels hold of 60 MB is full by then.
read_slowly() { # SETTING: how many rows arrive
  PGOPTIONS="-c tcp_user_timeout=$1" "$bin/psql" -XAtq "host=127.0.0.1 port=$port user=postgres dbname=postgres" \
    -c "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 60000)) TO STDOUT" 2>/dev/null | { read -r _; sleep 8; echo $((1 + $(wc -l))); }
}
without=$(read_slowly 0)
with=$(read_slowly 3s) || :
said=$(grep -o 'could not send data to client: .*' data/server.log) || :
printf 'rows without a limit: %s\nrows with tcp_user_timeout = 3s: %s\nthe server: %s\n' "$without" "$with" "$said"
[ "$without" = 60000 ] && [ "${with%%$'\n'*}" -lt 60000 ] && [ "$said" = 'could not send data to client: Connection timed out' ]
