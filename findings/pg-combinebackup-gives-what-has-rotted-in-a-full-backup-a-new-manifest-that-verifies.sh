#!/usr/bin/env bash
# PostgreSQL 18: what has rotted in a full backup since it was taken passes pg_combinebackup, and pg_verifybackup finds the result correct.
#
# From memory: backups have manifests with a checksum for each file. pg_combinebackup reads the manifests of its inputs, so it notices a file that is
# no longer what the manifest says; and a restore that is checked as a whole, pg_verifybackup on the result, shows damage wherever it came from.
#
# In fact pg_combinebackup takes from the manifests which WAL each backup covers, and compares no file with them. A file that the incremental
# backup has a part of is put together from blocks as they are, gets a checksum of what came out, and the new manifest says that. So pg_verifybackup on
# the result proves the rot, exit code 0 in both. pg_verifybackup on the full backup, or pg_checksums on the result, names it (where data has
# checksums). A file that no incremental backup has touched is copied with the checksum of the input's manifest, and does show. Verify each
# input first: afterwards the evidence is gone.
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
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off -c summarize_wal=on -c autovacuum=off" \
  start >/dev/null
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
take() { as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D "$work/backups/$1" -c fast --no-sync "${@:2}"; }
"$bin/postgres" --version
ask 'CREATE TABLE changed AS SELECT generate_series(1, 10000) AS i; CREATE TABLE untouched AS TABLE changed'
changed=$(ask "SELECT pg_relation_filepath('changed')") untouched=$(ask "SELECT pg_relation_filepath('untouched')")
take full
ask 'UPDATE changed SET i = 0 WHERE i = 10000' # on the last page
take incremental --incremental "$work/backups/full/backup_manifest"
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cd backups
verify() { as "$bin/pg_verifybackup" "$1" 2>&1 | sed 's/^pg_verifybackup: error: //' || :; }
rot() { # FILE: one byte of its first page
  printf '\x55' | dd of="full/$1" bs=1 seek=8100 conv=notrunc status=none
}
combine() { # FOLDER
  local code=0
  as "$bin/pg_combinebackup" full incremental -o "$work/backups/$1" 2>&1 || code=$?
  printf 'exit %s' $code
}
rot "$changed"
input=$(verify full)
first=$(combine first)
output=$(verify first)
same=$(cmp -s -n 8192 "full/$changed" "first/$changed" && echo 'the rotten page')
rot "$untouched"
second=$(combine second)
shows=$(verify second)
printf 'full: %s\ncombine: %s\nresult: %s, with %s\nrot in a file that was not changed: combine %s, result: %s\n' \
  "$input" "$first" "$output" "$same" "$second" "$shows"
[ "$input" = "checksum mismatch for file \"$changed\"" ] && [ "$first" = 'exit 0' ] && [ "$output" = 'backup successfully verified' ] || exit 1
[ "$same" = 'the rotten page' ] && [ "$second" = 'exit 0' ] && [ "$shows" = "checksum mismatch for file \"$untouched\"" ]
