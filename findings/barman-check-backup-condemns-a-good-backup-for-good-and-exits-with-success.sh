#!/usr/bin/env bash
# Barman 3.4: check-backup of a backup whose WAL is out of reach for a moment marks it as FAILED for ever, and exits 0.
#
# From memory: a check reads. If the WAL that a backup needs is missing, check-backup says so and fails; when the WAL is back (its file system is
# mounted again, a copy was fetched), the same check passes, and the backup is what it was.
#
# In fact check-backup says nothing at all, its exit code is 0, and it writes into the catalogue: the status of a DONE backup becomes FAILED. With
# the WAL back nothing undoes that: check-backup refuses ("The validity of a failed backup cannot be checked"), cron leaves it, and recover refuses,
# because the status is not DONE, although every file and segment is there. So a check of all backups while the folder of WAL is not
# mounted leaves none that Barman would restore. It can be undone by hand only, in the file backup.info. (3.20 sets WAITING_FOR_WALS, with exit
# code 0 too, and DONE again at the next check.) Look for the segments first, by get-wal for instance, and read the status from show-backup.
#
# Seen on Barman 3.4.0 with PostgreSQL 15.18 (Debian 12).
# Fails if that changes. As root it runs the programs as the user nobody; it needs Python 3 and the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1 BARMAN=3.4.0-1
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
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION" "barman=$BARMAN" "python3-barman=$BARMAN" \
  python3-psycopg2 python3-dateutil python3-six python3-argcomplete python3-pkg-resources rsync libpopt0 libxxhash0
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
library=$work/$(dirname "$(find root -name 'libpopt.so.0')")
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
barman() {
  as env HOME="$work/home" PATH="$work/root/usr/bin:$PATH" LD_LIBRARY_PATH="$library" PYTHONPATH="$work/root/usr/lib/python3/dist-packages" \
    /usr/bin/python3 "$work/root/usr/bin/barman" -c "$work/conf" "$@"
}
mkdir data socket home log
mkdir -p home/main/incoming
[ "$(id -u)" -ne 0 ] || chown -R nobody:nogroup data socket home log
cat >conf <<CONF
[barman]
barman_user = $(as id -un)
barman_home = $work/home
log_file = $work/log/barman.log
configuration_files_directory = $work/none
[main]
description = main
conninfo = host=$work/socket port=5001 user=postgres dbname=postgres
streaming_conninfo = host=$work/socket port=5001 user=postgres
backup_method = postgres
immediate_checkpoint = true
archiver = on
path_prefix = $bin
CONF
"$bin/postgres" --version
barman --version | head -n 1
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as sh -c "printf '%s\n' 'archive_mode = on' \"archive_command = 'cp %p $work/home/main/incoming/%f'\" 'autovacuum = off' >>data/postgresql.conf"
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"; }
archived() { # NUMBER: ends the segment, and has it put where Barman keeps it
  local file
  file=$(ask "$1" 'SELECT pg_walfile_name(pg_switch_wal())')
  for _ in $(seq 400); do [ ! -f "home/main/incoming/$file" ] || break; sleep 0.05; done
  barman archive-wal main >/dev/null
}
start data 5001
ask 5001 'CREATE TABLE t (i int)'
archived 5001
barman backup --wait main >/dev/null
id=$(basename home/main/base/*)
archived 5001
field() { barman -f json show-backup main "$id" | sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p"; }
status() { barman list-backup main | grep -oE 'FAILED| - Size' | sed 's/ - Size/DONE/'; }
segment=$(field begin_wal)
check() { # the exit code of check-backup, what it says, and the status before and after
  local before code=0
  before=$(status)
  barman check-backup main "$id" >said 2>&1 || code=$?
  printf 'exit %s, "%s", %s -> %s' $code "$(sed 's/^ERROR: //' said)" "$before" "$(status)"
}
well=$(check)
as mv "home/main/wals/${segment:0:16}/$segment" home/kept
away=$(check)
reason=$(field error)
as mv home/kept "home/main/wals/${segment:0:16}/$segment"
back=$(check)
barman cron >/dev/null 2>&1 || :
code=0
refused=$(barman recover main "$id" "$work/home/restored" 2>&1) || code=$?
refused="exit $code, $(grep -o 'backup status is not DONE' <<<"$refused")"
verified=$(barman verify-backup main "$id" | tail -n 1)
printf 'all there: %s\nsegment away: %s (%s)\nsegment back: %s\nrecover: %s\nverify-backup: %s\n' "$well" "$away" "$reason" "$back" "$refused" "$verified"
[ "$well" = 'exit 0, "", DONE -> DONE' ] && [ "$away" = 'exit 0, "", DONE -> FAILED' ] || exit 1
[ "$back" = 'exit 1, "The validity of a failed backup cannot be checked", FAILED -> FAILED' ]
[ "$refused" = 'exit 1, backup status is not DONE' ] && [ "$verified" = 'backup successfully verified' ]
