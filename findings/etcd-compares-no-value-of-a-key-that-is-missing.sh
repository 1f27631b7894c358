#!/usr/bin/env bash
# etcd 3.4: in a transaction, the comparison "value is not X" is false for a key that does not exist.
#
# From memory: a key that is missing has no value, so `value("leader") != "me"` holds for it (or the missing value counts as empty, as
# the missing key's version, create and mod revision count as 0, and so `value("leader") = ""` holds).
#
# In fact any comparison of the value of a missing key is false, both = and != for whatever text, while comparisons of its version and
# revisions are done with 0. So "unless I am the leader, do ..." by value does nothing while nobody is the leader, for instance after the
# leader's lease has ended, without any error: the transaction takes its else branch. Ask for version = 0 in a transaction of its own,
# or compare the revision that was read before.
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

client() { root/usr/bin/etcdctl --endpoints "http://127.0.0.1:$port" "$@"; }
for _ in 1 2 3 4 5; do # a port that is free
  port=$((20000 + RANDOM % 10000))
  root/usr/bin/etcd --data-dir "data$port" --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls http://127.0.0.1:0 --unsafe-no-fsync >log 2>&1 &
  server=$!
  until client endpoint health >/dev/null 2>&1 || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
  ! kill -0 "$server" 2>/dev/null || break
done
holds() { # COMPARISON; prints SUCCESS or FAILURE
  printf '%s\n\n\n\n\n' "$1" | client txn | head -n 1
}
expect() {
  local got
  got=$(holds "$1")
  printf '%s: %s\n' "$1" "$got"
  [ "$got" = "$2" ]
}
echo 'the key is missing'
expect 'value("leader") != "me"' FAILURE
expect 'value("leader") = ""' FAILURE
expect 'value("leader") = "me"' FAILURE
expect 'version("leader") = "0"' SUCCESS
expect 'version("leader") != "7"' SUCCESS
expect 'mod("leader") < "5"' SUCCESS
echo 'the key has an empty value'
client put leader '' >/dev/null
expect 'value("leader") != "me"' SUCCESS
expect 'value("leader") = ""' SUCCESS
