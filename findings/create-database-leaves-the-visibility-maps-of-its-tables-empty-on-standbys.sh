#!/usr/bin/env bash
# PostgreSQL 15: a database that CREATE DATABASE has made has empty visibility maps on standbys, and so after a failover.
#
# From memory: the default strategy of CREATE DATABASE from 15 on, WAL_LOG, logs each page of each fork of the template, so that a standby has
# the same pages as the primary. A visibility map is such a fork: a standby sets its bits by WAL, and clears them by that of the rows.
#
# In fact the copy logs the pages of all forks as standard ones (RelationCopyStorageUsingBuffer), and a standard page is logged without what
# lies between pd_lower and pd_upper. In a page of a visibility map everything lies there: the primary has the template's bits, the standby
# has zeros under the same LSN. The same is true of the range map of a BRIN index, which then knows no range.
# No result is wrong: a bit or a range that is not set only costs. On the standby, and once it is promoted, index-only scans of such tables
# read the table, and the next VACUUM reads all of it, until the bits are set again; a BRIN index leaves out nothing. A comparison of such
# pages finds them different on a healthy cluster. CREATE DATABASE ... STRATEGY file_copy copies the files on the standby as well.
#
# Seen on 15.18 (Debian 12): wal_log: 98 pages of pg_proc all-visible on the primary, 0 on the standby, 0 once promoted, and 23 ranges on the
# primary, 0 on the standby; file_copy: 98, 98, 98, and 23, 23.
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
mkdir first socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup first socket
as "$bin/initdb" -D first -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --data-checksums --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER DATABASE STATEMENT
  "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$work/socket" -p "$1" -U postgres -d "$2" -c "$3"
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" postgres "$2")" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'autovacuum = off' 'wal_keep_size = 1GB' >>first/postgresql.conf"
start first 5001
ask 5001 template1 'CREATE EXTENSION pg_visibility'
ask 5001 template1 'CREATE EXTENSION pageinspect'
ask 5001 template1 'CREATE TABLE t AS SELECT generate_series(1, 20000) n; CREATE INDEX i ON t USING brin (n) WITH (pages_per_range = 4)'
ask 5001 template1 VACUUM
as "$bin/pg_ctl" -D first -m fast -w stop >/dev/null
cp -a first second
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>second/postgresql.conf; touch second/standby.signal"
start first 5001
start second 5002

ranges() { ask "$1" "$2" "SELECT count(*) FROM brin_revmap_data(get_raw_page('i', 1)) AS r (at) WHERE at <> '(0,0)'"; } # NUMBER DATABASE
visible() { ask "$1" "$2" "SELECT all_visible FROM pg_visibility_map_summary('pg_proc')"; } # NUMBER DATABASE
for strategy in wal_log file_copy; do ask 5001 postgres "CREATE DATABASE by_$strategy STRATEGY $strategy"; done
until_is 5002 "SELECT pg_last_wal_replay_lsn() >= '$(ask 5001 postgres 'SELECT pg_current_wal_insert_lsn()')'" t
for strategy in wal_log file_copy; do
  declare "$strategy=$(visible 5001 by_$strategy), $(visible 5002 by_$strategy)"
  declare "brin_$strategy=$(ranges 5001 by_$strategy) $(ranges 5002 by_$strategy)"
done
printf 'ranges that a BRIN index knows on the primary, and the standby\nwal_log: %s\nfile_copy: %s\n' "$brin_wal_log" "$brin_file_copy"
ask 5002 postgres 'SELECT pg_promote()' >/dev/null
wal_log+=", $(visible 5002 by_wal_log)" file_copy+=", $(visible 5002 by_file_copy)"
printf 'all-visible pages of pg_proc on the primary, the standby, and the standby once promoted\nwal_log: %s\nfile_copy: %s\n' \
  "$wal_log" "$file_copy"
read -r primary standby promoted <<<"${wal_log//,/}"
[ "$primary" -gt 0 ] && [ "$standby" -eq 0 ] && [ "$promoted" -eq 0 ] &&
  [ "$file_copy" = "$primary, $primary, $primary" ] && [ "$brin_wal_log" = '23 0' ] && [ "$brin_file_copy" = '23 23' ]
