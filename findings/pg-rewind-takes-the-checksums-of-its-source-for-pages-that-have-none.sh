#!/usr/bin/env bash
# PostgreSQL 15: pg_rewind between a server with and one without data checksums says "Done!", and no client can log in to the result.
#
# From memory: checksums are switched on member by member, first on the standbys by pg_checksums while each is stopped, then on the old primary
# after a switchover. A failover in between is no problem: pg_rewind looks at the checksums of both servers before it starts (it does
# refuse another system identifier, another version and a target with neither checksums nor wal_log_hints).
#
# In fact it never compares them. It takes over the source's control file, which says whether pages have checksums, and leaves all pages
# that have not changed since the fork as they are. Source with checksums, target without: each old page of the target fails its
# verification, the shared catalogs included, so the server starts and streams, but every login ends with "invalid page in block 0". The other
# way round the target's checksums are off afterwards, without a word; nobody verifies anything on that member again, and corruption goes on unseen.
# Compare data_checksums on both sides before a rewind; where they differ, copy the member instead.
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
mkdir first socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup first socket
as "$bin/initdb" -D first -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
stop() { as "$bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null; }
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2" 2>&1 || :
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 400); do
    [ "$(ask "$1" "$2")" != "$3" ] || return 0
    sleep 0.05
  done
  echo "still not $3: $2"
  return 1
}
"$bin/pg_rewind" --version
as sh -c "printf '%s\n' 'wal_log_hints = on' 'wal_keep_size = 200MB' 'wal_retrieve_retry_interval = 200ms' >>first/postgresql.conf"

# fail_over: OLD and NEW have the same data, and NEW has its checksums switched on or off; it is promoted, OLD is rewound and follows it.
fail_over() { # OLD NEW enable|disable
  as "$bin/pg_checksums" "--$3" -D "$2" >/dev/null 2>&1
  as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres application_name=new'\" >>$2/postgresql.conf
    touch $2/standby.signal"
  start "$1" 5001
  start "$2" 5002
  until_is 5001 "SELECT state FROM pg_stat_replication" streaming
  ask 5002 'SELECT pg_promote()' >/dev/null
  ask 5002 CHECKPOINT
  ask 5001 'CREATE TABLE diverged ()'
  stop "$1"
  as "$bin/pg_rewind" -D "$1" --source-server "host=$work/socket port=5002 user=postgres dbname=postgres" 2>&1 | tail -n 1
  as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5002 user=postgres application_name=old'\" >>$1/postgresql.conf
    touch $1/standby.signal"
  start "$1" 5001
  until_is 5002 "SELECT state FROM pg_stat_replication" streaming
}
cp -a first without # as they are stopped, both are the same cluster
cp -a first with
done_on=$(fail_over without with enable)
login=$(ask 5001 'SHOW data_checksums')
stop without
stop with
cp -a first with2
as "$bin/pg_checksums" --enable -D with2 >/dev/null 2>&1
cp -a with2 without2
done_off=$(fail_over with2 without2 disable)
checksums=$(ask 5001 'SHOW data_checksums')
printf 'source with, target without checksums: %s\n  login, while it streams: %s\nsource without, target with checksums: %s\n  data_checksums: %s\n' \
  "$done_on" "$login" "$done_off" "$checksums"
[ "$done_on" = 'pg_rewind: Done!' ] && [[ $login == *'FATAL:  invalid page in block 0 of relation global/'* ]] &&
  [ "$done_off" = 'pg_rewind: Done!' ] && [ "$checksums" = off ]
