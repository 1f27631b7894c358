#!/usr/bin/env bash
# PostgreSQL 15: CHECKPOINT on a standby succeeds and does nothing, unless the primary has written a checkpoint since the last one.
#
# From memory: before a standby is restarted or promoted, CHECKPOINT on it writes out what is dirty and makes it start from there (the manual:
# it "will force a restartpoint"), so that the restart has next to nothing to replay.
#
# In fact a standby can only start from a checkpoint of its primary, and has used the newest one already, as a rule. Then the command returns at
# once, without a warning or a line in the log at the usual level: no page is written, and a crash or an immediate shutdown replays all since the
# primary's last checkpoint, up to checkpoint_timeout and max_wal_size of it, before the standby takes queries. CHECKPOINT on the primary first,
# then on the standby once that record is replayed, does what was meant. Look at redo_lsn in pg_control_checkpoint() of the standby.
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
as sh -c "printf '%s\n' 'autovacuum = off' 'max_wal_size = 2GB' 'checkpoint_timeout = 1h' 'log_checkpoints = on' >>data/postgresql.conf"
start data 5001
ask 5001 'CREATE TABLE t (i int); CREATE EXTENSION pg_buffercache'
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as sh -c "echo \"primary_conninfo = 'host=$work/socket port=5001 user=postgres'\" >>standby/postgresql.conf; touch standby/standby.signal"
start data 5001
start standby 5002
caught_up() { until_is 5002 "SELECT pg_last_wal_replay_lsn() >= '$(ask 5001 'SELECT pg_current_wal_lsn()')'" t; }
behind() { # how far the standby would start behind what it has replayed
  ask 5002 'SELECT pg_last_wal_replay_lsn() - redo_lsn FROM pg_control_checkpoint()'
}
dirty() { ask 5002 "SELECT count(*) FROM pg_buffercache WHERE isdirty AND relfilenode = pg_relation_filenode('t')"; }
ask 5001 'INSERT INTO t SELECT generate_series(1, 200000)'
caught_up
before="$(dirty) dirty pages, $(($(behind) / 1000000)) MB to replay"
ask 5002 CHECKPOINT
alone="$(dirty) dirty pages, $(($(behind) / 1000000)) MB to replay"
lines=$(grep -c 'restartpoint starting' standby/server.log) || :
ask 5001 CHECKPOINT
caught_up
ask 5002 CHECKPOINT
both="$(dirty) dirty pages, $(($(behind) / 1000000)) MB to replay"
printf 'standby: %s\nafter CHECKPOINT on it: %s, %s restartpoints in its log\nafter CHECKPOINT on the primary, then on it: %s\n' \
  "$before" "$alone" "$lines" "$both"
[[ $before =~ ^([1-9][0-9]*)\ dirty\ pages,\ ([1-9][0-9]*)\ MB ]] && [[ $alone == [1-9]*" dirty pages, ${BASH_REMATCH[2]} MB to replay" ]] &&
  [ "$lines" = 0 ] && [ "$both" = '0 dirty pages, 0 MB to replay' ]
