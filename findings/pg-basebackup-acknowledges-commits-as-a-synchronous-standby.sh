#!/usr/bin/env bash
# PostgreSQL 15: while pg_basebackup runs it counts as a synchronous standby, and commits are acknowledged by a backup.
#
# From memory: only standbys acknowledge synchronous commits. pg_basebackup and pg_receivewal do not report what they have flushed
# (unless --synchronous is given), so synchronous_standby_names = '*' or 'ANY 1 (*)' cannot choose them.
#
# In fact a client that streams with a replication slot always reports it, and pg_basebackup uses a temporary slot by default. So its
# second connection shows sync_state = sync, and a commit returns without any standby, as soon as the server has asked for a report (after
# half of wal_sender_timeout at the latest). What the commit then relies on is a file in an unfinished backup, which is removed if the backup
# fails. With 'ANY 2 (*)' a backup takes the place of one of two standbys. Nothing is logged. Member names instead of * avoid it, and
# so does --no-slot.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
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
mkdir data backup socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data backup socket
chmod 700 backup
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
as sh -c "printf '%s\n' 'wal_sender_timeout = 4s' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t AS SELECT generate_series(1, 300000) AS i' # makes the backup last a while
ask 5001 "ALTER SYSTEM SET synchronous_standby_names = '*'"
ask 5001 'SELECT pg_reload_conf()' >/dev/null
until_is 5001 'SHOW synchronous_standby_names' '*'
ask 5001 'INSERT INTO t VALUES (0)' &
commit=$!
waiting="SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
until_is 5001 "$waiting" 1
alone=$(ask 5001 "SELECT count(*) || ' connected, ' || ($waiting) || ' commit waits' FROM pg_stat_replication")

as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D backup -c fast --no-sync --max-rate=1M &
backup=$!
wait "$commit" # would take for ever otherwise
during=$(ask 5001 "SELECT application_name || ' is ' || sync_state || ', ' || ($waiting) || ' commits wait' FROM pg_stat_replication
  WHERE state = 'streaming'")
ask 5001 "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE state = 'backup'" >/dev/null
wait "$backup" || : # it failed, and took with it what the commit relied on
left=$(find backup -type f | wc -l)
printf 'no standby: %s\nduring the backup: %s\nthe backup failed: %s files left\n' "$alone" "$during" "$left"
[ "$alone" = '0 connected, 1 commit waits' ] && [ "$during" = 'pg_basebackup is sync, 0 commits wait' ] && [ "$left" = 0 ]
