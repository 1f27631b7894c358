#!/usr/bin/env bash
# PostgreSQL 15: pg_basebackup, which verifies checksums, copies a page of random bytes without a word, and fails at one with a single wrong byte.
#
# From memory: with data checksums pg_basebackup verifies every page that it copies; that is the default, and a mismatch makes it exit with 1.
# Random bytes in the place of a page have the right checksum once in 65,535 times, so a successful base backup (and all that is built on
# pg_basebackup, Barman's backups for one) has no such page.
#
# In fact a page whose LSN is not below the start of the backup is not verified, because it may be half written at that moment and is replayed from
# the WAL anyway. Where the header is part of the damage, that LSN is garbage too: 8 random bytes, or a block of a text file, are nearly always a
# position far in the future. So what a disk, a controller or a stray write does to a whole block is copied as it is: exit code 0, no
# warning, nothing in pg_stat_database.checksum_failures, and pg_verifybackup then proves the copy. The start of the backup is checked against
# the page, the end of the WAL never. pg_checksums and pgBackRest (2.45) do name such a page, and a query that reads it fails.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || :
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir data socket random byte
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket random byte
as "$bin/initdb" -k -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null; }
stop() { as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
"$bin/postgres" --version
start
ask 'CREATE TABLE a AS SELECT generate_series(1, 10000) AS i; CREATE TABLE b AS TABLE a'
a=$(ask "SELECT pg_relation_filepath('a')") b=$(ask "SELECT pg_relation_filepath('b')")
take() { # FOLDER: what pg_basebackup says and its exit code
  local code=0
  as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D "$1" -c fast --no-sync >"$1.log" 2>&1 || code=$?
  printf 'exit %s %s' $code "$(grep -oE 'checksum verification failed|checksum error occurred' "$1.log" | paste -sd, || :)"
}
stop
head -c 8192 < <(yes 'a line of a log that was written to the wrong place') | dd of="data/$a" bs=8192 seek=5 conv=notrunc status=none
head -c 8192 /dev/urandom | dd of="data/$a" bs=8192 seek=7 conv=notrunc status=none
offline=$(as "$bin/pg_checksums" --check -D data 2>&1 | sed -n 's/^Bad checksums: *//p' || :)
start
random=$(take random)
failures=$(ask 'SELECT sum(checksum_failures) FROM pg_stat_database')
verified=$(as "$bin/pg_verifybackup" random)
! ask 'SELECT count(*) FROM a' 2>query || exit 1
query=$(grep -o 'invalid page in block 5' query)
stop
printf '\x55\xaa' | dd of="data/$b" bs=1 seek=$((5 * 8192 + 8000)) conv=notrunc status=none
start
byte=$(take byte)
printf 'pg_checksums: %s bad\npages of garbage: %s, %s failures counted, %s\nSELECT: %s\none page with two wrong bytes: %s\n' \
  "$offline" "$random" "$failures" "$verified" "$query" "$byte"
[ "$offline" = 2 ] && [ "$random" = 'exit 0 ' ] && [ "$failures" = 0 ] && [ "$verified" = 'backup successfully verified' ] && [ -n "$query" ] || exit 1
[ "$byte" = 'exit 1 checksum verification failed,checksum error occurred' ]
