#!/usr/bin/env bash
# PostgreSQL 15: setting a list of libraries to '' by SQL does not empty it. It locks the role out, or keeps the server from starting.
#
# From memory: ALTER ROLE app SET session_preload_libraries = '' gives that role's sessions no library, whatever the server's
# configuration says, and ALTER SYSTEM SET shared_preload_libraries = '' is how to be rid of all of them at the next start.
#
# In fact both statements succeed, and store "" (two double quotes): the values of these lists are quoted one by one, and '' is taken for
# one element with an empty name. In a configuration file, and in the options of a connection, '' does mean none. Each login of the role then
# ends with FATAL could not access file "": also a superuser's, who could have set it right. The server accepts ALTER SYSTEM, and a
# reload says only that a restart is needed; the restart ends with the same words, and the file must be edited by hand. RESET is the
# statement that was meant, where nothing else sets the list; no statement sets it to none.
#
# Seen on 15.18 (Debian 12).
# Fails if that changes. As root it runs the server as the user nobody; it needs the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
VERSION=15.18-0+deb12u1
work=$(mktemp -d)
finish() {
  [ ! -f "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null || :
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
start() { as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null 2>&1; }
ask() { "$bin/psql" -XAtq -h "$work/socket" -p 5001 -U "$1" -d postgres -c "$2" 2>&1 || :; } # ROLE STATEMENT
"$bin/postgres" --version
start
ask postgres "CREATE ROLE app LOGIN SUPERUSER"
ask postgres "ALTER ROLE app SET session_preload_libraries = ''"
stored=$(ask postgres "SELECT setconfig FROM pg_db_role_setting")
login=$(ask app "SELECT 'in'" | grep -o 'FATAL.*\|^in$')
given=$(PGOPTIONS="-c session_preload_libraries=" ask app "SELECT 'in'" | grep -o 'FATAL.*\|^in$')
ask postgres "ALTER ROLE app RESET session_preload_libraries"
reset=$(ask app "SELECT 'in'")

ask postgres "ALTER SYSTEM SET shared_preload_libraries = ''"
file=$(grep shared_preload data/postgresql.auto.conf)
as "$bin/pg_ctl" -D data -m fast -w stop >/dev/null
if start; then began=started; else began=$(grep -o 'FATAL.*' data/server.log | tail -n 1); fi
as sed -i "s/^shared_preload_libraries.*/shared_preload_libraries = ''/" data/postgresql.auto.conf
start
edited=$(ask postgres "SHOW shared_preload_libraries")
printf 'stored for the role: %s\nits login: %s\nwith an empty list in the options of the connection: %s\nafter RESET: %s\n' "$stored" "$login" "$given" "$reset"
printf 'postgresql.auto.conf: %s\nthe start: %s\nafter an edit of that file to two single quotes: started with "%s"\n' "$file" "$began" "$edited"
missing='FATAL:  could not access file "": No such file or directory'
[ "$stored" = '{"session_preload_libraries=\"\""}' ]
[ "$login" = "$missing" ] && [ "$given" = in ] && [ "$reset" = in ] &&
  [ "$file" = "shared_preload_libraries = '\"\"'" ] && [ "$began" = "$missing" ] && [ -z "$edited" ]
