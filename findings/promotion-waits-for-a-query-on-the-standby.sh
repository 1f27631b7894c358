#!/usr/bin/env bash
# PostgreSQL 15: a promotion waits until the standby's queries let its replay pass, with max_standby_streaming_delay = -1 for ever.
#
# From memory: a promotion does not wait for readers. Their sessions survive it, and where a query is in conflict with the replay, the promotion
# replays what there is at once and cancels the query: a primary that is needed is worth more than a report.
#
# In fact the start-up process does not look for a promotion while it waits for a conflicting query. A report that needs rows which the primary
# has removed and vacuumed away keeps the standby in recovery: until the query's end with a limit of -1, as standbys for reports have, else for
# what is left of the limit (30 s by default). pg_promote() returns false after its time and cancels nothing; the request stays, and takes
# effect unasked whenever the report ends. The limit cannot be lowered either: the process reads no configuration while it waits. The primary
# sees a standby that streams, synchronous if it is to be, only its replay_lsn is behind. End the standby's sessions before a promotion.
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
as sh -c "echo 'autovacuum = off' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS i'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "printf '%s\n' \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" 'max_standby_streaming_delay = -1' \
  >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002
ask 5001 "ALTER SYSTEM SET synchronous_standby_names = '*'"
ask 5001 'SELECT pg_reload_conf()' >/dev/null
until_is 5001 'SELECT sync_state FROM pg_stat_replication' sync

"$bin/psql" -XAtq -h "$work/socket" -p 5002 -U postgres -d postgres >report 2>&1 \
  -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM t' -c 'SELECT pg_sleep(600)' &
report=$!
until_is 5002 "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'" 1
ask 5001 'DELETE FROM t'
ask 5001 'VACUUM t'
ask 5001 'CREATE TABLE u ()'
shown=$(ask 5001 "SELECT state || ', ' || sync_state || ', replayed everything: ' || (replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost

promoted=$(ask 5002 'SELECT pg_promote(true, 8)' 2>&1)
held=$(ask 5002 "SELECT 'in recovery: ' || pg_is_in_recovery() || ', reports: ' || count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
ask 5002 'ALTER SYSTEM SET max_standby_streaming_delay = 0'
ask 5002 'SELECT pg_reload_conf()' >/dev/null
sleep 5
reloaded=$(ask 5002 "SELECT current_setting('max_standby_streaming_delay') || ', in recovery: ' || pg_is_in_recovery()")
ask 5002 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'" >/dev/null
until_is 5002 'SELECT pg_is_in_recovery()' f
wait "$report" || :
printf 'the standby before: %s\npg_promote within 8 s: %s\nthen: %s\n5 s after the limit was set to %s\nthe report ended: promoted\n' \
  "$shown" "${promoted##*$'\n'}" "$held" "$reloaded"
[ "$shown" = 'streaming, sync, replayed everything: false' ] && [ "${promoted##*$'\n'}" = f ] &&
  [ "$held" = 'in recovery: true, reports: 1' ] && [ "$reloaded" = '0, in recovery: true' ]
