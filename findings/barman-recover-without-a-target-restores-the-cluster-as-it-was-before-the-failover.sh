#!/usr/bin/env bash
# Barman 3.4: recover without a target restores the cluster as it was before the last failover, on the old timeline, and calls it a success.
#
# From memory: barman recover without a target restores the backup and all WAL that was archived since, so it gives the newest state there is. After
# a failover it continues along the new timeline, because recovery_target_timeline is "latest" from PostgreSQL 12 on, and like any restore
# from an archive it ends on a timeline of its own.
#
# In fact without a target there is no recovery.signal and no restore_command: Barman copies WAL into pg_wal, and PostgreSQL replays it as after a
# crash. Such a recovery stays on the timeline of the backup. The commits since the failover are missing, although their segments are in the archive;
# exit code 0, "successfully prepared for recovery", no word in the server's log, the database is open. And it keeps its timeline: it writes
# a second segment of a name that the former primary has used, with other content, and no history file tells the two apart (an archive_command
# that overwrites replaces the one by the other; pg_rewind sees no difference). With --target-time of now Barman of 3.4 copies none of the new
# timeline's segments, and recovery fails. --target-tli latest restores everything, onto a new timeline.
#
# Seen on Barman 3.4.0 with PostgreSQL 15.18 (Debian 12); 3.20 copies the later segments and ends on the old timeline all the same.
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
ask 5001 'INSERT INTO t VALUES (1)'
archived 5001
mkdir -m 700 standby
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup standby
as "$bin/pg_basebackup" -h "$work/socket" -p 5001 -U postgres -D standby -R -c fast --no-sync
start standby 5002
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
as "$bin/pg_ctl" -D standby -w promote >/dev/null
for i in 2 3; do
  ask 5002 "INSERT INTO t VALUES ($i)"
  archived 5002
done

recovered() { # FOLDER [OPTION]...: what barman recover gives, once its server runs
  local folder=$1 said code=0
  shift
  said=$(barman recover "$@" main "$id" "$work/home/$folder" 2>&1) || code=$?
  printf 'exit %s, "%s", ' $code "$(grep -o 'successfully prepared for recovery' <<<"$said")"
  start "home/$folder" 5003
  for _ in $(seq 400); do [ "$(ask 5003 'SELECT pg_is_in_recovery()' 2>&1)" != f ] || break; sleep 0.05; done
  ask 5003 "INSERT INTO t VALUES (9)"
  printf 'rows %s, ' "$(ask 5003 "SELECT string_agg(i::text, ',' ORDER BY i) FROM t")"
  printf 'its WAL is %s' "$(ask 5003 'SELECT pg_walfile_name(pg_current_wal_lsn())')"
  as "$bin/pg_ctl" -D "home/$folder" -m immediate -w stop >/dev/null
}
as sh -c "echo 'archive_mode = off' >>home/main/base/$id/data/postgresql.conf" # the restored servers must not write into this archive
plain=$(recovered plain)
latest=$(recovered latest --target-tli latest)
archive=$(find home/main/wals -name '????????????????????????' | sed 's|.*/||' | sort | paste -sd' ')
former=$(find home/main/wals -name '00000001*.partial' | sed 's|.*/||')
printf 'archive: %s, of the former primary %s\nrecover: %s\nrecover --target-tli latest: %s\n' "$archive" "$former" "$plain" "$latest"
prefix='exit 0, "successfully prepared for recovery", rows'
[ "$plain" = "$prefix 1,9, its WAL is ${former%.partial}" ] && [[ $latest == "$prefix 1,2,3,9, its WAL is 00000003"* ]]
