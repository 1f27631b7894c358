#!/usr/bin/env bash
# PostgreSQL 15: a restore whose archive is out of reach for a second ends there, as a success, with later WAL in the archive.
#
# From memory: a restore without a target replays all WAL that the archive has. If the archive cannot be reached for a moment, restore_command
# returns an error; the server tries again, as a standby does, or ends with FATAL, and whoever restores sees it.
#
# In fact each exit code from 1 to 125 means "the archive has no such file", and a file that is missing is the end of the WAL: recovery takes
# that as its aim, chooses a new timeline and opens the database. The log says "archive recovery complete", the start succeeds, and the commits of
# all later segments are missing, with the segments in the archive. A time-out of the network, a full table of connections or an expired login
# at one file among thousands is enough. With standby.signal instead of recovery.signal the fetch is tried again until it succeeds; promote
# when the last segment of the archive is replayed. A target that is not reached (recovery_target_time and others) ends with FATAL.
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
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/%f'\" 'autovacuum = off' >>data/postgresql.conf"
mkdir archive
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup archive
start data 5001
ask 5001 'CREATE TABLE t (i int)'
for name in restored standby; do
  mkdir -m 700 $name
  [ "$(id -u)" -ne 0 ] || chown nobody:nogroup $name
  as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D $name -c fast --no-sync
done
for i in 1 2 3 4 5 6; do
  ask 5001 "INSERT INTO t VALUES ($i)"
  file=$(ask 5001 'SELECT pg_walfile_name(pg_switch_wal())')
  [ $i -ne 4 ] || fails=$file
done
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # everything is archived by then
cat >fetch <<FETCH
#!/bin/sh
# The archive is out of reach for a second, from when the segment of the fourth row is first asked for.
[ "\$1" != $fails ] || [ -e "$work/\$3/since" ] || date +%s%N >"$work/\$3/since"
[ ! -e "$work/\$3/since" ] || [ \$((\$(date +%s%N) - \$(cat "$work/\$3/since"))) -gt 1000000000 ] || exit 1
exec cp "$work/archive/\$1" "\$2" 2>/dev/null
FETCH
chmod 755 fetch
restore() { # FOLDER SIGNAL
  as sh -c "printf '%s\n' \"restore_command = '$work/fetch %f %p $1'\" 'archive_mode = off' 'wal_retrieve_retry_interval = 200ms' \
    >>$1/postgresql.conf; touch $1/$2"
  start "$1" 5002
}
restore restored recovery.signal
until_is 5002 'SELECT pg_is_in_recovery()' f
restored=$(ask 5002 'SELECT count(*) FROM t')
ask 5002 "INSERT INTO t VALUES (7)"
said=$(grep -o 'archive recovery complete' restored/server.log)
later=$(find archive -newer "archive/$fails" -name '0000????????????????????' | wc -l)
as "$bin/pg_ctl" -D restored -m fast -w stop >/dev/null
restore standby standby.signal
until_is 5002 'SELECT count(*) FROM t' 6
printf 'recovery.signal: %s of 6 rows, writable, "%s", with %s later segments in the archive\nstandby.signal: 6 of 6\n' "$restored" "$said" "$later"
[ "$restored" = 3 ] && [ "$said" = 'archive recovery complete' ] && [ "$later" -ge 2 ] && [ -e standby/since ]
