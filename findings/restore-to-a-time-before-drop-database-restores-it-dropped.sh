#!/usr/bin/env bash
# PostgreSQL 15: point-in-time recovery to a time before DROP DATABASE gives a cluster in which that database is gone.
#
# From memory: recovery_target_time a moment before the DROP DATABASE brings the database back, as it does a dropped table.
#
# In fact recovery looks at a time target only at commits, aborts and restore points, so it replays on until it meets a commit that is later
# than the target. DROP DATABASE removes the files by a WAL record of its own, written before its commit. If no other transaction ended
# between the target and the DROP, that record is replayed, and recovery stops right before the commit: pg_database still has the row, marked
# as invalid, and the folder of the database is gone. The log says "recovery stopping before commit", as if all were well.
# A standby with recovery_min_apply_delay has the same gap, since the delay too waits at commits and restore points only.
#
# recovery_target_lsn with the pg_current_wal_lsn() of before the DROP keeps the files and fails as well: by default the record that
# *starts* at that position is replayed, and it is the one that marks the database as invalid. With recovery_target_inclusive = off it is whole.
# So is a restore point or a commit made just before.
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
mkdir data backup archive socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data backup archive socket
chmod 700 backup
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT [DATABASE]
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d "${3:-postgres}" -c "$2"
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
as sh -c "printf '%s\n' 'archive_mode = on' 'autovacuum = off' \"archive_command = 'cp %p $work/archive/%f'\" >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE DATABASE shop'
ask 5001 'CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id' shop
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D backup -c fast --no-sync
ask 5001 'INSERT INTO orders VALUES (1001)' shop
target_time=$(ask 5001 'SELECT clock_timestamp()')
ask 5001 'SELECT pg_sleep(1)' >/dev/null # the DROP is clearly later
target_lsn=$("$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c 'SELECT pg_current_wal_lsn()' -c 'DROP DATABASE shop')
ask 5001 'CREATE TABLE later ()'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null

restore() { # NUMBER NAME TARGET_SETTINGS
  cp -a backup "$2"
  as sh -c "printf '%s\n' 'archive_mode = off' \"restore_command = 'cp $work/archive/%f %p'\" 'recovery_target_action = promote' \
    \"$3\" >>$2/postgresql.conf; touch $2/recovery.signal"
  start "$2" "$1"
  until_is "$1" 'SELECT pg_is_in_recovery()' f
  folder=gone
  [ ! -d "$2/base/$(ask "$1" "SELECT oid FROM pg_database WHERE datname = 'shop'")" ] || folder=there
  marked=$(ask "$1" "SELECT datconnlimit FROM pg_database WHERE datname = 'shop'")
  rows=$(ask "$1" 'SELECT count(*) FROM orders' shop 2>&1) || :
  printf '%s: folder %s, datconnlimit %s, rows: %s\n' "$2" "$folder" "$marked" "$rows"
}
restore 5002 time "recovery_target_time = '$target_time'"
[ "$folder" = gone ] && [ "$marked" = -2 ] && [[ $rows == *'cannot connect to invalid database "shop"'* ]] || exit 1
restore 5003 lsn "recovery_target_lsn = '$target_lsn'"
[ "$folder" = there ] && [ "$marked" = -2 ] && [[ $rows == *'cannot connect to invalid database "shop"'* ]] || exit 1
restore 5004 lsn_exclusive "recovery_target_lsn = '$target_lsn'
recovery_target_inclusive = off"
[ "$folder" = there ] && [ "$marked" = -1 ] && [ "$rows" = 1001 ]
