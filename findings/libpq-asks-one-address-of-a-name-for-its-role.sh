#!/usr/bin/env bash
# libpq 15: with target_session_attrs, a host name that has the addresses of all members is asked at one address only.
#
# From memory: libpq tries every address of a host name in turn, so one DNS name for all members together with
# target_session_attrs=read-write finds the primary, as a list of hosts does.
#
# In fact it goes to the next address only when a connection cannot be made. When the server answers and is not of the role that was asked
# for, libpq leaves out all further addresses of that name and goes to the next *host* of the list. If the standby's address comes first,
# the client fails although the primary is up and is named. It works while the standby is down, or by luck of the order in which
# the resolver answers, so tests tend to pass. Writing the name twice does not help; a list of hosts does.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the servers as the user nobody; otherwise it needs user namespaces, in which it gives the client
# an /etc/hosts of its own. It needs the libraries of the distribution's PostgreSQL 15.
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
mkdir data
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
cp -a data standby
as touch standby/standby.signal
"$bin/psql" --version

start() { # FOLDER ADDRESS
  as "$bin/pg_ctl" -D "$1" -l "$1/server.log" -w -o "-p $port -k '' -c listen_addresses=$2 -c fsync=off" start >/dev/null
}
for _ in 1 2 3 4 5; do # a port that is free on both addresses
  port=$((20000 + RANDOM % 10000))
  ! start data 127.0.0.3 || break
done
start standby 127.0.0.2
printf '127.0.0.2 members.test\n127.0.0.3 members.test\n' >hosts

client() { # HOSTS: whom a client that needs to write lands on
  unshare --map-root-user --mount sh -c "mount --bind hosts /etc/hosts; exec '$bin/psql' -XAtqc 'SELECT inet_server_addr()' \
    'host=$1 port=$port user=postgres dbname=postgres connect_timeout=20 target_session_attrs=read-write'" 2>&1 || :
}
by_list=$(client 127.0.0.2,127.0.0.3)
by_name=$(client members.test)
by_name_twice=$(client members.test,members.test)
as "$bin/pg_ctl" -D standby -m fast -w stop >/dev/null
by_name_alone=$(client members.test)
printf 'list of hosts: %s\none name: %s\nthe name twice: %s\none name, standby down: %s\n' "$by_list" "$by_name" "$by_name_twice" "$by_name_alone"
[ "$by_list" = 127.0.0.3 ]
[[ $by_name == *'(127.0.0.2)'*'session is read-only' && $by_name != *127.0.0.3* ]]
[[ $by_name_twice == *'session is read-only' && $by_name_twice != *127.0.0.3* ]]
[ "$by_name_alone" = 127.0.0.3 ]
