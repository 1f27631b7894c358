#!/usr/bin/env bash
# PostgreSQL 15: a standby whose pg_wal was lost with its disk starts again, without a copy and without an archive.
#
# From memory: a server whose pg_wal is empty does not start. Its control file names a checkpoint record that it cannot read, it ends with
# "could not locate a valid checkpoint record", and a standby must be made anew by pg_basebackup.
#
# In fact that holds for a primary only. In standby mode the checkpoint record itself is asked for from wherever WAL comes from:
# with primary_conninfo the stream is begun at the redo point of the checkpoint in the control file, the primary sends what it still has,
# and the standby reads its checkpoint from that, replays, and streams on. So the way back after the loss of a WAL disk depends on the
# primary's wal_keep_size. While the primary is away the standby neither starts nor ends: it refuses all connections with "the database
# system is starting up", for as long as that lasts, and its log has no line about a checkpoint.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the servers as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
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
mkdir data standby socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data standby socket
chmod 700 standby
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER [OPTION OF pg_ctl]; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" "${3:--w}" -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null 2>&1
}
ask() { "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2" 2>&1 || :; } # NUMBER STATEMENT
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" "$2")" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
lose() { as find "$1/pg_wal" -type f -delete; }
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
"$bin/postgres" --version
as sh -c 'echo "wal_keep_size = 64MB" >>data/postgresql.conf'
start data 5001
ask 5001 "CREATE TABLE t ()"
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D standby -R -C -S one -c fast --no-sync
start standby 5002
until_is 5001 'SELECT state FROM pg_stat_replication' streaming
stop standby
lose standby
ask 5001 'INSERT INTO t DEFAULT VALUES'
start standby 5002
until_is 5002 'SELECT count(*) FROM t' 1
began=$(grep -o 'started streaming WAL.*' standby/server.log | tail -n 1)
redo=$(grep -o 'redo starts at.*' standby/server.log | tail -n 1)
back="started, and streams from $(ask 5002 "SELECT CASE WHEN status = 'streaming' THEN 'its primary' ELSE status END FROM pg_stat_wal_receiver")"

stop standby
lose standby
stop data
start standby 5002 -W
until_is 5002 'SELECT 1' "psql: error: connection to server on socket \"$work/socket/.s.PGSQL.5002\" failed: FATAL:  the database system is starting up"
log=$(grep -c 'checkpoint record' standby/server.log || :)
alone="it waits; lines about a checkpoint record in its log: $log"
start data 5001
until_is 5002 'SELECT count(*) FROM t' 1
returned=$(ask 5002 'SELECT pg_is_in_recovery()')

stop data
lose data
if start data 5001; then primary=started; else primary=$(grep -o 'PANIC.*' data/server.log | tail -n 1); fi
printf 'standby without WAL: %s\n  %s\n  %s\nwhile its primary is away: %s\nonce it is back: in recovery: %s\n' \
  "$back" "$began" "$redo" "$alone" "$returned"
printf 'primary without WAL: %s\n' "$primary"
[ "$back" = 'started, and streams from its primary' ] && [ "$log" -eq 0 ] && [ "$returned" = t ] &&
  [ "$primary" = 'PANIC:  could not locate a valid checkpoint record' ]
