#!/usr/bin/env bash
# PostgreSQL 18: no time limit of the server ends a commit that waits for a synchronous standby, nor does the end of its client.
#
# From memory: without a standby commits wait, but not for ever: statement_timeout bounds each statement, COMMIT too, transaction_timeout the whole
# transaction, and a client that has given up is found by client_connection_check_interval. So the application gets errors within seconds.
#
# In fact both limits are taken off before the wait begins, and while it lasts the server does not look whether the client is still there. The
# session waits with its locks, as "active", for as long as no standby answers. An application that gives up and tries again leaves one such
# session behind each time, until max_connections are used up and its readers are refused as well: the loss of a standby has become the loss of
# the whole database. A cancel of the query does end a wait, but as a success: the client gets a warning, and its commit may be on this server
# alone. So bound the number of connections of those who write (ALTER ROLE ... CONNECTION LIMIT, a pool), not their time.
#
# Seen on 18.6 (Debian, forky); 15.18 does the same, and has no transaction_timeout.
# Fails if that changes. It runs as root on Debian, and the server as the user nobody; PostgreSQL 18 is unpacked by ../test/versions.
set -euo pipefail
bin=$("$(dirname "$0")/../test/versions" 18)
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
as() { setpriv --reuid nobody --regid nogroup --clear-groups -- env HOME="$work" "$@"; }
mkdir -m 700 data socket
chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust --no-sync >/dev/null
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
sql() { # APPLICATION_NAME ARGUMENTS_OF_PSQL
  local name=$1
  shift
  "$bin/psql" -XAtq "host=$work/socket user=postgres dbname=postgres application_name=$name" "$@"
}
until_is() { # STATEMENT ANSWER
  for _ in $(seq 200); do
    [ "$(sql look -c "$1")" != "$2" ] || return 0
    sleep 0.1
  done
  echo "still not $2: $1"
  return 1
}
"$bin/postgres" --version
sql setup -c 'CREATE TABLE t (i int)' -c 'CREATE ROLE writer LOGIN' -c 'GRANT ALL ON t TO writer'
for setting in "synchronous_standby_names = '*'" "statement_timeout = '1s'" "transaction_timeout = '2s'" "idle_session_timeout = '1s'" \
  "client_connection_check_interval = '500ms'"; do sql setup -c "ALTER SYSTEM SET $setting"; done
sql setup -c 'SELECT pg_reload_conf()' >/dev/null
until_is 'SHOW client_connection_check_interval' 500ms

bounded=$(sql sleeps -c 'SELECT pg_sleep(60)' 2>&1) || :
there() { sql look -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$1'"; } # APPLICATION_NAME
gives_up() { # APPLICATION_NAME STATEMENT: a client that ends after 0.5 s; the server's settings and 4 s more are to end its session
  local status=0
  timeout 0.5 "$bin/psql" -XAtq "host=$work/socket user=postgres dbname=postgres application_name=$1" -c "$2" >/dev/null 2>&1 || status=$?
  [ $status -eq 124 ]
}
gives_up reads 'SET statement_timeout = 0; SET transaction_timeout = 0; SELECT pg_sleep(60)'
gives_up writes 'INSERT INTO t VALUES (1)'
sql transaction -c BEGIN -c 'INSERT INTO t VALUES (2)' -c COMMIT >said 2>&1 & # its client waits
client=$!
sleep 5
waits="SELECT string_agg(application_name || ' ' || state || ' ' || wait_event, ', ' ORDER BY application_name)
  FROM pg_stat_activity WHERE application_name IN ('reads', 'writes', 'transaction')"
left=$(sql look -c "$waits")
printf 'a query of 60 s: %s\n5 s after the limits of 1 s and 2 s: %s\n' "$bounded" "$left"
sql look -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'transaction'" >/dev/null
wait "$client"
printf 'COMMIT, cancelled, succeeds: %s\n' "$(head -n 1 said)"
# An application that tries again every half second, for as long as a server with ten connections has room
sql look -c 'ALTER SYSTEM SET max_connections = 10' -c 'ALTER SYSTEM SET superuser_reserved_connections = 3'
as "$bin/pg_ctl" -D data -l data/server.log -w -m immediate -o "-k '$work/socket' -c listen_addresses= -c fsync=off" restart >/dev/null
attempts=0
while full=$("$bin/psql" -XAtq "host=$work/socket user=writer dbname=postgres" -c 'SELECT 1' 2>&1); do
  [ $attempts -lt 20 ]
  timeout 0.5 "$bin/psql" -XAtq "host=$work/socket user=writer dbname=postgres" -c 'INSERT INTO t VALUES (3)' >/dev/null 2>&1 || :
  attempts=$((attempts + 1))
done
printf 'a reader, after %s attempts of a writer: %s\n' "$attempts" "${full##*FATAL:  }"
[ "$bounded" = 'ERROR:  canceling statement due to statement timeout' ] && [ "$left" = 'transaction active SyncRep, writes active SyncRep' ] &&
  [[ $(head -n 1 said) == 'WARNING:  canceling wait for synchronous replication due to user request' ]] &&
  [[ $full == *'remaining connection slots are reserved'* ]]
