#!/usr/bin/env bash
# PostgreSQL 18: an incremental backup of data whose checksums were enabled since the full one is verified, and no client can log in to what it gives.
#
# From memory: pg_checksums --enable writes every page, so the next incremental backup has them all, or is refused because the full one it names was
# of data without checksums. In any case what pg_combinebackup makes and pg_verifybackup calls "successfully verified" can be started and read.
#
# In fact an incremental backup holds what the WAL says was changed, and pg_checksums writes none. The backup exits 0 without a word. Its pg_control
# says that there are checksums; nearly all pages come from the full one, and have none. pg_combinebackup warns ("only some backups have checksums
# enabled"), at the restore, months later, and exits 0. The manifest that it writes is that of its own result, so pg_verifybackup succeeds. The
# server starts, and every login ends with "invalid page in block 0 of relation". Nothing is lost: pg_checksums --disable on the result, before the
# start, makes it readable. Take a full backup after pg_checksums --enable, and start what was combined.
#
# Seen on 18.6; 17.12 does the same.
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
mkdir data socket backups
chown nobody:nogroup data socket backups
as "$bin/initdb" --no-data-checksums -D data -U postgres -A trust --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null; }
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
take() { as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D "$work/backups/$1" -c fast --no-sync "${@:2}"; }
"$bin/postgres" --version
as sh -c "printf '%s\n' 'summarize_wal = on' 'autovacuum = off' >>data/postgresql.conf"
start data
ask 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS i'
take full
stop data
as "$bin/pg_checksums" --enable -D data >/dev/null 2>&1
start data
ask 'UPDATE t SET i = 0 WHERE i = 1'
said=$(take incremental --incremental "$work/backups/full/backup_manifest" 2>&1)
incremental="exit 0, \"$said\""
stop data
cd backups
code=0
said=$(as "$bin/pg_combinebackup" full incremental -o "$work/backups/combined" 2>&1) || code=$?
combined="exit $code, $(grep -o 'warning: only some backups have checksums enabled' <<<"$said")"
verified=$(as "$bin/pg_verifybackup" combined)
started=no
! start combined || started=yes
login=$(ask 'SELECT 1' 2>&1 | grep -o 'FATAL:  invalid page in block 0' || :)
stop combined
as "$bin/pg_checksums" --disable -D combined >/dev/null 2>&1
start combined
cured=$(ask 'SELECT count(*) FROM t')
stop combined
printf 'incremental: %s\ncombine: %s\nverify: %s\nstarts: %s; login: %s\nwithout checksums: %s rows\n' "$incremental" "$combined" "$verified" $started \
  "$login" "$cured"
[ "$incremental" = 'exit 0, ""' ] && [ "$combined" = 'exit 0, warning: only some backups have checksums enabled' ] || exit 1
[ "$verified" = 'backup successfully verified' ] && [ $started = yes ] && [ "$login" = 'FATAL:  invalid page in block 0' ] && [ "$cured" = 1000 ]
