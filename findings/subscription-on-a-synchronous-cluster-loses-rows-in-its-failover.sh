#!/usr/bin/env bash
# PostgreSQL 15: a subscriber with a synchronous standby still loses rows in its own failover, and they never come again.
#
# From memory: when a subscriber fails over to its standby, the standby knows from its replication origin how far it came, asks the publisher
# for what follows, and misses nothing; with synchronous_standby_names set there is not even anything to ask for.
#
# In fact a subscription sets synchronous_commit = off for its own transactions unless told otherwise, so they do not wait for the standby
# although all others on that server do. It reports them to the publisher as flushed once they are on the local disk, and the publisher's slot
# moves forward. After the failover the new primary asks for the older position, and the publisher starts at the slot's position instead, with
# no more than a line in its own log ("has been already streamed, forwarding to"). The rows between are missing in the middle of the table;
# no view shows it, and replication continues. A subscription WITH (synchronous_commit = on) waits for the standby, and loses nothing.
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
as sh -c "printf '%s\n' 'wal_level = logical' 'wal_retrieve_retry_interval = 100ms' >>data/postgresql.conf"
cp -a data publisher
start publisher 5001
start data 5002
ask 5001 'CREATE TABLE t (i int PRIMARY KEY)'
ask 5001 'CREATE PUBLICATION p FOR TABLE t'
ask 5002 'CREATE TABLE t (i int PRIMARY KEY)'
ask 5002 "CREATE SUBSCRIPTION s CONNECTION 'host=$work/socket port=5001 user=postgres dbname=postgres' PUBLICATION p" 2>/dev/null
as "$bin/pg_basebackup" -h "$work/socket" -p 5002 -U postgres -D standby -c fast --no-sync -R
start standby 5003
ask 5002 "ALTER SYSTEM SET synchronous_standby_names = '*'"
ask 5002 'SELECT pg_reload_conf()' >/dev/null
until_is 5002 'SELECT sync_state FROM pg_stat_replication' sync
ask 5001 'INSERT INTO t VALUES (1)'
until_is 5003 'SELECT count(*) FROM t' 1
as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null # the standby is away for a moment: commits wait

"$bin/psql" -XAtq -h "$work/socket" -p 5002 -U postgres -d postgres -c 'CREATE TABLE ordinary ()' >/dev/null 2>&1 &
until_is 5002 "SELECT wait_event FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE ordinary%'" SyncRep
ask 5001 'INSERT INTO t VALUES (2)'
until_is 5002 'SELECT count(*) FROM t' 2
until_is 5001 'SELECT confirmed_flush_lsn = pg_current_wal_flush_lsn() FROM pg_replication_slots' t
echo 'an ordinary commit waits for the standby, the row of the subscription is visible, and the publisher is told that it is safe'

as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
start standby 5003
ask 5003 'SELECT pg_promote()' >/dev/null
ask 5001 'INSERT INTO t VALUES (3)'
until_is 5003 'SELECT count(*) FROM t WHERE i = 3' 1
published=$(ask 5001 'SELECT array_agg(i ORDER BY i) FROM t')
subscribed=$(ask 5003 'SELECT array_agg(i ORDER BY i) FROM t')
printf 'publisher: %s\nsubscriber after its failover: %s\n' "$published" "$subscribed"
[ "$published" = '{1,2,3}' ] && [ "$subscribed" = '{1,3}' ] &&
  grep -q 'has been already streamed, forwarding to' publisher/server.log
