#!/usr/bin/env bash
# libpq 15: a standby that has no connection left keeps clients from the primary that their list of hosts names next.
#
# From memory: with several hosts, libpq tries the next one after any failure, so a client with
# "host=standby,primary target_session_attrs=read-write" needs nothing of the standby.
#
# In fact libpq goes on only when no connection can be made, when the server says that it is starting or stopping (57P03), or when it has
# the wrong role. Any other error of the start-up ends the whole attempt, and "sorry, too many clients already" (53300) is one.
# So when readers fill a standby, writers lose
# their primary, and a list with the members in one order for all clients makes the first member a common point of failure.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the servers as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
  exec 3>&- 4>&- || :
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
as sh -c 'printf "%s\n" "max_connections = 2" "superuser_reserved_connections = 0" "max_wal_senders = 0" >>data/postgresql.conf'
start() { as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $2 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null; }
start data 5001 # so that its control file has these settings, which a standby may not be below
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
cp -a data standby
as touch standby/standby.signal
start standby 5001
start data 5002
"$bin/psql" --version

client() { # whom a client that needs to write lands on
  "$bin/psql" -XAtqc 'SHOW port' \
    "host=$work/socket,$work/socket port=5001,5002 user=postgres dbname=postgres connect_timeout=20 target_session_attrs=read-write" 2>&1 || :
}
before=$(client)
for reader in 3 4; do # two readers fill the standby
  mkfifo "asks$reader"
  "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U postgres postgres <"asks$reader" >"answers$reader" &
  eval "exec $reader>asks$reader"
  echo 'SELECT 1;' >&"$reader"
  until [ -s "answers$reader" ]; do sleep 0.05; done
done
full=$(client)
as "$bin/pg_ctl" -D standby -m immediate -w stop >/dev/null
down=$(client)
printf 'standby has room: %s\nstandby is full: %s\nstandby is down: %s\n' "$before" "$full" "$down"
[ "$before" = 5002 ] && [[ $full == *5001*'too many clients already' && $full != *5002* ]] && [ "$down" = 5002 ]
