#!/usr/bin/env bash
# PostgreSQL 15: pg_ctl -w start prints "server started" and exits 0 for a restore that then fails, and leaves no server.
#
# From memory: pg_ctl -w start waits until the server is up and exits 1 where it is not. A restore whose target is never reached ends with FATAL, so
# a script that restores and then starts with pg_ctl -w has failed, and knows it.
#
# In fact pg_ctl is done when the server takes read-only connections, which is as soon as the backup is consistent (hot_standby is on by default),
# long before the target. The recovery continues, ends with "recovery ended before configured recovery target was reached", and takes the server with
# it, after pg_ctl has said "server started" with exit code 0. If the WAL behind the backup is short the server may be gone before pg_ctl looks again: then
# it is exit code 1, so a try with little data shows what one expects. Ask the server until pg_is_in_recovery() is false, and fail when it is gone.
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
mkdir data archive socket
mkdir -m 700 restored
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data archive socket restored
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/%f'\" 'autovacuum = off' >>data/postgresql.conf"
start data 5001 >/dev/null
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D restored -c fast --no-sync
for i in 1 2 3 4 5; do ask 5001 "INSERT INTO t VALUES ($i); SELECT pg_switch_wal()" >/dev/null; done
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
# As from an archive on another host, each segment takes a second to come.
as sh -c "printf '%s\n' \"restore_command = 'sleep 1; cp $work/archive/%f %p 2>/dev/null'\" \"recovery_target_name = 'before the release'\" \
  'archive_mode = off' >>restored/postgresql.conf; touch restored/recovery.signal"
code=0
said=$(start restored 5002) || code=$?
said=$(tail -n 1 <<<"$said")
for _ in $(seq 1200); do [ -f restored/postmaster.pid ] || break; sleep 0.05; done
left=$([ -f restored/postmaster.pid ] && echo 'a server' || echo 'no server')
fatal=$(grep -o 'FATAL:  recovery ended before configured recovery target was reached' restored/server.log)
printf 'pg_ctl: exit %s, "%s"\nthen: %s, %s\n' $code "$said" "$fatal" "$left"
[ $code = 0 ] && [ "$said" = 'server started' ] && [ -n "$fatal" ] && [ "$left" = 'no server' ]
