#!/usr/bin/env bash
# PostgreSQL 18: a subscriber that is ahead of its promoted publisher misses the first rows that the new primary writes, without a word.
#
# From memory: a subscriber may have got rows that the promoted standby has not, which is bad enough, but known and over. It asks for a position
# that the new primary has not reached; a physical standby is refused then ("requested starting point is ahead of the WAL flush position"), so
# this is an error as well, or else the stream begins where the new primary's slot stands.
#
# In fact a logical stream starts, with a failover slot that was synchronised and all, and the new primary leaves out each transaction that commits
# before the position that was asked for. So as many bytes of WAL as the subscriber was ahead of the standby are missing of what the new
# primary writes: rows of the application's first seconds after the failover. The worker runs, the slot moves on, pg_stat_subscription_stats counts
# no error, and only a comparison of the tables shows it. The row that is lost on the new primary is on the subscriber, and those that are new
# are not. synchronized_standby_slots keeps a subscriber from getting ahead; after a failover without it copy the tables anew, or compare
# the subscriber's latest_end_lsn with the promotion's position.
#
# Seen on 18.6 (Debian, forky).
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
mkdir -m 700 publisher standby socket
chown nobody:nogroup publisher standby socket
as "$bin/initdb" -D publisher -U postgres -A trust --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
until_is() { # NUMBER STATEMENT ANSWER [STATEMENT_BEFORE]; the last one is asked for by that server's primary, 5001
  for _ in $(seq 200); do
    [ -z "${4:-}" ] || ask 5001 "$4" >/dev/null
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.1
  done
  echo "still not $3: $2"
  return 1
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'wal_level = logical' 'sync_replication_slots = on' 'hot_standby_feedback = on' 'autovacuum = off' \
  'wal_retrieve_retry_interval = 200ms' >>publisher/postgresql.conf"
cp -a publisher subscriber
start publisher 5001
start subscriber 5003
for number in 5001 5003; do ask "$number" 'CREATE TABLE t (i int PRIMARY KEY)'; done
ask 5001 'CREATE PUBLICATION p FOR TABLE t'
ask 5001 "SELECT pg_create_physical_replication_slot('standby', true)" >/dev/null
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D standby -c fast --no-sync -R -S standby -d dbname=postgres
start standby 5002
at() { echo "host=$work/socket port=$1 user=postgres dbname=postgres"; } # NUMBER
ask 5003 "CREATE SUBSCRIPTION s CONNECTION '$(at 5001)' PUBLICATION p WITH (failover = true)" 2>/dev/null
until_is 5002 "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = 's'" t 'SELECT pg_log_standby_snapshot()'

ask 5002 "ALTER SYSTEM SET primary_conninfo = ''" # the standby is cut off for a moment
ask 5002 'SELECT pg_reload_conf()' >/dev/null
until_is 5001 'SELECT count(*) FROM pg_stat_replication WHERE application_name <> $$s$$' 0
insert() { seq "$2" "$3" | sed 's/.*/INSERT INTO t VALUES (&);/' | "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres; } # NUMBER FROM TO
insert 5001 1 20
until_is 5003 'SELECT count(*) FROM t' 20
as "$bin/pg_ctl" -D publisher -m immediate -w stop >/dev/null # the primary is lost
ask 5002 'SELECT pg_promote()' >/dev/null
ask 5003 "ALTER SUBSCRIPTION s CONNECTION '$(at 5002)'"
until_is 5002 "SELECT active FROM pg_replication_slots WHERE slot_name = 's'" t
ask 5003 'SELECT pg_stat_reset_subscription_stats(NULL)' >/dev/null # it has counted the lost connection
insert 5002 101 400
until_is 5003 'SELECT count(*) FROM t WHERE i = 400' 1
rows() { ask "$1" "SELECT count(*) || ' rows, from ' || min(i) || ' to ' || max(i) FROM t WHERE i > 100"; } # NUMBER: of the new ones
published=$(rows 5002)
subscribed=$(rows 5003)
errors=$(ask 5003 'SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats')
lag=$(ask 5002 "SELECT active || ', ' || (invalidation_reason IS NULL) FROM pg_replication_slots WHERE slot_name = 's'")
printf 'written since the promotion, new primary: %s\nsubscriber: %s\nerrors: %s; the slot is active and valid: %s\n' \
  "$published" "$subscribed" "$errors" "$lag"
[ "$published" = '300 rows, from 101 to 400' ] && [ "$errors" = 0 ] && [ "$lag" = 'true, true' ] &&
  [[ $subscribed =~ ^([0-9]+)\ rows,\ from\ ([0-9]+)\ to\ 400$ ]] && [ "${BASH_REMATCH[1]}" -lt 300 ] && [ "${BASH_REMATCH[2]}" -gt 101 ]
