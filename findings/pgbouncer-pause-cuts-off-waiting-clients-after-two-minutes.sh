#!/usr/bin/env bash
# PgBouncer 1.18: PAUSE holds clients for query_wait_timeout only, and then cuts them off.
#
# From memory: after PAUSE new queries wait in PgBouncer until RESUME, however long that takes; that is how a server is restarted, upgraded or
# exchanged without an error in any application.
#
# In fact a waiting query has query_wait_timeout during a PAUSE as well, 120 s by default: "FATAL: query_wait_timeout", and the connection is
# closed. So work that is tried in a minute and takes three one night gives an error to all applications that ask, from the third minute on, while
# PgBouncer does what it was told. Set query_wait_timeout to 0, or to more than the work can take, before the PAUSE (SET on the console).
#
# Seen on PgBouncer 1.18.0 with PostgreSQL 15.18 (Debian 12).
# Fails if that changes. As root it runs the programs as the user nobody; it needs the libraries of the distribution's PostgreSQL 15 and
# PgBouncer.
set -euo pipefail
POSTGRESQL=15.18-0+deb12u1
PGBOUNCER=1.18.0-1+deb12u1
work=$(mktemp -d)
finish() {
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || :
  [ ! -f "$work/socket/pgbouncer.pid" ] || kill "$(cat "$work/socket/pgbouncer.pid")" || :
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$POSTGRESQL" "postgresql-client-15=$POSTGRESQL" "pgbouncer=$PGBOUNCER" libc-ares2
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
library=$work/$(dirname "$(find root -name 'libcares.so.2')")
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
pgbouncer() { as env LD_LIBRARY_PATH="$library" root/usr/sbin/pgbouncer "$@"; }
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
cat >pgbouncer.ini <<INI
[databases]
app = host=$work/socket port=5001 dbname=postgres user=postgres
[pgbouncer]
listen_addr =
listen_port = 5002
unix_socket_dir = $work/socket
auth_type = any
admin_users = postgres
pool_mode = transaction
pidfile = $work/socket/pgbouncer.pid
logfile = $work/socket/pgbouncer.log
INI
pgbouncer --version | head -n 1
pgbouncer -q -d "$work/pgbouncer.ini"
psql() { "$bin/psql" -XAtq -h "$work/socket" -p 5002 -U postgres "$@" 2>&1; }
for _ in $(seq 100); do [ "$(psql -d app -c 'SELECT 1')" != 1 ] || break; sleep 0.1; done
default=$(psql -d pgbouncer -c 'SHOW CONFIG' | sed -n 's/^query_wait_timeout|\([0-9]*\)|.*/\1/p')
asks() { # SECONDS_OF_THE_LIMIT: what a client is told that asks during a PAUSE of 6 s
  psql -d pgbouncer -c "SET query_wait_timeout = $1"
  psql -d pgbouncer -c 'PAUSE app'
  psql -d app -c "SELECT 'answered'" >said &
  local client=$!
  sleep 6
  psql -d pgbouncer -c 'RESUME app'
  wait "$client" || :
  head -n 1 said
}
limited=$(asks 3)
unlimited=$(asks 0)
printf 'query_wait_timeout by default: %s s\nwith 3 s, PAUSE for 6 s: %s\nwith 0: %s\n' "$default" "$limited" "$unlimited"
[ "$default" = 120 ] && [[ $limited == *'FATAL:  query_wait_timeout' ]] && [ "$unlimited" = answered ]
