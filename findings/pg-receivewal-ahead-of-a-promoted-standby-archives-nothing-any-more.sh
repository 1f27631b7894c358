#!/usr/bin/env bash
# PostgreSQL 15: pg_receivewal archives nothing of a new primary that was behind it, and tries the same in vain for ever.
#
# From memory: pg_receivewal follows a failover: connected to the new primary it streams the old timeline to its end and continues with the new one.
# It takes WAL as soon as it is written, so after a failover it may have some that nobody else has, which it leaves aside.
#
# In fact it begins where its newest file ends, whatever the server's history. If that is in a later segment than the fork, as under load with
# an asynchronous standby, the new primary refuses: "requested starting point ... is not in this server's history". It tries again every 5 s, the
# process runs, and nothing more is archived: no restore beyond the failover is possible. Without its segments from that of the fork on (the
# second field of the last line in the new timeline's history file) it continues with that segment. Where the fork is in its unfinished segment
# it needs no help, so tests with little load pass.
#
# Seen on 15.18 (Debian 12); 18.6 does the same.
# Fails if that changes. As root it runs the servers as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
receiver=
finish() {
  [ -z "$receiver" ] || kill "$receiver" || :
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
mkdir data socket wal
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket wal
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
as sh -c "printf '%s\n' 'wal_retrieve_retry_interval = 200ms' 'autovacuum = off' 'wal_keep_size = 1GB' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int)'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002
run=(env)
[ "$(id -u)" -ne 0 ] || run=(setpriv --reuid nobody --regid nogroup --clear-groups --)
receive() { # NUMBER: starts pg_receivewal, from that server
  "${run[@]}" "$bin/pg_receivewal" -h "$work/socket" -p "$1" -U postgres -D wal --status-interval=1 --verbose >said 2>&1 &
  receiver=$!
}
ended() {
  kill "$receiver"
  wait "$receiver" || :
  receiver=
}
have() { find wal -name '0000*' -printf '%f\n' | sort | paste -sd ' '; }
await() { # FILE: until it has arrived
  for _ in $(seq 200); do [ ! -e "wal/$1" ] || return 0; sleep 0.1; done
  echo "not received: $1; there: $(have)"
  return 1
}
segment() { # NUMBER: writes the rest of a segment, and prints its name
  ask "$1" 'INSERT INTO t VALUES (1)'
  ask "$1" 'SELECT pg_walfile_name(pg_switch_wal())'
}
receive 5001
until_is 5001 "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'" 2
await "$(segment 5001)"
ask 5001 'INSERT INTO t VALUES (1)' # the standby ends within the next segment
until_is 5001 "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()" 1
ask 5002 "ALTER SYSTEM SET primary_conninfo = ''" # the standby is cut off
ask 5002 'SELECT pg_reload_conf()' >/dev/null
until_is 5001 'SELECT count(*) FROM pg_stat_replication' 1
await "$(segment 5001)"
await "$(segment 5001)"
ahead=$(have)
as "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null # the primary is lost
ask 5002 'SELECT pg_promote()' >/dev/null
ended
follow() { # N: the new primary writes N segments meanwhile
  receive 5002
  for _ in $(seq "$1"); do last=$(segment 5002); done
}
follow 3
for _ in $(seq 200); do [ "$(grep -c "is not in this server's history" said)" -lt 2 ] || break; sleep 0.1; done
stuck=$(have)
refusals=$(grep -c "is not in this server's history" said)
ended
new=$(find wal -name '00000002*' | wc -l)
fork=$(ask 5002 "SELECT substr(pg_walfile_name('$(tail -n 1 standby/pg_wal/00000002.history | cut -f 2)'), 9)")
printf 'ahead of the standby: %s\nafter the failover: refused %s times, still %s\n' "$ahead" "$refusals" "$stuck"
for file in wal/00000001????????????????*; do [[ ${file#wal/00000001} < $fork ]] || rm "$file"; done
follow 1
await "$last"
printf 'without the segments from the fork on: %s\n' "$(have)"
[ "$refusals" -ge 2 ] && [ "$new" = 0 ] && [ -e wal/000000010000000000000001 ] && [ -e wal/00000002${fork} ] && [[ $ahead == *000000010000000000000003* ]]
