#!/usr/bin/env bash
# PostgreSQL 15: a copy of a subscriber, started to try a backup, takes rows from the publisher that the real subscriber then never gets.
#
# From memory: a base backup that is started on another host without clients and without an archive disturbs nobody. It knows its subscription, but
# its slot on the publisher is in use, so the publisher refuses a second consumer; and a slot sends what the one who asks has not got.
#
# In fact the copy starts its apply worker at once, which tries again every 5 s and gets in as soon as the real one is away for a moment: a
# restart, a failover, a cut of the network. From then on the real subscriber is refused, with nothing but lines in its log, and what the copy
# has taken is confirmed: when the copy is gone the slot has moved, and the real one continues behind it, without those rows. The same goes
# for a standby of a subscriber that is promoted for a test. Start a copy with max_logical_replication_workers = 0, and without the
# network of production.
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
as sh -c "printf '%s\n' 'wal_level = logical' 'autovacuum = off' 'wal_retrieve_retry_interval = 500ms' >>data/postgresql.conf"
cp -a data publisher
start publisher 5001
start data 5002
for number in 5001 5002; do ask "$number" 'CREATE TABLE t (i int PRIMARY KEY)'; done
ask 5001 'CREATE PUBLICATION p FOR TABLE t'
ask 5002 "CREATE SUBSCRIPTION s CONNECTION 'host=$work/socket port=5001 user=postgres dbname=postgres' PUBLICATION p" 2>/dev/null
ask 5001 'INSERT INTO t VALUES (1)'
until_is 5002 'SELECT count(*) FROM t' 1
mkdir -m 700 copy
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup copy
as "$bin/pg_basebackup" -h "$work/socket" -p 5002 -U postgres -D copy -c fast --no-sync
start copy 5003 # the backup is tried
for _ in $(seq 200); do ! grep -q 'is active for PID' copy/server.log || break; sleep 0.1; done
refused=$(grep -c 'is active for PID' copy/server.log)
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # the real one is restarted
until_is 5001 'SELECT active FROM pg_replication_slots' t
start data 5002
ask 5001 'INSERT INTO t VALUES (2), (3)'
until_is 5003 'SELECT count(*) FROM t' 3
until_is 5001 'SELECT confirmed_flush_lsn = pg_current_wal_flush_lsn() FROM pg_replication_slots' t
as "$bin/pg_ctl" -D copy -m fast -w stop >/dev/null # the trial is over
until_is 5001 'SELECT active FROM pg_replication_slots' t
ask 5001 'INSERT INTO t VALUES (4)'
until_is 5002 'SELECT count(*) FROM t WHERE i = 4' 1
rows() { ask "$1" 'SELECT array_agg(i ORDER BY i) FROM t'; } # NUMBER
published=$(rows 5001) subscribed=$(rows 5002)
printf 'while the real subscriber is connected the copy is refused: %s\npublisher: %s\nsubscriber, after the trial: %s\n' \
  "$([ "$refused" -gt 0 ] && echo yes)" "$published" "$subscribed"
[ "$refused" -gt 0 ] && [ "$published" = '{1,2,3,4}' ] && [ "$subscribed" = '{1,4}' ]
