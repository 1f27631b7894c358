#!/usr/bin/env bash
# PostgreSQL 15: the slot that a former primary had for its standby keeps VACUUM on the new primary from removing anything.
#
# From memory: after a switchover the former primary still has the slot of the one that is primary now. Nobody uses it, so it keeps WAL on the
# former primary until it is dropped. The new primary has slots of its own; what it can remove depends on their xmin, which comes from the
# queries on its standbys.
#
# In fact a standby with hot_standby_feedback reports the oldest transaction that any of its own slots holds, too, as a cascading standby must.
# The slot that was left has the xmin of the moment of the switchover, and nothing moves it. So the new primary keeps each row version since
# then, in all tables, with a healthy standby, no long query and no slot that is behind anywhere: its own slot is active and its xmin looks like a
# query's. pg_replication_slots of the standby has the cause. pg_replication_slot_advance, with which such a slot is kept from holding WAL, moves
# its position and not its xmin. Drop such slots right after a switchover.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
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
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
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
as sh -c "printf '%s\n' 'autovacuum = off' 'hot_standby_feedback = on' 'wal_receiver_status_interval = 1s' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
ask 5001 'INSERT INTO t VALUES (0)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data second
follow() { # FOLDER NUMBER SLOT
  as sh -c "printf '%s\n' \"primary_conninfo = 'host=$work/socket port=$2 user=postgres'\" 'primary_slot_name = $3' >>$1/postgresql.conf
    touch $1/standby.signal"
}
follow second 5001 second
start data 5001
ask 5001 "SELECT pg_create_physical_replication_slot('second', true)" >/dev/null
start second 5002
until_is 5001 'SELECT xmin IS NOT NULL FROM pg_replication_slots' t
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # a switchover
ask 5002 'SELECT pg_promote()' >/dev/null
ask 5002 "SELECT pg_create_physical_replication_slot('first', true)" >/dev/null
follow data 5002 first
start data 5001
until_is 5002 'SELECT xmin IS NOT NULL FROM pg_replication_slots' t
slots() { ask "$1" "SELECT string_agg(concat_ws(' ', slot_name, CASE WHEN active THEN 'active' ELSE 'inactive' END), ', ') FROM pg_replication_slots"; }
vacuum() { # what it leaves of 100 dead row versions, or more
  "$bin/psql" -XAtq -h "$work/socket" -p 5002 -U postgres -d postgres -c 'VACUUM VERBOSE t' 2>&1 |
    sed -n 's/^tuples: \([0-9]*\) removed, .* \([0-9]*\) are dead but not yet removable/\1 removed, \2 not yet removable/p'
}
for i in $(seq 100); do echo "UPDATE t SET i = $i;"; done | "$bin/psql" -XAtq -h "$work/socket" -p 5002 -U postgres -d postgres
until_is 5001 "SELECT pg_last_wal_replay_lsn() >= '$(ask 5002 'SELECT pg_current_wal_lsn()')'" t
ask 5001 "SELECT pg_replication_slot_advance('second', pg_last_wal_replay_lsn())" >/dev/null
behind=$(ask 5001 "SELECT pg_last_wal_replay_lsn() - restart_lsn FROM pg_replication_slots")
sleep 5 # several reports of the standby
running=$(ask 5001 "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()")
left=$(vacuum)
primary=$(slots 5002) standby=$(slots 5001)
ask 5001 "SELECT pg_drop_replication_slot('second')" >/dev/null
until_is 5002 'SELECT age(xmin) FROM pg_replication_slots' 0
dropped=$(vacuum)
printf 'queries on the standby: %s; VACUUM on the primary: %s\nslots of the primary: %s; of the standby: %s, %s bytes behind\nthe inactive one dropped: %s\n' \
  "$running" "$left" "$primary" "$standby" "$behind" "$dropped"
[ "$behind" -lt 10000 ] && [ "$running" = 0 ] && [ "$left" = '0 removed, 100 not yet removable' ] &&
  [ "$primary" = 'first active' ] && [ "$standby" = 'second inactive' ] && [ "$dropped" = '100 removed, 0 not yet removable' ]
