#!/usr/bin/env bash
# PostgreSQL 15: pg_isready says "accepting connections", with 0, of a server that has no connection left and refuses everybody.
#
# From memory: pg_isready tells whether a server takes connections: 0 if it does, 1 if it rejects them, 2 if it does not answer. A server that is
# full rejects them, so a load balancer or an orchestrator that calls pg_isready takes it out until it has room.
#
# In fact 1 means only that the server is starting, stopping or not yet consistent (57P03). Each other refusal counts as a sign of life: "sorry,
# too many clients already", "remaining connection slots are reserved", a database that does not exist. So a check for
# readiness keeps sending clients to a server that none of them can use, and one for liveness is right not to restart it. To know whether a client
# gets in, be one: log in with its role to its database, and ask something.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
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
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
start() {
  as "$bin/pg_ctl" -D data -l data/server.log -w -o "-k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
login() { # ROLE DATABASE: what a client is told
  "$bin/psql" -XAtq "host=$work/socket user=$1 dbname=$2" -c "SELECT 'in'" 2>&1 | sed 's/.*FATAL:  //' || :
}
ready() { # ROLE DATABASE: what pg_isready says
  local status=0 said
  said=$("$bin/pg_isready" -h "$work/socket" -U "$1" -d "$2") || status=$?
  echo "${said##* - } ($status)"
}
"$bin/pg_isready" --version
as sh -c "printf '%s\n' 'max_connections = 4' 'superuser_reserved_connections = 1' 'max_wal_senders = 0' >>data/postgresql.conf"
start
"$bin/psql" -XAtq "host=$work/socket user=postgres dbname=postgres" -c 'CREATE ROLE app LOGIN'
sessions=()
hold() { # ROLE: a session that stays
  local n=${#sessions[@]}
  mkfifo "asks$n"
  "$bin/psql" -XAtq "host=$work/socket user=$1 dbname=postgres" <"asks$n" >"answers$n" &
  sessions+=($!)
  eval "exec $((n + 4))>asks$n; echo 'SELECT 1;' >&$((n + 4))"
  until [ -s "answers$n" ]; do sleep 0.05; done
}
check() { # NAME ROLE DATABASE LOGIN READY
  local in ready
  in=$(login "$2" "$3") ready=$(ready "$2" "$3")
  printf '%s: a client: %s; pg_isready: %s\n' "$1" "$in" "$ready"
  [[ $in == $4* && $ready == "$5" ]]
}
yes='accepting connections (0)'
check 'with room' app postgres in "$yes"
check 'no such database' app nosuch 'database "nosuch" does not exist' "$yes"
for _ in 1 2 3; do hold app; done
check 'full for the application' app postgres 'remaining connection slots are reserved' "$yes"
hold postgres
check 'full for all' app postgres 'sorry, too many clients already' "$yes"
for n in 4 5 6 7; do eval "exec $n>&-"; done
wait "${sessions[@]}"
