#!/usr/bin/env bash
# PostgreSQL 15: pg_rewind fails for as long as the new primary's socket lies in its data directory, and the attempt damages the old one.
#
# From memory: unix_socket_directories may name the data directory, as images for containers do. What is no data is left out by the tools:
# pg_basebackup skips sockets, and pg_rewind skips what only belongs to a running server, postmaster.pid for one.
#
# In fact pg_rewind takes the socket of its source for a file to copy, because the list that it gets by SQL knows only files and directories.
# The source cannot read it: "could not open file .s.PGSQL.5002 for reading: No such device or address". That happens in each attempt,
# whatever is done on the target. The dry run finds it too and leaves the target as it was, so run it first; the real run does not stop before it
# has changed the target, whose WAL is cut off by then: the next attempt, with the socket elsewhere, fails for want of it, and a whole copy is left.
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
mkdir old socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup old socket
as "$bin/initdb" -D old -U postgres -A trust -k -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER FOLDER_OF_ITS_SOCKET
  as "$bin/pg_ctl" -D "$1" -l "$1.log.d/log" -w -o "-p $2 -k '$work/$3' -c listen_addresses= -c fsync=off" start >/dev/null
}
mkdir old.log.d new.log.d
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup old.log.d new.log.d
ask() { # FOLDER_OF_THE_SOCKET NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/$1" -p "$2" -U postgres -d postgres -c "$3"
}
"$bin/pg_rewind" --version
start old 5001 socket
ask socket 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D old -m fast -w stop >/dev/null
cp -a old new
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>new/postgresql.conf; touch new/standby.signal"
start old 5001 socket
start new 5002 new
ask new 5002 'SELECT pg_promote()' >/dev/null
ask new 5002 CHECKPOINT
ask socket 5001 'INSERT INTO t VALUES (1)' # diverged
as "$bin/pg_ctl" -D old -m fast -w stop >/dev/null

rewind() { # FOLDER_OF_THE_SOCKET [OPTION]: what it says at last
  as "$bin/pg_rewind" -D old --source-server "host=$work/$1 port=5002 user=postgres dbname=postgres" ${2:+"$2"} 2>&1 | tail -n 1
}
sums() { (cd old && find . -type f -exec md5sum {} + | sort -k 2 | md5sum); }
before=$(sums)
dry=$(rewind new --dry-run) || :
[ "$(sums)" = "$before" ] && untouched=yes || untouched=no
real=$(rewind new) || :
[ "$(sums)" = "$before" ] && changed=no || changed=yes
as "$bin/pg_ctl" -D new -m fast -w stop >/dev/null
start new 5002 socket
again=$(rewind socket) || :
printf 'dry run, untouched %s: %s\nreal run, changed %s: %s\nwith the socket elsewhere: %s\n' "$untouched" "$dry" "$changed" "$real" "$again"
fails='could not open file ".s.PGSQL.5002" for reading: No such device or address'
[ "$untouched" = yes ] && [ "$changed" = yes ] && [ "${dry%"$fails"}" != "$dry" ] && [ "${real%"$fails"}" != "$real" ] &&
  [ "$again" != 'pg_rewind: Done!' ]
