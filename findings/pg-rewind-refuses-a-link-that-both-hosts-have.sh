#!/usr/bin/env bash
# PostgreSQL 15: pg_rewind refuses a target whose postgresql.conf is a link, though its source has the very same link.
#
# From memory: hosts keep postgresql.conf elsewhere, under /etc or in a checkout, and link to it from the data directory; PostgreSQL follows
# the link, pg_basebackup copies what it points to, and pg_rewind copies configuration files from the source like any other file.
#
# In fact pg_rewind compares the two servers by different eyes. Of its source it asks the running server, which follows links: a plain file. In
# its target it looks at the entry itself: a link. So it stops with "file "postgresql.conf" is of different type in source and target", on
# two hosts that were set up alike, and a former primary has to be copied as a whole. The dry run says it too. Unlike with a socket of the
# source, the real run stops before it has changed anything: with the link out of the way it succeeds, and has put the source's file there.
#
# Seen on 15.18 (Debian 12).
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
mkdir old socket etc
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup old socket etc
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
mv old/postgresql.conf etc/old.conf
ln -s "$work/etc/old.conf" old/postgresql.conf
cp -a old new
cp -a etc/old.conf etc/new.conf
ln -sfn "$work/etc/new.conf" new/postgresql.conf
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>etc/new.conf; touch new/standby.signal"
start old 5001 socket
start new 5002 socket
ask socket 5002 'SELECT pg_promote()' >/dev/null
ask socket 5002 CHECKPOINT
ask socket 5001 'INSERT INTO t VALUES (1)' # diverged
as "$bin/pg_ctl" -D old -m fast -w stop >/dev/null

rewind() { # [OPTION]: what it says at last
  as "$bin/pg_rewind" -D old --source-server "host=$work/socket port=5002 user=postgres dbname=postgres" "$@" 2>&1 | tail -n 1
}
sums() { (cd old && find . -type f -exec md5sum {} + | sort -k 2 | md5sum); }
before=$(sums)
dry=$(rewind --dry-run) || :
real=$(rewind) || :
[ "$(sums)" = "$before" ] && untouched=yes || untouched=no
rm old/postgresql.conf
as cp etc/old.conf old/postgresql.conf
again=$(rewind) || :
put=$(grep -c primary_conninfo.*5001 old/postgresql.conf) || :
printf 'dry run: %s\nreal run, target untouched %s: %s\nwith a plain file: %s, which is the source'"'"'s afterwards: %s\n' "$dry" "$untouched" "$real" "$again" "$put"
fails='file "postgresql.conf" is of different type in source and target'
[ "${dry%"$fails"}" != "$dry" ] && [ "${real%"$fails"}" != "$real" ] && [ "$untouched" = yes ] && [ "$again" = 'pg_rewind: Done!' ] &&
  [ "$put" -gt 0 ]
