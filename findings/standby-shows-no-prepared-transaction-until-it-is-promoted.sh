#!/usr/bin/env bash
# PostgreSQL 15: pg_prepared_xacts is empty on a standby, whatever is prepared; what was prepared shows, and holds its locks, after the promotion.
#
# From memory: a prepared transaction is in the WAL and in files of its own, so a standby has it, and pg_prepared_xacts shows it there as on the
# primary. A candidate without any in that view has none, and a transaction manager finds out at any member what is still undecided.
#
# In fact the view leaves out all transactions that recovery has put in, until recovery ends. Their locks on tables are visible and keep
# readers out, held by the start-up process. After the promotion they all are there: rows locked, tables locked, old rows kept from
# vacuum, for as long as nobody decides about them. So what a failover will bring cannot be seen on the candidate, and a manager that looks for
# its transactions at a standby, or at each member for the one that answers, takes them for finished. Ask the primary while it lives.
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
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
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
as sh -c "echo 'max_prepared_transactions = 5' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002

ask 5001 "BEGIN; LOCK TABLE t; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'undecided'"
until_is 5002 'SELECT pg_last_wal_replay_lsn() >= $$'"$(ask 5001 'SELECT pg_current_wal_lsn()')"'$$' t
prepared() { ask "$1" "SELECT count(*) FROM pg_prepared_xacts"; } # NUMBER
locks() { ask "$1" "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND granted"; } # NUMBER
reads() { ask 5002 "SET lock_timeout = '2s'; SELECT count(*) || ' rows' FROM t" 2>&1 | head -n 1 || :; }
primary="$(prepared 5001) with $(locks 5001) lock"
standby="$(prepared 5002) with $(locks 5002) lock"
reader=$(reads)
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
ask 5002 'SELECT pg_promote()' >/dev/null
promoted="$(prepared 5002) with $(locks 5002) lock"
ask 5002 "COMMIT PREPARED 'undecided'"
decided=$(reads)
printf 'prepared, primary: %s\nstandby: %s, a reader: %s\npromoted: %s\ndecided there: %s\n' "$primary" "$standby" "$reader" "$promoted" "$decided"
[ "$primary" = '1 with 1 lock' ] && [ "$standby" = '0 with 1 lock' ] && [ "$reader" = 'ERROR:  canceling statement due to lock timeout' ] &&
  [ "$promoted" = '1 with 1 lock' ] && [ "$decided" = '1 rows' ]
