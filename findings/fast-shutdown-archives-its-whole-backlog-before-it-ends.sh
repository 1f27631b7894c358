#!/usr/bin/env bash
# PostgreSQL 15: a fast shutdown of a primary first archives everything that waits, however long that takes.
#
# From memory: a fast shutdown ends the sessions, writes a checkpoint and is done. Segments that the archive has not taken by then stay in
# pg_wal with their .ready files, and are archived after the next start.
#
# In fact the archiver is asked, after the shutdown checkpoint, to archive all that waits, and the postmaster ends after it. So where an archive
# was away for a night and is back but slow, a shutdown archives the night's WAL first, here 1 s for each segment, and pg_ctl gives up
# waiting after 60 s. During all that no client gets in, and the control file says "shut down" from the first second on, while the
# postmaster still holds the data. A planned switchover that waits for the end of the old primary is an outage of that length. Empty
# archive_command by a reload before the shutdown: then the files wait for the next start, as expected.
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
mkdir data socket archive
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket archive
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c "$1"; }
waiting() { find data/pg_wal/archive_status -name '*.ready' | wc -l; }
"$bin/postgres" --version
as sh -c "printf '%s\n' 'archive_mode = on' 'max_wal_size = 1GB' 'autovacuum = off' >>data/postgresql.conf"
command_is() { # COMMAND: by a reload
  ask "ALTER SYSTEM SET archive_command = '$1'"
  ask 'SELECT pg_reload_conf()' >/dev/null
}
shut_down() { # prints how long it takes, what the control file says after 2 s and what waits then and at the end
  local from=$EPOCHREALTIME state=ended
  as "$bin/pg_ctl" -D data -m fast -W stop >/dev/null
  sleep 2
  [ ! -f data/postmaster.pid ] || state=$("$bin/pg_controldata" -D data | sed -n 's/^Database cluster state: *//p')
  local then
  then=$(waiting)
  for _ in $(seq 600); do [ -f data/postmaster.pid ] || break; sleep 0.1; done
  echo "after 2 s: $state, $then wait; at the end, after $(((${EPOCHREALTIME/./} - ${from/./}) / 1000000)) s: $(waiting) wait"
}
backlog() { # twelve segments that the archive does not take
  start
  command_is false
  for _ in $(seq 12); do
    ask 'SELECT pg_create_restore_point($$x$$)' >/dev/null
    ask 'SELECT pg_switch_wal()' >/dev/null
  done
}
slow="sleep 1; cp %p $work/archive/%f"
backlog
command_is "$slow"
full=$(shut_down)
backlog
command_is ''
emptied=$(shut_down)
printf 'a slow archive_command: %s\nan empty one: %s\n' "$full" "$emptied"
[[ $full =~ ^after\ 2\ s:\ shut\ down,\ ([0-9]+)\ wait\;\ at\ the\ end,\ after\ ([0-9]+)\ s:\ 0\ wait$ ]] &&
  [ "${BASH_REMATCH[1]}" -ge 8 ] && [ "${BASH_REMATCH[2]}" -ge 10 ] &&
  [[ $emptied =~ ^after\ 2\ s:\ ended,\ ([0-9]+)\ wait ]] && [ "${BASH_REMATCH[1]}" -ge 12 ]
