#!/usr/bin/env bash
# PostgreSQL 18: what pg_createsubscriber leaves in the settings keeps the subscriber from having a standby, or makes it a second primary.
#
# From memory: pg_createsubscriber turns a standby into a subscriber and removes what it needed on the way. The result is an ordinary
# primary, which gets a standby of its own like any other: pg_basebackup --write-recovery-conf, start, done.
#
# In fact the tool writes eight recovery settings into postgresql.auto.conf, recovery_target_lsn and recovery_target_action = promote among them,
# and leaves them there. The subscriber does not heed them, as it is no standby. But pg_basebackup copies them, so each standby of it ends at
# its start with FATAL "requested recovery stop point is before consistent recovery point". Whoever then mends the standby only gets the worse
# half: after a switchover the subscriber comes back with standby.signal, finds that its target has been reached, and promotes
# itself. Two primaries run, on two timelines, and the log speaks of a recovery that stopped where it was told to. ALTER SYSTEM RESET
# recovery_target_lsn on the subscriber, right after the conversion, avoids both.
#
# Seen on 18.6 (Debian, forky); 17.12 does the same.
# Fails if that changes. It runs as root on Debian, and the servers as the user nobody; PostgreSQL 18 is unpacked by ../test/versions.
set -euo pipefail
bin=$("$(dirname "$0")/../test/versions" 18)
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
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- env HOME="$work" "$@"; }
mkdir -m 700 publisher subscriber second third socket
chown nobody:nogroup publisher subscriber second third socket
as "$bin/initdb" -D publisher -U postgres -A trust --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null 2>&1
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
copy() { # NUMBER FOLDER: a standby of the server with that number, from its running data
  as "$bin/pg_basebackup" -h "$work/socket" -p "$1" -U postgres -D "$2" -c fast --write-recovery-conf --no-sync
}
verdict() { # FOLDER NUMBER: whether it starts, or why not
  if start "$1" "$2"; then ask "$2" "SELECT 'starts, in recovery: ' || pg_is_in_recovery()"
  else grep -o 'FATAL: .*' "$1/server.log" | tail -n 1; fi
}
"$bin/pg_createsubscriber" --version
as sh -c "echo 'wal_level = logical' >>publisher/postgresql.conf"
start publisher 5001
ask 5001 'CREATE TABLE t (i int PRIMARY KEY)'
copy 5001 subscriber
as "$bin/pg_createsubscriber" -D subscriber -P "host=$work/socket port=5001 user=postgres dbname=postgres" -d postgres \
  -p 5002 -s "$work/socket" -U postgres >/dev/null 2>&1
start subscriber 5002
settings=$(grep '^recovery_target' subscriber/postgresql.auto.conf)
copy 5002 second
copied=$(verdict second 5003)
as sed -i /^recovery_target/d second/postgresql.auto.conf # the standby is mended; the subscriber is not
mended=$(verdict second 5003)
as "$bin/pg_ctl" -D subscriber -m fast -w stop >/dev/null # a switchover
ask 5003 'SELECT pg_promote()' >/dev/null
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5003 user=postgres'\" >>subscriber/postgresql.auto.conf
  touch subscriber/standby.signal"
start subscriber 5002
ask 5003 'CREATE TABLE u ()'
until_is 5002 'SELECT pg_is_in_recovery()' f
timelines=$(for number in 5002 5003; do ask "$number" 'SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)'; done | paste -sd ' ')
printf '%s\na standby of the subscriber: %s\nthe same without these lines: %s\nafter a switchover both are primaries, on the timelines %s\n' \
  "$settings" "$copied" "$mended" "$timelines"
ends='FATAL:  requested recovery stop point is before consistent recovery point'
[ "$copied" = "$ends" ] && [ "$mended" = 'starts, in recovery: true' ] && [ "$timelines" = '00000004 00000003' ]
