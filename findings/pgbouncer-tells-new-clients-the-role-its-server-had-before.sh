#!/usr/bin/env bash
# PgBouncer 1.18 and libpq 15: after a change of role, target_session_attrs through PgBouncer finds exactly the wrong server.
#
# From memory: PgBouncer passes on what its server reports, so a libpq client with "host=pooler1,pooler2
# target_session_attrs=read-write" lands on the pooler beside the primary, also after a switchover.
#
# In fact libpq (14 and later) believes the parameter `in_hot_standby` of the greeting. PgBouncer composes that greeting from the first
# server connection of a pool, and keeps it: neither the server's own report of its promotion nor a new server connection renews it.
#     1. A standby behind PgBouncer is promoted: it takes writes, and "read-write" and "primary" refuse it, "standby" accepts it.
#     2. A primary behind PgBouncer is restarted as a standby: "read-write" accepts it, and the first write fails.
# After a switchover both happen at once, so each client that looks for the primary is led to the standby. RECONNECT on PgBouncer's console
# cures it, and so does a RELOAD with another host for the database.
#
# Seen on PgBouncer 1.18.0 with PostgreSQL 15.18 (Debian 12).
# Fails if that changes. As root it runs the programs as the user nobody; it needs the libraries of the distribution's PostgreSQL 15 and
# PgBouncer.
set -euo pipefail
POSTGRESQL=15.18-0+deb12u1
PGBOUNCER=1.18.0-1+deb12u1
work=$(mktemp -d)
finish() {
  for pid in "$work"/*/postmaster.pid; do
    [ ! -f "$pid" ] || as "$bin/pg_ctl" -D "${pid%/*}" -m immediate -w stop >/dev/null || :
  done
  [ ! -f "$work/socket/pgbouncer.pid" ] || kill "$(cat "$work/socket/pgbouncer.pid")" || :
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$POSTGRESQL" "postgresql-client-15=$POSTGRESQL" "pgbouncer=$PGBOUNCER"
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
"$bin/postgres" --version
root/usr/sbin/pgbouncer --version | head -n 1

as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
server() { as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" "$@" >/dev/null; }
server start
"$bin/psql" -XAtqc 'CREATE TABLE t ()' -h "$work/socket" -p 5001 -U postgres
server -m fast stop
as touch data/standby.signal # a standby without a primary is enough: it is in recovery, and can be promoted
server start
cat >pgbouncer.ini <<INI
[databases]
postgres = host=$work/socket port=5001 user=postgres
[pgbouncer]
listen_addr =
listen_port = 5002
unix_socket_dir = $work/socket
auth_type = any
admin_users = admin
logfile = $work/socket/pgbouncer.log
pidfile = $work/socket/pgbouncer.pid
INI
as root/usr/sbin/pgbouncer -d pgbouncer.ini

through() { # SESSION_ATTRS STATEMENT, as a new client of PgBouncer
  "$bin/psql" -XAtq "host=$work/socket port=5002 user=postgres dbname=postgres connect_timeout=20 target_session_attrs=$1" -c "$2" 2>&1 || :
}
expect() { # WHAT PATTERN_OF_THE_ANSWER SESSION_ATTRS STATEMENT
  local got
  got=$(through "$3" "$4")
  printf '%s, %s, %s: %s\n' "$1" "$3" "$4" "$got"
  [[ $got == $2 ]]
}
expect 'a standby' t any 'SELECT pg_is_in_recovery()'
"$bin/psql" -XAtqc 'SELECT pg_promote()' -h "$work/socket" -p 5001 -U postgres >/dev/null
expect 'promoted' f any 'SELECT pg_is_in_recovery()'
expect 'promoted' '*session is read-only' read-write 'INSERT INTO t DEFAULT VALUES'
expect 'promoted' '*server is in hot standby mode' primary 'INSERT INTO t DEFAULT VALUES'
expect 'promoted' f standby 'SELECT pg_is_in_recovery()'

"$bin/psql" -XAtqc RECONNECT -h "$work/socket" -p 5002 -U admin pgbouncer
expect 'after RECONNECT' f read-write 'SELECT pg_is_in_recovery()'
server -m fast stop
as touch data/standby.signal
server start
expect 'restarted as a standby' t read-write 'SELECT pg_is_in_recovery()'
expect 'restarted as a standby' '*read-only transaction' read-write 'INSERT INTO t DEFAULT VALUES'
expect 'restarted as a standby' '*session is not read-only' read-only 'SELECT pg_is_in_recovery()'
