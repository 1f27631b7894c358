#!/usr/bin/env bash
# PostgreSQL 15: a synchronous standby with too small a max_connections acknowledges commits, and shuts down when it is promoted.
#
# From memory: since PostgreSQL 14 a standby whose max_connections is below the primary's pauses its replay instead of shutting down, so
# it stays available, and a promotion ends the pause as it ends pg_wal_replay_pause().
#
# In fact the pause is a trap for the next failover. WAL is received and flushed as before, so the primary shows the standby as "streaming"
# and "sync", and commits return. pg_promote() does not end this pause: replay cannot pass the record of the change, the start-up
# process ends with FATAL "recovery aborted because of insufficient parameter settings", and the whole server goes down, at
# the moment when it is the only one left. pg_wal_replay_resume() does the same. Only a restart with the larger setting helps, so a candidate is
# to be asked for pg_get_wal_replay_pause_state() first; lag in bytes received shows nothing.
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
as sh -c "printf '%s\n' 'max_connections = 20' 'wal_retrieve_retry_interval = 100ms' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D standby -c fast --no-sync -R
start standby 5002
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
as sh -c "printf '%s\n' 'max_connections = 30' \"synchronous_standby_names = '*'\" >>data/postgresql.conf"
start data 5001
until_is 5001 'SELECT sync_state FROM pg_stat_replication' sync
until_is 5002 'SELECT pg_get_wal_replay_pause_state()' paused
ask 5001 'INSERT INTO t VALUES (1)' # returns: the standby has flushed it
seen=$(ask 5001 "SELECT state || ', ' || sync_state || ', ' || CASE WHEN flush_lsn >= pg_current_wal_insert_lsn() THEN 'all' ELSE 'not all' END
  || ' flushed' FROM pg_stat_replication")
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
promoted=$(ask 5002 'SELECT pg_promote()' 2>&1) || :
for _ in $(seq 400); do
  [ -f standby/postmaster.pid ] || break
  sleep 0.05
done
state=up
[ -f standby/postmaster.pid ] || state=down
log=$(grep -o 'FATAL:  recovery aborted because of .*' standby/server.log) || :
printf 'primary sees: %s\npg_promote: %s\nstandby: %s, %s\n' "$seen" "${promoted%%$'\n'*}" "$state" "$log"
[ "$seen" = 'streaming, sync, all flushed' ] && [ "$state" = down ] &&
  [ "$log" = 'FATAL:  recovery aborted because of insufficient parameter settings' ]
