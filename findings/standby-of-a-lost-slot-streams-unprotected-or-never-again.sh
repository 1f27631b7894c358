#!/usr/bin/env bash
# PostgreSQL 17 and 18: a standby whose slot was lost streams on with a slot that keeps nothing (17), or never streams again (18).
#
# From memory: max_slot_wal_keep_size takes the WAL of a slot whose standby is away too long. If the archive has that WAL, the standby replays it
# from there, streams again through its slot as soon as it has caught up, and is protected as before. (Or: a slot that is lost is of no use to
# anybody, so each version refuses it.)
#
# In fact that is true of 15: the slot is "reserved" again. With 17 the standby streams, the slot is active and follows its position,
# but it stays invalidated and keeps back no WAL, whatever the limit says: the next outage of the standby loses it at once. Its wal_status while
# active is "unreserved", which the manual calls a state that may return to "reserved". 18 refuses the slot for ever: the standby lives from the
# archive alone, without the newest segment. So an outage that a cluster has survived for years leaves it without a streaming
# standby after an upgrade to 18. Look at invalidation_reason, and drop and create such a slot.
#
# Seen on 15.18 (Debian 12), 17.12 (13) and 18.6 (forky).
# Fails if that changes. It runs as root on Debian, and the servers as the user nobody; ../test/versions unpacks what is not installed.
set -euo pipefail
versions=$(dirname "$(realpath "$0")")/../test/versions
work=$(mktemp -d)
finish() {
  for pid in "$work"/*/*/postmaster.pid; do
    [ ! -f "$pid" ] || as "$bin/pg_ctl" -D "${pid%/*}" -m immediate -w stop >/dev/null || :
  done
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- env HOME="$work" "$@"; }
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$PWD' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$PWD" -p "$1" -U postgres -d postgres -c "$2"
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 200); do
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
segments() { # N: writes WAL into N segments, and removes what is not needed
  for _ in $(seq "$1"); do
    ask 5001 'INSERT INTO t DEFAULT VALUES'
    ask 5001 'SELECT pg_switch_wal()' >/dev/null
  done
  ask 5001 CHECKPOINT
}
oldest() { find primary/pg_wal -maxdepth 1 -name '0000????????????????????' -printf '%f\n' | sort | head -n 1; }
slot() { ask 5001 'SELECT wal_status FROM pg_replication_slots'; }
course() { # MAJOR: prints what becomes of its standby
  bin=$("$versions" "$1")
  mkdir "$work/$1"
  chown nobody:nogroup "$work/$1"
  cd "$work/$1"
  as mkdir archive
  as "$bin/initdb" -D primary -U postgres -A trust --no-sync >/dev/null
  as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $PWD/archive/%f'\" 'max_slot_wal_keep_size = 32MB' \
    'max_wal_size = 64MB' 'min_wal_size = 32MB' 'autovacuum = off' 'wal_retrieve_retry_interval = 200ms' >>primary/postgresql.conf"
  start primary 5001
  ask 5001 'CREATE TABLE t (i int)'
  ask 5001 "SELECT pg_create_physical_replication_slot('s', true)" >/dev/null
  as "$bin/pg_basebackup" -h "$PWD" -p 5001 -U postgres -D standby -c fast --no-sync -R -S s
  as sh -c "echo \"restore_command = 'cp $PWD/archive/%f %p 2>/dev/null'\" >>standby/postgresql.conf"
  start standby 5002
  until_is 5001 'SELECT state FROM pg_stat_replication' streaming
  as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null
  segments 8 # more than the limit
  local away streams after needed
  away=$(slot)
  ask 5001 'ALTER SYSTEM SET max_slot_wal_keep_size = -1'
  ask 5001 'SELECT pg_reload_conf()' >/dev/null
  start standby 5002
  until_is 5002 'SELECT count(*) FROM t' 8
  ask 5001 'INSERT INTO t DEFAULT VALUES' # in a segment that is not in the archive
  for _ in $(seq 60); do [ "$(ask 5002 'SELECT count(*) FROM t')" = 8 ] || break; sleep 0.1; done
  streams=$(ask 5002 "SELECT CASE count(*) WHEN 9 THEN 'streams' ELSE 'does not stream' END FROM t")
  after=$(slot)
  as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null # a second outage, now without a limit
  needed=$("$bin/pg_controldata" -D standby | sed -n "s/^Latest checkpoint's REDO WAL file: *//p")
  segments 4
  printf '%s, slot %s; the standby %s, slot %s; second outage: slot %s, its WAL is %s\n' "$1" "$away" "$streams" "$after" "$(slot)" \
    "$([[ ! $(oldest) > $needed ]] && echo kept || echo removed)"
  as "$bin/pg_ctl" -D primary -m immediate -w stop >/dev/null
}
for major in 15 17 18; do
  course $major >>"$work/seen"
  tail -n 1 "$work/seen"
done
diff "$work/seen" - <<'SEEN'
15, slot lost; the standby streams, slot reserved; second outage: slot reserved, its WAL is kept
17, slot lost; the standby streams, slot unreserved; second outage: slot lost, its WAL is removed
18, slot lost; the standby does not stream, slot lost; second outage: slot lost, its WAL is removed
SEEN
