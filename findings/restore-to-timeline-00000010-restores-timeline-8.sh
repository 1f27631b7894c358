#!/usr/bin/env bash
# PostgreSQL 15: a restore to the timeline of the file 00000010.history restores another one, without a word.
#
# From memory: recovery_target_timeline takes the number that the names of WAL and history files begin with: "00000010" for 00000010.history. In
# any case a number that is not a timeline of the archive ends the restore with FATAL.
#
# In fact the number is read as in C: 16 and 0x10 are the timeline of that file, but with its leading zeros it is octal, so 00000010 is timeline
# 8. After sixteen failovers the archive has that one too, and the restore succeeds: a database of eight failovers ago, without what was
# written since, and "archive recovery complete". Up to 00000007 both mean the same, which is how a script gets through all its tests; 00000008
# and 0000000A end with "recovery target timeline 0 does not exist". Write 0x before the digits of a file's name.
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
mkdir data socket archive
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket archive
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
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/%f'\" 'autovacuum = off' \
  \"restore_command = 'cp $work/archive/%f %p 2>/dev/null'\" >>data/postgresql.conf"
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
start data 5001
ask 5001 'CREATE TABLE t (timeline int)'
mkdir -m 700 backup
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup backup
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D backup -c fast --no-sync
for timeline in $(seq 2 16); do
  stop data
  as touch data/recovery.signal
  start data 5001
  until_is 5001 'SELECT pg_is_in_recovery()' f
  ask 5001 "INSERT INTO t VALUES ($timeline)"
done
stop data # what is left is archived by then
restore() { # TIMELINE: the newest row, or why there is none
  cp -a backup restored
  as sh -c "printf '%s\n' 'archive_mode = off' \"recovery_target_timeline = '$1'\" >>restored/postgresql.conf; touch restored/recovery.signal"
  if start restored 5002 2>/dev/null; then
    until_is 5002 'SELECT pg_is_in_recovery()' f
    ask 5002 "SELECT 'rows up to timeline ' || max(timeline) FROM t"
    stop restored
  else
    grep -o 'FATAL: .*' restored/server.log | tail -n 1
  fi
  rm -rf restored
}
ls archive/*.history | tail -n 1 | sed 's|.*/|the newest of the archive: |'
for timeline in 0x00000010 16 00000010 00000008; do
  printf '%s: %s\n' $timeline "$(restore $timeline)" >>seen
  tail -n 1 seen
done
diff seen - <<'SEEN'
0x00000010: rows up to timeline 16
16: rows up to timeline 16
00000010: rows up to timeline 8
00000008: FATAL:  recovery target timeline 0 does not exist
SEEN
