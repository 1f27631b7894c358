#!/usr/bin/env bash
# pgBackRest 2.45: verify says "status: ok" where a WAL segment is missing that the only backup needs, and where the backup's manifest is gone.
#
# From memory: "verify" determines if the backups and archives in a repository are valid. It reads all files and compares their
# checksums, and counts the segments that are missing ("missing: 0" is a column of its own), so status ok means that the last backup can be restored.
#
# In fact it verifies the segments that are there: a gap in the archive only makes two ranges of one. That a backup needs a segment of the
# gap (info has its first and last one) is not looked at: "status: ok", "missing: 0", the backup "valid". Where a backup's manifest is gone the
# status is ok as well, and without --verbose there is no more to read; only with it the backup's own line says "manifest missing". info goes on
# listing that backup with "status: ok". Both are the end of the only backup: the restore of the first exits 0, and the server then ends with
# "could not locate required checkpoint record"; the second is not restored at all. So look for each segment from the first to the last one with
# pgbackrest repo-ls, read the backup's own line, and restore.
#
# Seen on pgBackRest 2.45 with PostgreSQL 15.18 (Debian 12); 2.60 says the same.
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
start() { as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start; }
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = '$work/root/usr/bin/pgbackrest --config=$work/conf --stanza=main archive-push %p'\" \
  >>data/postgresql.conf"
start data >/dev/null
rest stanza-create
rest backup --type=full
first=$(find repo/archive -name '*.backup' | sed 's|.*/\([0-9A-F]*\)\..*|\1|') # the segment in which the backup begins
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null

verify() { rest verify --output=text --verbose | grep -oE 'status: [a-z -]+|missing: [0-9]+' | uniq | paste -sd, ; }
info() { rest info | grep -oE 'status: [a-z ]+|full backup' | paste -sd, ; }
find repo/archive -name "$first-*" -exec mv {} kept ';'
[ -f kept ]
segment=$(verify)
rest restore --pg1-path="$work/restored"
restored='restore exits 0'
! start restored >/dev/null 2>&1 || exit 1
restored+=", $(grep -o 'could not locate required checkpoint record' restored/server.log)"

find repo/backup -name 'backup.manifest*' -delete
manifest="info $(info), verify $(verify)"
code=0
rest restore --delta --pg1-path="$work/restored" 2>/dev/null || code=$?
printf 'without segment %s: verify %s, %s\nwithout the manifest: %s, restore exits %s\n' "$first" "$segment" "$restored" "$manifest" $code
[ "$segment" = 'status: ok,missing: 0,status: valid,missing: 0' ]
[ "$restored" = 'restore exits 0, could not locate required checkpoint record' ]
[ "$manifest" = 'info status: ok,full backup, verify status: ok,missing: 0,status: manifest missing' ] && [ $code != 0 ]
