#!/usr/bin/env bash
# HAProxy 2.6 and PostgreSQL 15: a primary with all its connections in use is marked down, and all its sessions are cut off.
#
# From memory: pgsql-check finds out whether PostgreSQL takes clients, and "on-marked-down shutdown-sessions" keeps clients from staying on a former
# primary. When the primary is full, new clients wait or fail, and those who are in work on.
#
# In fact the check is a client like any other. As long as one of the connections reserved for superusers is free it gets far enough, and the
# server is UP while each application is refused. Once those are taken too, by monitoring or by clients that are just being refused,
# the check's answer is "sorry, too many clients already", the server is DOWN, and HAProxy ends every session on it, in the middle of transactions.
# With the room made the checks find it UP again, and the applications all connect at once. A check for the primary must tell full from dead:
# ask an agent on the host by http-check, or keep superuser_reserved_connections well above what monitoring takes.
#
# Seen on HAProxy 2.6.12 and PostgreSQL 15.18 (Debian 12).
# Fails if that changes. As root it runs the programs as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
HAPROXY=2.6.12-1+deb12u4
POSTGRESQL=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
  [ ! -f "$work/socket/haproxy.pid" ] || kill "$(cat "$work/socket/haproxy.pid")" || :
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || :
  rm -rf "$work"
}
trap finish EXIT
chmod 755 "$work"
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "postgresql-15=$POSTGRESQL" "postgresql-client-15=$POSTGRESQL" \
  "haproxy=$HAPROXY" liblua5.3-0 libopentracing1 libopentracing-c-wrapper0
for deb in ./*.deb; do dpkg -x "$deb" root; done
bin=$work/root/usr/lib/postgresql/15/bin
library=$work/$(dirname "$(find root -name 'liblua5.3.so.0')")
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid nobody --regid nogroup --clear-groups -- "$@"; else "$@"; fi; }
haproxy() { as env LD_LIBRARY_PATH="$library" root/usr/sbin/haproxy "$@"; }
haproxy -v | head -n 1
"$bin/postgres" --version
mkdir data socket
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as sh -c "printf '%s\n' 'max_connections = 8' 'superuser_reserved_connections = 3' >>data/postgresql.conf"
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
ask() { "$bin/psql" -XAtq "host=$work/socket port=$1 user=$2 dbname=postgres" -c "$3" 2>&1; } # PORT ROLE STATEMENT
ask 5001 postgres 'CREATE ROLE app LOGIN; CREATE ROLE haproxy LOGIN; CREATE TABLE t (i int); GRANT ALL ON t TO app'
cat >haproxy.cfg <<CFG
global
  pidfile $work/socket/haproxy.pid
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen primary
  bind unix@$work/socket/.s.PGSQL.5002 mode 666
  option pgsql-check user haproxy
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
  server one unix@$work/socket/.s.PGSQL.5001 check
CFG
haproxy -D -f "$work/haproxy.cfg"
for _ in $(seq 100); do [ "$(ask 5002 postgres 'SELECT 1')" != 1 ] || break; sleep 0.1; done

clients=()
session() { # NAME PORT ROLE: one that is in the middle of a transaction
  mkfifo "asks.$1"
  "$bin/psql" -XAtq "host=$work/socket port=$2 user=$3 dbname=postgres" <"asks.$1" >"answers.$1" 2>&1 &
  clients+=($!)
  exec {to}>"asks.$1"
  echo "BEGIN; SELECT 'in';" >&"$to"
  until [ -s "answers.$1" ]; do sleep 0.05; done
}
count() { ask 5001 postgres "SELECT count(*) FROM pg_stat_activity WHERE usename = '$1' AND state = 'idle in transaction'" || :; } # ROLE
for n in 1 2 3 4 5; do session "app$n" 5002 app; done
sleep 4 # several checks
refused=$(ask 5002 app 'SELECT 1') || :
before=$(count app)
for n in 1 2 3; do session "monitoring$n" 5001 postgres; done # past HAProxy
for _ in $(seq 100); do [ "$(count app)" != 0 ] || break; sleep 0.1; done
after="$(count app), of monitoring: $(count postgres)"
said=$(grep -o 'sorry, too many clients already' data/server.log | sort -u)
printf 'full for the application: a new client: %s; sessions: %s\nfull for all: the check: %s; sessions: %s\n' \
  "${refused##*FATAL:  }" "$before" "$said" "$after"
[[ $refused == *'remaining connection slots are reserved'* ]] && [ "$before" = 5 ] && [ -n "$said" ] && [ "$after" = '0, of monitoring: 3' ]
