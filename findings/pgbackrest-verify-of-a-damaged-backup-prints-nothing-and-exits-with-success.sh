#!/usr/bin/env bash
# pgBackRest 2.45: verify that has found damaged files prints nothing and exits 0.
#
# From memory: a command that verifies a repository fails if it finds damage, so `pgbackrest --stanza=main verify || alarm` in a nightly job is
# the check of the backups. At the least it prints an error, which cron sends on: errors and warnings go to stderr by default.
#
# In fact a damaged, a truncated and a missing file are results, not errors: they are logged with INFO, a level that the console does not show, and the
# exit code is 0 ("verify command end: completed successfully"). So that job is silent for ever. Only with --output=text there is "status: error"
# to read, on stdout, and the exit code stays 0. Read the text, and the line of the backup in question.
#
# Seen on pgBackRest 2.45 with PostgreSQL 15.18 (Debian 12); 2.60 does the same.
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
start-fast=y
job-retry=0
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
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
check() { # FILE of the backup that was damaged just now: what verify prints, its exit code, and the line that --output=text has of the backup
  local code=0
  rest verify >said 2>&1 || code=$?
  printf '%s: "%s", exit %s; with --output=text: %s' "$1" "$(cat said)" $code \
    "$(rest verify --output=text --verbose | sed -n 's/^status: //p; /backup:/{n;s/^ *//p}' | paste -sd' ')"
}
folder=$(find repo/backup/main -maxdepth 1 -name '*F')/pg_data/base/1
clean=$(check none)
printf '\x55' | dd of="$folder/1255.gz" bs=1 seek=5000 conv=notrunc status=none
changed=$(check changed)
truncate -s 100 "$folder/1249.gz"
short=$(check truncated)
rm "$folder/2618.gz"
gone=$(check missing)
printf '%s\n' "$clean" "$changed" "$short" "$gone"
result() { echo "$1: \"\", exit 0; with --output=text: $2 missing: $3, checksum invalid: $4, size invalid: 0, other: 0"; }
[ "$clean" = "$(result none ok 0 0)" ] && [ "$changed" = "$(result changed error 0 1)" ] || exit 1
[ "$short" = "$(result truncated error 0 2)" ] && [ "$gone" = "$(result missing error 1 2)" ]
