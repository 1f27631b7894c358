#!/usr/bin/env bash
# lib/pq 1.12.3: target_session_attrs=read-only refuses every hot standby, and accepts only a primary that is read-only by default.
#
# From memory: lib/pq's target_session_attrs means what it means in libpq, whose text its documentation repeats: read-only takes a session that
# accepts no writes by default, a standby for instance. So readers with "host=s1,s2 target_session_attrs=read-only" share the standbys.
#
# In fact lib/pq looks at default_transaction_read_only alone, as soon as the server reports it in its greeting, and all servers do since 14. On a
# standby that is off as a rule, so each standby is refused with "session is not read-only", and no reader connects anywhere, though all standbys
# are up, and a test against PostgreSQL 13 passed (there it asks for transaction_read_only). libpq looks at in_hot_standby as well and accepts
# them. target_session_attrs=standby works with both.
#
# Seen on lib/pq 1.12.3 with PostgreSQL 15.18 (Debian 12).
# Fails if that changes. As root it runs the server as the user nobody; it needs go and the libraries of the distribution's PostgreSQL 15.
set -euo pipefail
DRIVER=v1.12.3
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
mkdir data socket client
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup data socket
as "$bin/initdb" -D data -U postgres -A trust -L "$work/root/usr/share/postgresql/15" --no-sync >/dev/null
as touch data/standby.signal # a standby without a primary is enough: it is in recovery, and answers
as "$bin/pg_ctl" -D data -l data/server.log -w -o "-p 5001 -k '$work/socket' -c listen_addresses= -c fsync=off" start >/dev/null

cat >client/main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Args[1])
	if err != nil {
		panic(err)
	}
	defer db.Close()
	var standby bool
	if err := db.QueryRow("SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("connected, in recovery:", standby)
}
GO
(cd client && { go mod init client && go get "github.com/lib/pq@$DRIVER" && CGO_ENABLED=0 go build -o client .; } >log 2>&1 || { cat log; exit 1; })
"$bin/postgres" --version
go version -m client/client | grep lib/pq
ok=yes
try() { # ATTRS ANSWER_OF_LIBPQ PATTERN_OF_THE_ANSWER_OF_LIB_PQ
  local dsn="host=$work/socket port=5001 user=postgres dbname=postgres sslmode=disable connect_timeout=20 target_session_attrs=$1" libpq pq
  libpq=$("$bin/psql" -XAtq "$dsn" -c "SELECT 'connected, in recovery: ' || pg_is_in_recovery()" 2>&1) || :
  pq=$(client/client "$dsn")
  printf '%s: libpq %s; lib/pq %s\n' "$1" "$libpq" "$pq"
  [ "$libpq" = "$2" ] && [[ $pq == $3 ]] || ok=no
}
try standby 'connected, in recovery: true' 'connected, in recovery: true'
try read-only 'connected, in recovery: true' '*session is not read-only'
[ "$ok" = yes ]
