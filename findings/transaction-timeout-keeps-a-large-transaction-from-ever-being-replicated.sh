#!/usr/bin/env bash
# PostgreSQL 18: with transaction_timeout, one large transaction stops a subscription for good, on whichever of the two servers it is set.
#
# From memory: transaction_timeout ends sessions whose transactions last too long. What replicates is no client's transaction: WAL senders and
# apply workers have wal_sender_timeout and wal_receiver_timeout, and statement_timeout does not end them either.
#
# In fact the WAL sender decodes each transaction within one of its own, and the apply worker applies it within one, and the limit ends both:
# "terminating connection due to transaction timeout". Then it is all begun anew from the start of that transaction, again and again. The
# transaction itself was allowed to last (a load that sets the limit to 0 for itself); nothing behind it is replicated either, and the slot
# keeps the WAL until the publisher's disk is full. Set the limit by role for the applications; where it is set for a whole server, exempt the
# role that replicates (publisher) or owns the subscription (subscriber): ALTER ROLE ... SET transaction_timeout = 0.
#
# Seen on 18.6 (Debian, forky); 17.12 does the same.
# Fails if that changes. It runs as root on Debian, and the servers as the user nobody; PostgreSQL 18 is unpacked by ../test/versions.
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
mkdir -m 700 publisher socket
chown nobody:nogroup publisher socket
as "$bin/initdb" -D publisher -U postgres -A trust --no-sync >/dev/null
start() { # FOLDER NUMBER; they share a folder for their sockets and differ in the number
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null
}
ask() { # NUMBER STATEMENT
  "$bin/psql" -XAtq -h "$work/socket" -p "$1" -U postgres -d postgres -c "$2"
}
until_is() { # NUMBER STATEMENT ANSWER
  for _ in $(seq 600); do
    [ "$(ask "$1" "$2" 2>&1)" != "$3" ] || return 0
    sleep 0.1
  done
  echo "still not $3: $2"
  return 1
}
export PGOPTIONS='-c transaction_timeout=0' # for the sessions of this script
"$bin/postgres" --version
as sh -c "printf '%s\n' 'wal_level = logical' 'autovacuum = off' 'wal_retrieve_retry_interval = 200ms' 'max_wal_size = 2GB' \
  >>publisher/postgresql.conf"
cp -a publisher subscriber
start publisher 5001
start subscriber 5003
for number in 5001 5003; do ask "$number" 'CREATE TABLE t (i int PRIMARY KEY, text text)'; done
ask 5001 'CREATE PUBLICATION p FOR TABLE t'
ask 5001 'CREATE ROLE replicates LOGIN SUPERUSER'
ask 5003 "CREATE SUBSCRIPTION s CONNECTION 'host=$work/socket port=5001 user=replicates dbname=postgres' PUBLICATION p" 2>/dev/null
until_is 5003 "SELECT srsubstate FROM pg_subscription_rel" r
limit() { # NUMBER TIME
  ask "$1" "ALTER SYSTEM SET transaction_timeout = '$2'"
  ask "$1" 'SELECT pg_reload_conf()' >/dev/null
  PGOPTIONS='' until_is "$1" 'SHOW transaction_timeout' "$2"
}
ends() { grep -c 'FATAL:  terminating connection due to transaction timeout' "$1/server.log" || :; } # FOLDER
course() { # FOLDER NUMBER NAME CURE: a large transaction, and a small one behind it, while that server has a limit
  local before rows
  before=$(ends "$1")
  limit "$2" 100ms
  rows=$(ask 5003 'SELECT count(*) FROM t')
  ask 5001 "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series($rows + 1, $rows + 200000) i"
  ask 5001 "INSERT INTO t VALUES (-$rows - 1)"
  for _ in $(seq 300); do
    [ $(($(ends "$1") - before)) -lt 3 ] || break
    sleep 0.1
  done
  printf '%s: ended %s times or more, %s rows have arrived; ' "$3" $(($(ends "$1") - before > 3 ? 3 : $(ends "$1") - before)) \
    $(($(ask 5003 'SELECT count(*) FROM t') - rows))
  ask "$2" "$4"
  until_is 5003 'SELECT count(*) FROM t' $((rows + 200001))
  echo 'the role exempted: all have'
  limit "$2" 0
}
{
  course publisher 5001 'limit on the publisher' 'ALTER ROLE replicates SET transaction_timeout = 0'
  course subscriber 5003 'limit on the subscriber' 'ALTER ROLE postgres SET transaction_timeout = 0'
} | tee seen
diff seen - <<'SEEN'
limit on the publisher: ended 3 times or more, 0 rows have arrived; the role exempted: all have
limit on the subscriber: ended 3 times or more, 0 rows have arrived; the role exempted: all have
SEEN
