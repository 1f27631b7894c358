#!/usr/bin/env bash
# PostgreSQL 15: synchronous_standby_names may ask for more standbys than it names; it is accepted, and no commit returns.
#
# From memory: "ANY 2 (one)" and "FIRST 2 (one)" ask for two of one. ALTER SYSTEM checks the list, as it refuses a mistake in its form or a
# number of 0, so it refuses this; or all that are named are taken, as there are no more.
#
# In fact the number is not compared with the names, because two standbys may bear one name. A list from which a member was taken out while the
# number was left, by a script or in a hurry after the loss of that member, is accepted by ALTER SYSTEM and by the reload, and from then on each
# commit waits. The view is no help: the standby that is left is shown as "sync" or "quorum", streaming, without lag. Whoever makes such a list
# lowers the number first, or both at once.
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
as sh -c "echo 'autovacuum = off' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
for name in one two; do
  cp -a data $name
  as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres application_name=$name'\" >>$name/postgresql.conf
    touch $name/standby.signal"
done
start data 5001
start one 5002
start two 5003
list() { # SYNCHRONOUS_STANDBY_NAMES: what the server says to it, and whether a commit returns
  local said status=0
  said=$(ask 5001 "ALTER SYSTEM SET synchronous_standby_names = '$1'" 2>&1) || :
  ask 5001 'SELECT pg_reload_conf()' >/dev/null
  if [ -n "$said" ]; then echo "${said%%$'\n'*}"; return; fi
  until_is 5001 'SHOW synchronous_standby_names' "$1"
  until_is 5001 "SELECT sync_state IN ('sync', 'quorum') FROM pg_stat_replication WHERE application_name = 'one'" t
  timeout 4 "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres -d postgres -c 'INSERT INTO t VALUES (1)' >/dev/null 2>&1 || status=$?
  echo "accepted, a commit $([ $status -eq 0 ] && echo returns || echo waits), one is $(ask 5001 "SELECT concat(state, ' ', sync_state,
    CASE WHEN pg_current_wal_lsn() - replay_lsn < 1000 THEN ' without lag' END) FROM pg_stat_replication WHERE application_name = 'one'")"
}
for names in 'ANY 0 (one)' 'ANY 2 (one, two)' 'ANY 2 (one)' 'FIRST 2 (one)' 'ANY 1 (one)'; do
  printf '%s: %s\n' "$names" "$(list "$names")" >>seen
  tail -n 1 seen
done
diff seen - <<'SEEN'
ANY 0 (one): ERROR:  number of synchronous standbys (0) must be greater than zero
ANY 2 (one, two): accepted, a commit returns, one is streaming quorum without lag
ANY 2 (one): accepted, a commit waits, one is streaming quorum without lag
FIRST 2 (one): accepted, a commit waits, one is streaming sync without lag
ANY 1 (one): accepted, a commit returns, one is streaming quorum without lag
SEEN
