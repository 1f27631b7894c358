#!/usr/bin/env bash
# PostgreSQL 15: a standby that lives from an archive replays nothing of the segments it has while its restore_command is busy with the next.
#
# From memory: recovery fetches a segment, replays it, and asks the archive for the next. While restore_command waits for a segment or is
# slow with it, everything archived before is visible on the standby. recovery_prefetch (new in 15, on where the system has
# posix_fadvise) only reads data blocks early.
#
# In fact the prefetcher decodes WAL ahead in the startup process itself, and runs restore_command in the midst of it, before the records
# that it has decoded are applied. Where the segments hold few block references (an archive_timeout closes nearly empty ones), it fetches
# one segment after the other and replays none: here three rows lie in three restored segments, and the standby shows none of them until
# a call of restore_command returns without a segment. pg_last_wal_replay_lsn() stands still meanwhile, so monitoring sees a standby that
# is three segments behind and busy. With recovery_prefetch = off each row is visible as soon as its segment is restored. That is how 14
# works, which has no prefetcher.
# A command that waits for its file (as pg_standby did), or that runs into the time-out of an archive that is down, hides the newest
# commits for as long.
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
mkdir primary socket archive asked
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup primary socket archive asked
as "$bin/initdb" -D primary -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/.%f && mv $work/archive/.%f $work/archive/%f'\" \
  'autovacuum = off' >>primary/postgresql.conf"
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
until_there() { # FILE
  for _ in $(seq 600); do
    [ ! -e "$1" ] || return 0
    sleep 0.05
  done
  echo "still no $1"
  return 1
}
"$bin/postgres" --version
start primary 5001
ask 5001 'CREATE TABLE t (n int)'
as "$bin/pg_ctl" -D primary -m fast -w stop >/dev/null
# The archive's command waits for a segment that is not there yet, until a file named enough says that none will come.
cat >get <<GET
#!/bin/sh
: >"$work/asked/\$3.\$1"
case \$1 in *.history) exit 1 ;; esac
until [ -e "$work/archive/\$1" ]; do
  [ ! -e "$work/asked/enough" ] || exit 1
  sleep 0.05
done
cp "$work/archive/\$1" "\$2"
GET
chmod 755 get
for kind in ahead plain; do
  cp -a primary $kind
  as sh -c "printf '%s\n' 'archive_mode = off' \"restore_command = '$work/get %f %p $kind'\" >>$kind/postgresql.conf; touch $kind/standby.signal"
done
as sh -c "echo 'recovery_prefetch = off' >>plain/postgresql.conf"
start primary 5001
for n in 1 2 3; do
  ask 5001 "INSERT INTO t VALUES ($n)"
  ask 5001 'SELECT pg_switch_wal()' >/dev/null
done
start ahead 5002
start plain 5003
next=$(ask 5001 'SELECT pg_walfile_name(pg_current_wal_insert_lsn() + 1)')
until_there "asked/ahead.$next"
until_there "asked/plain.$next"
show() { ask "$1" "SELECT count(*) || ' rows' FROM t"; }
ahead=$(show 5002)
plain=$(show 5003)
as sh -c ': >asked/enough'
for _ in $(seq 600); do
  after=$(show 5002)
  [ "$after" != '3 rows' ] || break
  sleep 0.05
done
printf 'three segments with a row each are restored, the next is awaited: %s; with recovery_prefetch = off: %s; no longer awaited: %s\n' \
  "$ahead" "$plain" "$after"
[ "$ahead, $plain, $after" = '0 rows, 3 rows, 3 rows' ]
