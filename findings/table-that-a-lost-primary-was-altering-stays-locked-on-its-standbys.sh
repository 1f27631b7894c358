#!/usr/bin/env bash
# PostgreSQL 15: a table that the primary was altering when it was lost stays locked for all readers of its standbys, also after their restart.
#
# From memory: locks end with their session, and sessions with their server. So when a primary is lost in the middle of a migration, its standbys
# serve the old state of all tables, until one of them is promoted; what was not committed is of no effect anywhere.
#
# In fact a standby replays each AccessExclusiveLock, and gives it up only when the WAL says so: by the transaction's end or by what the primary
# writes after its next start. A primary that is down writes neither. The standby's start-up process holds the lock, and readers of the table wait
# without a limit, as max_standby_streaming_delay is for replay that waits for readers, not the other way round. A restart of the standby takes
# the lock again from the WAL. So the standbys that were to serve reads during the outage serve all tables but the one of the migration, for as
# long as nobody is promoted and the primary is away. Readers of standbys need a lock_timeout.
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
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002

mkfifo asks
"$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres <asks >answers 2>/dev/null &
migration=$!
exec 3>asks
echo "BEGIN; ALTER TABLE t ADD j int; SELECT 'altered';" >&3
until [ -s answers ]; do sleep 0.05; done
ask 5001 'CREATE TABLE u ()' # its commit takes the WAL before it to the standby
until_is 5002 "SELECT count(*) FROM pg_class WHERE relname = 'u'" 1
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
exec 3>&-
wait "$migration" || :
reads() { ask 5002 "SET lock_timeout = '3s'; SELECT count(*) || ' rows' FROM t" 2>&1 | head -n 1 || :; }
lost=$(reads)
holder=$(ask 5002 "SELECT mode || ' of ' || backend_type FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE relation = 't'::regclass")
other=$(ask 5002 "SELECT count(*) || ' rows' FROM u")
as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null
start standby 5002
restarted=$(reads)
ask 5002 'SELECT pg_promote()' >/dev/null
promoted=$(reads)
printf 'primary lost: %s (another table: %s)\nthe lock: %s\nstandby restarted: %s\npromoted: %s\n' "$lost" "$other" "$holder" "$restarted" "$promoted"
waits='ERROR:  canceling statement due to lock timeout'
[ "$lost" = "$waits" ] && [ "$other" = '0 rows' ] && [ "$holder" = 'AccessExclusiveLock of startup' ] && [ "$restarted" = "$waits" ] &&
  [ "$promoted" = '0 rows' ]
