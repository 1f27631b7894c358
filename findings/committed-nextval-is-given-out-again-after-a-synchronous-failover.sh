#!/usr/bin/env bash
# PostgreSQL 15: a number from nextval() that was committed with a synchronous standby is given out again after the failover.
#
# From memory: a sequence may leave gaps, but gives no number twice. The manual asks who uses a number outside of the database to commit its nextval()
# first; with a synchronous standby such a commit waits for the standby, so that the next primary continues behind that number.
#
# In fact only one call in 33 writes WAL, and reserves the next 32 numbers with it. A transaction that takes one of these and does nothing else has
# nothing to commit: it returns at once, also while the session that reserved them still waits for its standby. When the primary is lost then,
# no server knows of the reservation, and the next one gives out the same numbers. All clients saw a commit, none an error; so two invoices or
# two messages outside have one number. Who writes a row with the number is safe, as that commit waits: the row makes the difference, not
# the commit of the call.
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
start data 5001
ask 5001 'CREATE SEQUENCE invoices'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002
ask 5001 "ALTER SYSTEM SET synchronous_standby_names = '*'"
ask 5001 'SELECT pg_reload_conf()' >/dev/null
until_is 5001 'SELECT sync_state FROM pg_stat_replication' sync
ask 5001 "SELECT nextval('invoices')" >/dev/null
until [ "$(ask 5001 'SELECT log_cnt FROM invoices')" = 0 ]; do ask 5001 "SELECT nextval('invoices')" >/dev/null; done # the next call writes WAL

as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null # the standby is away for a moment: commits wait
ask 5001 "SELECT nextval('invoices')" >first 2>&1 &
first=$!
until_is 5001 "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'" 1
numbers() { for _ in 1 2 3; do ask "$1" "BEGIN; SELECT nextval('invoices'); COMMIT"; done | paste -sd ' '; } # NUMBER
before=$(numbers 5001)
waits=$(ask 5001 "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
wait "$first" || :
start standby 5002
ask 5002 'SELECT pg_promote()' >/dev/null
after=$(numbers 5002)
printf 'three that were committed, while %s session waits: %s\nthe first three of the new primary: %s\n' "$waits" "$before" "$after"
twice=$(comm -12 <(tr ' ' '\n' <<<"$before" | sort) <(tr ' ' '\n' <<<"$after" | sort) | wc -l)
printf 'given out twice: %s\n' "$twice"
[ "$waits" = 1 ] && [ "$twice" -ge 2 ]
