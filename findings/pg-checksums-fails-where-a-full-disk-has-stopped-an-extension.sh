#!/usr/bin/env bash
# PostgreSQL 15: pg_checksums gives up on data that is well, where a full disk has stopped an extension of a file within a page.
#
# From memory: a server that finds no room to extend a table reports an error and carries on, and nothing wrong stays behind. So a data
# directory whose pages all have the right checksums passes pg_checksums --check.
#
# In fact what the filesystem has taken of the new page stays at the end of the file ("wrote only 4096 of 8192 bytes"). The server never reads
# it: it counts whole pages, and the next extension overwrites it. But pg_checksums wants whole pages too, and ends with "could not read
# block N ...: read 4096 of 8192" before it has looked at the files behind that one. Whoever takes the length of a file for evidence of
# damage finds some in a server that is well, until its table grows again.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
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
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust --data-checksums -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
"$bin/postgres" --version
# A limit on the size of files stands for the full disk: files of WAL have 16 MB, and a table may have half a page more.
(ulimit -f $((16 * 1024 + 4)) && as "$bin/pg_ctl" -D data -l data/server.log -w -o "-k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null)
sql() { "$bin/psql" -XAtq "host=$work/socket user=postgres dbname=postgres" -c "$1" 2>&1; }
sql "CREATE TABLE t AS SELECT 1 AS n, repeat('x', 100) AS r"
full=$(sql "INSERT INTO t SELECT generate_series(1, 1000000), repeat('x', 100)") || :
file=$(sql "SELECT pg_relation_filepath('t')")
rows=$(sql "SELECT count(*) FROM t")
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
size=$(stat -c %s "data/$file")
checked=$(as "$bin/pg_checksums" --check -D data 2>&1) || :
printf 'the insertion: %s\nrows that are read: %s\nthe file has %s bytes, %s beyond a page\npg_checksums: %s\n' \
  "${full%%$'\n'*}" "$rows" "$size" "$((size % 8192))" "$checked"
[ "$rows" = 1 ] && [ $((size % 8192)) = 4096 ] && [[ $checked == *"could not read block"*": read 4096 of 8192"* ]]
