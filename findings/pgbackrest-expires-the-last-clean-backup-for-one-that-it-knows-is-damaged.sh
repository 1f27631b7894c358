#!/usr/bin/env bash
# pgBackRest 2.45: with retention 1, a backup in which it has found damaged pages replaces the last clean one, and the exit code is 0.
#
# From memory: pgBackRest verifies the checksum of every page during a backup. If a page is damaged, the backup is marked (info says "error(s)
# detected during backup"), and the older one stays, because a backup with errors is no backup to count for the retention; or the command fails, and
# then nothing is expired.
#
# In fact damaged pages are a warning. The backup counts for the retention like any other, the expire at the end of the same command removes the
# last backup that holds the pages as they were, and its WAL with it, and the exit code is 0. So rot that begins today has removed all clean
# copies after as many full backups as the retention says, by a cron job that never failed. With --no-expire-auto the backup and the expire
# are two commands: run the second only if info --output=json has "error": false for the first.
#
# Seen on pgBackRest 2.45 with PostgreSQL 15.18 (Debian 12); 2.60 does the same, warns that the oldest backup left contains bad pages, and then
# refuses to restore it unless it is told --no-checksum-page-error.
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
mkdir data socket repo log lock spool
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket repo log lock spool
cat >conf <<CONF
[global]
repo1-path=$work/repo
log-path=$work/log
lock-path=$work/lock
spool-path=$work/spool
log-level-console=off
start-fast=y
repo1-retention-full=1
[main]
pg1-path=$work/data
pg1-port=5001
pg1-socket-path=$work/socket
pg1-user=postgres
CONF
rest() { as "$work/root/usr/bin/pgbackrest" --config="$work/conf" --stanza=main "$@"; }
"$bin/postgres" --version
root/usr/bin/pgbackrest version
as "$bin/initdb" -k -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = '$work/root/usr/bin/pgbackrest --config=$work/conf --stanza=main archive-push %p'\" \
  >>data/postgresql.conf"
start data >/dev/null
ask 'CREATE TABLE t AS SELECT generate_series(1, 10000) AS i'
file=$(ask "SELECT pg_relation_filepath('t')")
rest stanza-create
rest backup --type=full
clean=$(find repo/backup/main -maxdepth 1 -name '*F' | sed 's|.*/||')
before=$(rest info | grep -oE 'full backup|error\(s\) detected during backup' | paste -sd,)

as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
printf '\x55\xaa' | dd of="data/$file" bs=1 seek=$((5 * 8192 + 8000)) conv=notrunc status=none
start data >/dev/null
code=0
rest backup --type=full 2>said || code=$?
after=$(rest info | grep -oE 'full backup|error\(s\) detected during backup' | paste -sd,)
left=$(find repo/backup/main -maxdepth 1 -name "$clean" | wc -l)
printf 'first backup: %s\nthen: exit %s, %s\n%s; the first one: %s\n' "$before" $code "$(cut -c1-40 said | head -n 1)" "$after" "$left"
[ "$before" = 'full backup' ] && [ $code = 0 ] && [ "$after" = 'full backup,error(s) detected during backup' ] && [ "$left" = 0 ] || exit 1
grep -q '^WARN: invalid page checksum found in file .*at page 5' said
