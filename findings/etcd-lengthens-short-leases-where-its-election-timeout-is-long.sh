#!/usr/bin/env bash
# etcd 3.4: a lease of 3 s is one of 8 s where etcd is tuned for distant sites.
#
# From memory: a lease ends when it has not been renewed for its TTL, so a leader's key with a TTL of 3 s is gone 3 s after its last renewal. The
# election timeout is for etcd's own members and has to do with how soon etcd itself is back.
#
# In fact no TTL is shorter than one and a half election timeouts: a shorter one is raised without an error, and only the answer to the grant says
# so. With the 5 s that are advised for members far from each other each lease has 8 s at least, so failovers take more than twice as long as
# was configured and as was tried on one site. Who counts the time of its own lease from what it asked for is on the safe side; who waits for
# the end of another's is late. Take the TTL from the answer.
#
# Seen on etcd 3.4.23 (Debian 12).
# Fails if that changes. It needs a free port of 127.0.0.1.
set -euo pipefail
VERSION=3.4.23-4+b4
work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" || :
  [ -z "$server" ] || wait "$server" || :
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "etcd-server=$VERSION" "etcd-client=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
export ETCDCTL_API=3
root/usr/bin/etcd --version | head -n 1
client() { timeout 20 root/usr/bin/etcdctl --endpoints "http://127.0.0.1:$port" "$@" 2>&1; }
serve() { # [OPTION...]: starts one on a port that is free
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    root/usr/bin/etcd --data-dir "data$port" --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
      --listen-peer-urls http://127.0.0.1:0 --unsafe-no-fsync "$@" >log 2>&1 &
    server=$!
    until client endpoint health | grep -q 'is healthy' || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
    ! kill -0 "$server" 2>/dev/null || break
  done
}
granted() { client lease grant "$1" | sed 's/.*TTL(\(.*\)s)/\1/'; } # TTL
serve
default="$(granted 1) $(granted 3) $(granted 10)"
kill "$server"
wait "$server" || :
server=
serve --heartbeat-interval 500 --election-timeout 5000
lease=$(client lease grant 3 | cut -d ' ' -f 2)
client put --lease "$lease" leader one >/dev/null
from=$EPOCHREALTIME
for _ in $(seq 300); do [ -n "$(client get leader)" ] || break; sleep 0.1; done
lived=$(((${EPOCHREALTIME/./} - ${from/./}) / 1000000))
distant="$(granted 1) $(granted 3) $(granted 10)"
printf 'leases of 1, 3, 10 s, election timeout 1 s: %s\nelection timeout 5 s: %s; a key with one of 3 s lived for %s s\n' "$default" "$distant" "$lived"
[ "$default" = '2 3 10' ] && [ "$distant" = '8 8 10' ] && [ "$lived" -ge 6 ]
