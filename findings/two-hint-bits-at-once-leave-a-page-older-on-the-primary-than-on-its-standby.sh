#!/usr/bin/env bash
# PostgreSQL 15: a page of the primary keeps an older LSN than the same page of its standby, although nothing was lost.
#
# From memory: with data checksums (or wal_log_hints) the first hint bit after a checkpoint logs an image of the page and gives the page the
# LSN of that record, as each logged change does. So once both servers have replayed and written out everything, the same page has the same
# LSN on both, and a page that is older than its counterpart is one whose last write was lost.
#
# In fact MarkBufferDirtyHint looks whether the page is dirty, logs the image, and only then marks the page dirty, under a shared lock. Two
# backends that set hint bits of one clean page at once both log an image. The first to mark the page dirty sets its LSN, the other one
# finds it dirty and does not. A standby replays both records and keeps the LSN of the later one. Checkpoints and restarts do not change
# that: the LSNs differ until the page is next changed for another reason. Apart from hint bits both pages have the same content.
# A comparison of pages by LSN must therefore look at the content also where the LSNs differ: an older page has lost a write only where its
# content, hint bits left aside, is another one.
#
# Several sequential scans of new rows right after a checkpoint do it; small WAL buffers keep a backend longer in the middle of it.
# Seen on 15.18 (Debian 12): 515 of 2084 pages of the primary older, 0 newer, 0 with another content; the same after a restart of both.
# Fails if that changes. As root it runs the servers as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
export LC_ALL=C
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
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
caught_up() {
  local at
  at=$(ask 5001 'SELECT pg_current_wal_insert_lsn()')
  for _ in $(seq 1200); do
    [ "$(ask 5002 "SELECT pg_last_wal_replay_lsn() >= '$at'")" != t ] || return 0
    sleep 0.05
  done
  echo 'the standby has not replayed everything'
  return 1
}
"$bin/postgres" --version
as sh -c "printf '%s\n' 'wal_buffers = 32kB' 'autovacuum = off' 'wal_keep_size = 1GB' \
  'checkpoint_timeout = 1h' 'max_wal_size = 2GB' 'shared_buffers = 128MB' >>first/postgresql.conf"
start first 5001
ask 5001 'CREATE EXTENSION pageinspect'
stop first
cp -a first second
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>second/postgresql.conf; touch second/standby.signal"
start first 5001
start second 5002

# pages NUMBER: block, LSN, and what the page has beside its hint bits, each row by its address, transactions, flags and bytes.
pages() {
  ask "$1" "SELECT b, lsn, md5(string_agg(concat_ws(',', lp, lp_off, lp_flags, lp_len, t_xmin, t_xmax, t_ctid, t_infomask2,
      t_infomask & ~x'0F00'::int, t_data), ' ' ORDER BY lp))
    FROM generate_series(0, pg_relation_size('t') / 8192 - 1) b, get_raw_page('t', b::int) p, page_header(p), heap_page_items(p)
    GROUP BY b, lsn ORDER BY b" >"pages.$1"
}
compare() {
  pages 5001
  pages 5002
  paste -d '|' pages.5001 pages.5002 | awk -F '|' -v when="$1" '
    function number(lsn, part) { split(lsn, part, "/"); return sprintf("%8s%8s", part[1], part[2]) }
    { all++; a = number($2); b = number($5); older += a < b; newer += a > b; other += $3 != $6 || $1 != $4 }
    END { printf "%s: %d of %d pages of the primary older, %d newer, %d with another content\n", when, older, all, newer, other
      exit !(older > 0 && newer == 0 && other == 0) }'
}
ask 5001 "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 250000) n"
ask 5001 CHECKPOINT
began=$(ask 5001 'SELECT pg_current_wal_insert_lsn()')
scans=()
for _ in 1 2 3 4; do
  ask 5001 'SELECT count(*) FROM t' >/dev/null &
  scans+=($!)
done
wait "${scans[@]}"
caught_up
ended=$(ask 5001 'SELECT pg_current_wal_flush_lsn()')
# The table is the only one that is scanned; a catalog's page has its image once.
as "$bin/pg_waldump" -p first/pg_wal -s "$began" -e "$ended" | sed -n 's/.* FPI_FOR_HINT .*rel \([0-9/]*\) blk \([0-9]*\).*/\1 \2/p' |
  sort | uniq -c | awk '$1 > 1 { n++ } END { printf "pages with several images for hint bits: %d\n", n; exit !n }'
ask 5001 CHECKPOINT
caught_up
ask 5002 CHECKPOINT
compare 'after a checkpoint of both'
stop first
stop second
start first 5001
start second 5002
compare 'after a restart of both'
