#!/usr/bin/env bash
# PostgreSQL 15: a standby that has streamed everything runs its restore_command five times more before a promotion takes effect.
#
# From memory: restore_command fetches what streaming cannot deliver. A standby that streams and has replayed all it received needs
# nothing from the archive, so a promotion takes a fraction of a second, whatever the state of the archive.
#
# In fact the promotion asks the archive, one call after the other: for the next timeline's history, for the segment that it has already replayed
# (twice), for that history again to see whether the number is free, and for its own history. Until the last call has ended the server
# stays in recovery and refuses writes. An archive that answers slowly, or that hangs until its time-out because it went down with the
# primary's site, makes the failover longer by five times that time: with 30 s for a connection, 150 s, and pg_promote() gives up waiting after 60 s.
# The setting can be emptied by a reload right before the promotion, if the archive has nothing more to give.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
# Fails if that changes. As root it runs the servers as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
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
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$VERSION" "postgresql-client-15=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir template socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup template socket
as "$bin/initdb" -D template -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
"$bin/postgres" --version
start template 5001
as "$bin/pg_ctl" -D template -m fast -w stop >/dev/null
cp -a template primary
start primary 5001
cat >get <<GET
#!/bin/sh
echo "\$1" >>"$work/socket/calls"
sleep 1
exit 1
GET
chmod 755 get
standby() { # FOLDER NUMBER: starts one that soon has nothing left to receive or to replay
  cp -a template "$1"
  as sh -c "printf '%s\n' \"primary_conninfo = 'host=$work/socket port=5001 user=postgres application_name=$1'\" \
    \"restore_command = '$work/get %f'\" >>$1/postgresql.conf; touch $1/standby.signal"
  start "$1" "$2"
  until_is 5001 "SELECT pg_current_wal_lsn() = replay_lsn FROM pg_stat_replication WHERE application_name = '$1'" t
}
promote() { # NUMBER: what it asks the archive for, and how long it takes, in seconds
  as sh -c ': >socket/calls'
  local from=$EPOCHREALTIME
  ask "$1" 'SELECT pg_promote()' >/dev/null
  ask "$1" 'CREATE TABLE t ()'
  echo "$(tr '\n' ' ' <socket/calls)in $(((${EPOCHREALTIME/./} - ${from/./}) / 1000000)) s"
}
standby two 5002
standby three 5003
slow=$(promote 5002)
ask 5003 "ALTER SYSTEM SET restore_command = ''"
ask 5003 'SELECT pg_reload_conf()' >/dev/null
until_is 5003 'SHOW restore_command' ''
quick=$(promote 5003)
printf 'each call takes 1 s: %s\nrestore_command emptied before: %s\n' "$slow" "$quick"
segment='0000000100000000000000[0-9A-F]{2}'
[[ $slow =~ ^00000002.history\ $segment\ $segment\ 00000002.history\ 00000001.history\ in\ ([0-9]+)\ s$ ]] && [ "${BASH_REMATCH[1]}" -ge 5 ] &&
  [[ $quick == 'in '* ]]
