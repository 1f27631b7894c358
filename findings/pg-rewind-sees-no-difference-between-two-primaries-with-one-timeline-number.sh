#!/usr/bin/env bash
# PostgreSQL 15: pg_rewind finds two primaries the same if both were promoted to timeline 2, and the one then follows the other with other rows.
#
# From memory: pg_rewind looks for the point where two servers diverged and undoes what the target wrote after it. If it says "no rewind
# required" the target can follow the source. And a standby cannot follow a server that it has diverged from: the timelines' histories or the WAL
# do not fit, and the log says so.
#
# In fact a timeline's number is all that is compared. Two standbys that were promoted out of one primary, each unaware of the other, as in two
# sites without a common archive, both choose 2, with the same history. pg_rewind ends with "no rewind required" and 0, whatever they wrote, and
# streaming asks for the number only. Where the WAL of both happens to have a record's end at the same place the target streams, is shown
# without lag, and keeps its own rows for ever; two servers of one application that write rows of one size get there, as here. Else it
# asks for WAL in vain until it is copied anew. Compare the rows, or see to it that no number is taken twice: a common archive does, since a
# promotion looks for the history files in it.
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
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -k -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
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
follow() { # FOLDER NUMBER
  as sh -c "echo \"primary_conninfo = 'host=$work/socket port=$2 user=postgres'\" >>$1/postgresql.conf; touch $1/standby.signal"
}
"$bin/pg_rewind" --version
as sh -c "printf '%s\n' 'autovacuum = off' 'wal_retrieve_retry_interval = 200ms' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (site text)'
ask 5001 'CREATE TABLE u ()'
stop data
diverge() { # two standbys of one primary, which is lost; each site promotes its own
  for site in east west; do
    rm -rf $site
    cp -a data $site
    follow $site 5001
  done
  start data 5001
  start east 5002
  start west 5003
  until_is 5001 'SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()' 2
  stop data
  for number in 5002 5003; do
    ask "$number" 'SELECT pg_promote()' >/dev/null
    until_is "$number" 'SELECT timeline_id FROM pg_control_checkpoint()' 2
  done
  ask 5002 "INSERT INTO t VALUES ('east')"
  ask 5003 "INSERT INTO t VALUES ('west')"
  stop east
  stop west
}
ended() { "$bin/pg_controldata" -D "$1" | grep '^Latest checkpoint location'; }
for _ in 1 2 3 4 5; do # a snapshot that only one of them has logged, every 15 s, would shift its WAL
  diverge
  [ "$(ended east)" != "$(ended west)" ] || break
done
start west 5003
cmp east/pg_wal/00000002.history west/pg_wal/00000002.history
rewound=$(as "$bin/pg_rewind" -D east --source-server "host=$work/socket port=5003 user=postgres dbname=postgres" 2>&1)
follow east 5003
start east 5002
until_is 5003 'SELECT state FROM pg_stat_replication' streaming
ask 5003 'INSERT INTO u DEFAULT VALUES'
until_is 5002 'SELECT count(*) FROM u' 1
until_is 5003 'SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication' t
rows="$(ask 5003 'SELECT site FROM t'), $(ask 5002 'SELECT site FROM t')"
printf '%s\nit streams without lag; the row on the primary, and on its standby: %s\n' "$rewound" "$rows"
[[ $rewound == *'no rewind required' ]] && [ "$rows" = 'west, east' ]
