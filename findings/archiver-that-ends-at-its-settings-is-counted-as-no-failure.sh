#!/usr/bin/env bash
# PostgreSQL 18: an archiver that cannot work with its settings archives nothing, and pg_stat_archiver has no failure.
#
# From memory: archive_command and archive_library exclude each other, so ALTER SYSTEM or at least the next start refuses the second of them. If
# archiving fails for whatever reason, failed_count and last_failed_time of pg_stat_archiver show it, which is what monitoring looks at.
#
# In fact ALTER SYSTEM, the reload and each later start succeed. The archiver process ends with FATAL: both "archive_command" and "archive_library" set,
# is started again after a minute, and ends again. What it never tried is no failure: failed_count stays 0 and last_failed_wal NULL, the view looks
# like that of a server that writes little, and pg_wal grows. A basic_archive without its directory is the same case ("archive_mode" enabled, yet
# archiving is not configured, a WARNING a minute). Count the .ready files, or compare last_archived_wal with the WAL position; pg_ls_archive_statusdir()
# lists them.
#
# Seen on 18.6; 15.18 lets archive_library win without a word, and has no failure either where it archives nothing.
# Fails if that changes. It runs the server as the user nobody, and needs root: on a machine without PostgreSQL 18, test/versions unpacks it.
set -euo pipefail
bin=$("$(dirname "$0")/../test/versions" 18)
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
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- env HOME="$work" "$@"; }
mkdir data archive socket
chown nobody:nogroup data archive socket
as "$bin/initdb" -D data -U postgres -A trust --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
until_is() { # STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" 2>&1)" != "$2" ] || return 0
    sleep 0.05
  done
  echo "still not $2: $1"
  return 1
}
logged() { # TEXT TIMES: waits until the log has it so many times
  for _ in $(seq 400); do
    [ "$(grep -cF "$1" data/server.log)" -lt "$2" ] || return 0
    sleep 0.05
  done
  echo "not in the log: $1"
  return 1
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/archive/%f'\" 'autovacuum = off' >>data/postgresql.conf"
start
segments() { for i in 1 2 3; do ask 'SELECT pg_logical_emit_message(true, $$a$$, $$b$$); SELECT pg_switch_wal()' >/dev/null; done; }
state() { # what the view says, and how many segments wait
  ask "SELECT format('%s archived, %s failed, last failure %s; %s wait', archived_count, failed_count, coalesce(last_failed_wal, 'none'), \
    (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')) FROM pg_stat_archiver"
}
segments
until_is 'SELECT archived_count FROM pg_stat_archiver' 3
well=$(state)
both='FATAL:  both "archive_command" and "archive_library" set'
altered=$(ask "ALTER SYSTEM SET archive_library = 'basic_archive'" 2>&1 && ask 'SELECT pg_reload_conf()')
logged "$both" 1
segments
both_set=$(state)
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
started=refused
! start || started=started
logged "$both" 2
again=$(state)
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
unconfigured='"archive_mode" enabled, yet archiving is not configured'
as sh -c "echo \"archive_command = ''\" >>data/postgresql.conf"
start
logged "$unconfigured" 1
library=$(state)
printf 'archive_command alone: %s\nboth set and loaded (%s): %s\nnext start %s: %s\nbasic_archive without a directory: %s\n' \
  "$well" "$altered" "$both_set" "$started" "$again" "$library"
[ "$well" = '3 archived, 0 failed, last failure none; 0 wait' ] && [ "$altered" = t ] && [ "$started" = started ] || exit 1
for says in "$both_set" "$again" "$library"; do [[ $says == '3 archived, 0 failed, last failure none; '[3-9]' wait' ]] || exit 1; done
