#!/usr/bin/env bash
# PostgreSQL 15: a standby whose primary_conninfo lists all members follows itself once the primary is gone, and looks healthy.
#
# From memory: with primary_conninfo = 'host=a,b,c' a standby finds whoever is left. A server that sends WAL does not take a receiver of its own
# (or a receiver that gets nothing new is not "streaming"), so the standby tries on until one of the list is the new primary.
#
# In fact any standby of the list accepts it, itself too, and the first one that answers is kept: the receiver streams from its own server, the
# two agree on the position, and nothing ever ends that. pg_stat_wal_receiver says "streaming" and has a fresh last_msg_receipt_time, and
# pg_stat_replication on the standby shows itself at lag 0. When another standby is promoted, the one that follows itself never asks it.
# Only sender_port and sender_host, or a look from the new primary, show it. With target_session_attrs=primary in primary_conninfo the
# standby passes by itself and the other standbys, and follows the promoted one.
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
mkdir one socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup one socket
as "$bin/initdb" -D one -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
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
# The short time-out makes the receiver ask its sender more often whether it is there.
as sh -c "printf '%s\n' 'wal_retrieve_retry_interval = 200ms' 'wal_receiver_timeout = 4s' >>one/postgresql.conf"
start one 5001
as "$bin/pg_ctl" -D one -m fast -w stop >/dev/null
members="host=$work/socket,$work/socket,$work/socket port=5001,5002,5003 user=postgres"
for name in two three; do
  cp -a one "$name"
  as sh -c "echo \"primary_conninfo = '$members application_name=$name'\" >>$name/postgresql.conf; touch $name/standby.signal"
done
start one 5001
start two 5002
start three 5003
until_is 5001 "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'" 2

as "$bin/pg_ctl" -D one -m fast -w stop >/dev/null # the primary is gone
receiver="SELECT status || ' from ' || sender_port FROM pg_stat_wal_receiver"
until_is 5002 "$receiver" 'streaming from 5002'
itself=$(ask 5002 "SELECT application_name || ' ' || state || ', behind by ' || pg_wal_lsn_diff(sent_lsn, replay_lsn)
  FROM pg_stat_replication WHERE application_name = 'two'")
ask 5003 'SELECT pg_promote()' >/dev/null
ask 5003 'CREATE TABLE t ()'
promoted=$(ask 5003 'SELECT clock_timestamp()')
until_is 5002 "SELECT last_msg_receipt_time > timestamptz '$promoted' + interval '1 s' FROM pg_stat_wal_receiver" t # its sender is there, and well
kept=$(ask 5002 "$receiver")
table=$(ask 5002 "SELECT count(*) FROM pg_class WHERE relname = 't'")
as sh -c "echo \"primary_conninfo = '$members target_session_attrs=primary'\" >>two/postgresql.conf"
ask 5002 'SELECT pg_reload_conf()' >/dev/null
until_is 5002 "SELECT count(*) FROM pg_class WHERE relname = 't'" 1
cured=$(ask 5002 "$receiver")
printf 'the standby on 5002 as its own sender: %s\nafter the promotion on 5003: %s, tables %s\nwith target_session_attrs: %s\n' \
  "$itself" "$kept" "$table" "$cured"
[ "$itself" = 'two streaming, behind by 0' ] && [ "$kept" = 'streaming from 5002' ] && [ "$table" = 0 ] && [ "$cured" = 'streaming from 5003' ]
