#!/usr/bin/env bash
# PostgreSQL 15: an idle session shows the new value of a setting although no reload followed the change of its file.
#
# A reload (SIGHUP) makes the postmaster read its files at once, but an idle backend reads them only when its next statement
# arrives, and then as they are at that moment. So after
#     1. a reload for whatever reason,
#     2. a change of the file, without a reload,
#     3. a statement in a session that was idle meanwhile,
# that session shows the new value, pg_settings says that it comes from the file, and no reload is pending anywhere. The postmaster
# still has the old value, and so has every session, WAL sender and worker that it starts from then on.
# So `SHOW synchronous_standby_names` in a kept session does not show what new WAL senders obey; a new session does.
#
# Seen on 15.18 (Debian 12): "kept session: changed", "new session: before".
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
  exec 3>&- || :
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m fast -w stop >/dev/null || :
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
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-k '$work/socket' -c listen_addresses=" start >/dev/null
new() { "$bin/psql" -XAtq -h "$work/socket" -U postgres -d postgres -c "$1"; }
"$bin/postgres" --version

mkfifo asks
"$bin/psql" -XAtq -h "$work/socket" -U postgres -d postgres -v ON_ERROR_STOP=1 <asks >answers 2>&1 &
exec 3>asks
kept() { # one statement in the session that is kept
  local have
  have=$(wc -l <answers)
  printf '%s;\n' "$1" >&3
  until [ "$(wc -l <answers)" -gt "$have" ]; do sleep 0.05; done
  tail -n 1 answers
}

set_to() { as sh -c "echo \"search_path = '$1'\" >data/conf.part"; }
as sh -c "echo \"include_if_exists 'conf.part'\" >>data/postgresql.conf"
set_to before
new 'SELECT pg_reload_conf()' >/dev/null
until [ "$(new 'SHOW search_path')" = before ]; do sleep 0.05; done
kept 'SHOW search_path' >/dev/null # it has taken that reload, and is idle from here on
loaded=$(new 'SELECT pg_conf_load_time()')
new 'SELECT pg_reload_conf()' >/dev/null # 1. for whatever reason
until [ "$(new 'SELECT pg_conf_load_time()')" != "$loaded" ]; do sleep 0.05; done
set_to changed                           # 2. and nobody reloads
in_kept=$(kept 'SHOW search_path')       # 3.
in_new=$(new 'SHOW search_path')
printf 'kept session: %s\nnew session: %s\n' "$in_kept" "$in_new"
[ "$in_kept" = changed ] && [ "$in_new" = before ]
