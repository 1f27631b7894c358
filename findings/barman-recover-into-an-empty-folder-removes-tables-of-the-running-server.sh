#!/usr/bin/env bash
# Barman 3.4: recover into a new, empty folder on the host of the running server takes tables away from that server.
#
# From memory: a restore into another folder, to look for a lost row for instance, touches nothing but that folder. If something is in the way, as
# where the cluster has tablespaces whose folders are in use, it refuses, or asks for their new places; pg_basebackup refuses, and so does pgBackRest
# (2.45: "unable to restore to path ... because it contains files", also with --delta).
#
# In fact Barman restores each tablespace to the folder that it had, unless --tablespace NAME:FOLDER names another, and makes that folder what it was
# in the backup, by rsync with --delete. It does not look whether the folder is empty or in use. The files of tables made since the backup are removed
# under the running server, those of others are replaced; "successfully prepared for recovery", exit code 0. The server notices nothing until
# a query needs such a file ("could not open file"), and it shares what is left with the copy, which writes into it once it is started. With
# --remote-ssh-command the same happens on the other host. Name every tablespace of show-backup.
#
# Seen on Barman 3.4.0 with PostgreSQL 15.18 (Debian 12); 3.20 refuses a folder that is not empty.
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
as mkdir home/space
ask 5001 "CREATE TABLESPACE space LOCATION '$work/home/space'"
ask 5001 'CREATE TABLE before TABLESPACE space AS SELECT 1 AS i'
barman backup --wait main >/dev/null
id=$(basename home/main/base/*)
ask 5001 'CREATE TABLE later TABLESPACE space AS SELECT generate_series(1, 1000) AS i'
ask 5001 CHECKPOINT
archived 5001
rows=$(ask 5001 'SELECT count(*) FROM later')
code=0
said=$(barman recover main "$id" "$work/home/copy" 2>&1) || code=$?
said="exit $code, $(grep -o 'successfully prepared for recovery' <<<"$said")"
link=$(readlink home/copy/pg_tblspc/*)
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null # so that no open file hides it
start data 5001
now=$(ask 5001 'SELECT count(*) FROM later' 2>&1 | grep -oE 'could not open file|^[0-9]+$' || :)
printf 'before: %s rows\nrecover into an empty folder: %s; its tablespace is %s\nthe server that was running: %s\n' "$rows" "$said" "${link/$work/...}" "$now"
[ "$rows" = 1000 ] && [ "$said" = 'exit 0, successfully prepared for recovery' ] && [ "$link" = "$work/home/space" ] && [ "$now" = 'could not open file' ]
