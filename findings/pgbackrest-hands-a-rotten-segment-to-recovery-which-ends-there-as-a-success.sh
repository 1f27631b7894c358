#!/usr/bin/env bash
# pgBackRest 2.45: archive-get exits 0 for a segment that does not match the SHA-1 in its own name, and the restore ends there as a success.
#
# From memory: pgBackRest keeps a checksum with everything, the SHA-1 of a WAL segment in the segment's name. A restore checks each file
# against its checksum and fails at a mismatch; archive-get, which recovery calls for each segment, does so too, and the recovery ends with an error.
#
# In fact only verify compares a segment with that SHA-1; archive-get copies it out. What notices the damage is at best the decompression
# (gz and lz4 have checksums of their own; compress-type=none has nothing to notice it). PostgreSQL finds a record with a wrong CRC, and that
# is the end of the WAL for it: it opens read-write on a new timeline, "archive recovery complete", with later segments intact in the archive. No
# command of the restore has failed. Compare the position that was reached with the archive's last segment, or verify before.
#
# Seen on pgBackRest 2.45 with PostgreSQL 15.18 (Debian 12); archive-get of 2.60 does the same.
# Fails if that changes. As root it runs the programs as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1 PGBACKREST=2.45-1
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
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION" "pgbackrest=$PGBACKREST"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir data socket repo log lock spool restored
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket repo log lock spool restored
cat >conf <<CONF
[global]
repo1-path=$work/repo
log-path=$work/log
lock-path=$work/lock
spool-path=$work/spool
log-level-console=off
start-fast=y
compress-type=none
repo1-retention-full=9
[main]
pg1-path=$work/data
pg1-port=5001
pg1-socket-path=$work/socket
pg1-user=postgres
CONF
rest() { as "$work/root/usr/bin/pgbackrest" --config="$work/conf" --stanza=main "$@"; }
"$bin/postgres" --version
root/usr/bin/pgbackrest version
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p ${2:-5001} -k '$work/socket' -c listen_addresses= -c fsync=off" start; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p "${2:-5001}" -U postgres -d postgres -c "$1"; }
as sh -c "printf '%s\n' 'archive_mode = on' 'autovacuum = off' \
  \"archive_command = '$work/root/usr/bin/pgbackrest --config=$work/conf --stanza=main archive-push %p'\" >>data/postgresql.conf"
start data >/dev/null
ask 'CREATE TABLE t (i int)'
rest stanza-create
rest backup --type=full
for i in 1 2 3 4 5 6; do
  ask "INSERT INTO t VALUES ($i)"
  file=$(ask 'SELECT pg_walfile_name(pg_switch_wal())')
  [ $i -ne 4 ] || rotten=$file
done
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # everything is archived by then
segment=$(find repo/archive -name "$rotten-*")
printf '\x55\xaa\x55' | dd of="$segment" bs=1 seek=60 conv=notrunc status=none # in the segment's first record

rest restore --pg1-path="$work/restored" --archive-mode=off
code=0
rest archive-get --pg1-path="$work/restored" "$rotten" "$work/log/fetched" || code=$?
name=${segment##*-} content=$(sha1sum log/fetched | cut -d ' ' -f 1)
start restored 5002 >/dev/null
for _ in $(seq 400); do [ "$(ask 'SELECT pg_is_in_recovery()' 5002 2>&1)" != f ] || break; sleep 0.05; done
ask 'INSERT INTO t VALUES (7)' 5002
rows=$(ask "SELECT string_agg(i::text, ',' ORDER BY i) FROM t" 5002)
said=$(grep -o 'archive recovery complete' restored/server.log)
later=$(rest repo-ls --recurse archive/main | grep -E '/[0-9A-F]{24}-' | sed 's|.*/||' | awk -v r="$rotten" 'substr($0, 1, 24) > r' | wc -l)
verify=$(rest verify --output=text | grep -o 'checksum invalid: 1')
printf 'archive-get: exit %s, SHA-1 %s in the name, %s of what it gave\nrestored: rows %s, "%s", with %s later segments in the archive\nverify: %s\n' \
  $code "$name" "$content" "$rows" "$said" "$later" "$verify"
[ $code = 0 ] && [ "$name" != "$content" ] && [ "$rows" = 1,2,3,7 ] && [ "$said" = 'archive recovery complete' ] && [ "$later" -ge 2 ] || exit 1
[ "$verify" = 'checksum invalid: 1' ]
