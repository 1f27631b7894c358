#!/usr/bin/env bash
# PostgreSQL 15: one restore test that still archives keeps every standby of the healthy primary from starting again, and new copies too.
#
# From memory: a standby follows the primary that it streams from. A file 00000002.history that a restore test has left in the common
# archive may disturb later restores, but the primary is on timeline 1, so its standbys stay there.
#
# In fact recovery_target_timeline = latest, the default, means the newest timeline of the *archive* whenever restore_command is set. A standby
# that runs already only logs that timeline 2 forked off before its position, and streams on; nothing is seen from the primary. Its next
# start ends with FATAL "requested timeline 2 is not a child of this server's history", even if the primary is reachable, and so does
# the start of a copy that pg_basebackup has just taken from the primary. So the mistake shows weeks later, on all members that are restarted
# (a reboot, a minor release). Removing the history file from the archive does not cure it: the standby has kept a copy in pg_wal.
# recovery_target_timeline = current does.
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
mkdir data standby copy restored archive socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data standby copy restored archive socket
chmod 700 standby copy restored
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
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'test ! -f $work/archive/%f && cp %p $work/archive/%f'\" \
  \"restore_command = 'cp $work/archive/%f %p 2>/dev/null'\" 'wal_retrieve_retry_interval = 100ms' >>data/postgresql.conf"
take() { as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D "$1" -c fast --no-sync "${@:2}"; }
streams='SELECT state FROM pg_stat_replication'
start data 5001
ask 5001 'CREATE TABLE t ()'
take standby -R
start standby 5002
until_is 5001 "$streams" streaming

take restored # the restore test, with the settings as they came with the backup
as touch restored/recovery.signal
start restored 5003
until_is 5003 'SELECT pg_is_in_recovery()' f
for _ in $(seq 400); do [ ! -f archive/00000002.history ] || break; sleep 0.05; done
as "$bin/pg_ctl" -D restored -m fast -w stop >/dev/null

ask 5001 'INSERT INTO t DEFAULT VALUES'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
start data 5001
until_is 5001 "$streams" streaming
ask 5001 'INSERT INTO t DEFAULT VALUES'
until_is 5002 'SELECT count(*) FROM t' 2
running="timeline $(ask 5002 'SELECT received_tli FROM pg_stat_wal_receiver'), streaming after a restart of the primary"

try() { # FOLDER NUMBER
  if start "$1" "$2"; then echo 'started'; else grep -o 'FATAL:  requested timeline.*' "$1/server.log" | tail -n 1; fi
}
as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null
restarted=$(try standby 5002 2>/dev/null)
take copy -R
copied=$(try copy 5004 2>/dev/null)
as rm archive/00000002.history
removed=$(try standby 5002 2>/dev/null)
as sh -c "echo 'recovery_target_timeline = current' >>standby/postgresql.conf"
cured=$(try standby 5002)
until_is 5001 "$streams" streaming
printf 'running standby: %s\nrestarted: %s\nnew copy: %s\nhistory file removed from the archive: %s\ntimeline current: %s\n' \
  "$running" "$restarted" "$copied" "$removed" "$cured"
[[ $running == 'timeline 1, '* ]] && [ "$cured" = started ] || exit 1
for answer in "$restarted" "$copied" "$removed"; do [ "$answer" = "FATAL:  requested timeline 2 is not a child of this server's history" ]; done
