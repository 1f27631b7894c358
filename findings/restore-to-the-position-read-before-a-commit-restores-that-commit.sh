#!/usr/bin/env bash
# PostgreSQL 15: a restore to the LSN that pg_current_wal_insert_lsn() gave has the commit that came after it.
#
# From memory: pg_current_wal_insert_lsn() says how far the WAL goes. With recovery_target_lsn set to what it says before a change, the restore has
# all that was committed by then, and nothing that was committed later; recovery_target_inclusive is about the record that ends there.
#
# In fact the function gives the place where the next record will begin, and recovery_target_inclusive, on by default, means that the record which
# begins at the target is replayed. That record is the first one written after the position was read. Where it is a commit, of a transaction that
# had done its work before or of a prepared one, the restore has exactly what it was to leave out. "recovery stopping after WAL location" is all that
# the log says. With recovery_target_inclusive = off it is the state at which the position was read; a named restore point is a record itself, and
# recovery stops right behind it.
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
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data archive socket
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
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/%f'\" 'autovacuum = off' 'max_prepared_transactions = 5' \
  >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
for name in default off; do
  mkdir -m 700 $name
  [ "$(id -u)" -ne 0 ] || chown nobody:nogroup $name
  as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D $name -c fast --no-sync
done
ask 5001 "INSERT INTO t VALUES (1)"
ask 5001 "BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'second'"
position=$(ask 5001 'SELECT pg_current_wal_insert_lsn()')
visible=$(ask 5001 "SELECT string_agg(i::text, ',' ORDER BY i) FROM t")
ask 5001 "COMMIT PREPARED 'second'"
ask 5001 "INSERT INTO t VALUES (3)"
ask 5001 'SELECT pg_switch_wal()' >/dev/null
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # everything is archived by then

restored() { # FOLDER [SETTING]: the rows after a restore to the position, and what the log says
  as sh -c "printf '%s\n' \"restore_command = 'cp $work/archive/%f %p 2>/dev/null'\" \"recovery_target_lsn = '$position'\" \
    'recovery_target_action = promote' 'archive_mode = off' '${2:-}' >>$1/postgresql.conf; touch $1/recovery.signal"
  start "$1" 5002
  until_is 5002 'SELECT pg_is_in_recovery()' f
  printf '%s, "%s"' "$(ask 5002 "SELECT string_agg(i::text, ',' ORDER BY i) FROM t")" "$(grep -oE 'recovery stopping (after|before) WAL' "$1/server.log")"
  as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null
}
default=$(restored default)
off=$(restored off 'recovery_target_inclusive = off')
printf 'rows when the position was read: %s\nrestored to it: %s\nwith recovery_target_inclusive = off: %s\n' "$visible" "$default" "$off"
[ "$visible" = 1 ] && [ "$default" = '1,2, "recovery stopping after WAL"' ] && [ "$off" = '1, "recovery stopping before WAL"' ]
