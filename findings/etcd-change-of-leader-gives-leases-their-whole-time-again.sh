#!/usr/bin/env bash
# etcd 3.4: a change of leader gives every lease its whole time again, whoever has stopped renewing it.
#
# From memory: a lease of 12 s that nobody renews ends 12 s after its last renewal, so a key that names a leader is gone by then, and whoever
# waits for that knows the longest wait.
#
# In fact the remaining time is known to etcd's own leader alone. The next one starts every lease with all of its TTL (and an election timeout
# more), so the key of a dead holder lives on: after a planned move of the leadership as after a crash, and again with each further one.
# A failover that waits for a key to expire waits longest where etcd is troubled too. `etcdctl lease timetolive` asked shortly before and
# after shows it. --experimental-enable-lease-checkpoint, off by default, is there for it.
#
# Seen on etcd 3.4.23 (Debian 12).
# Fails if that changes. It needs six free ports of 127.0.0.1.
set -euo pipefail
VERSION=3.4.23-4+b4
TTL=12
work=$(mktemp -d)
servers=()
finish() {
  for pid in "${servers[@]}"; do kill "$pid" || :; done
  for pid in "${servers[@]}"; do wait "$pid" || :; done
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
apt-get -o APT::Sandbox::User=root download -qq "etcd-server=$VERSION" "etcd-client=$VERSION"
for deb in ./*.deb; do dpkg -x "$deb" root; done
export ETCDCTL_API=3
root/usr/bin/etcd --version | head -n 1
base=$((20000 + RANDOM % 10000))
url() { echo "http://127.0.0.1:$((base + $1))"; }
cluster="a=$(url 1),b=$(url 2),c=$(url 3)"
n=0
for name in a b c; do
  n=$((n + 1))
  root/usr/bin/etcd --name "$name" --data-dir "$name" --listen-peer-urls "$(url $n)" --initial-advertise-peer-urls "$(url $n)" \
    --listen-client-urls "$(url $((n + 3)))" --advertise-client-urls "$(url $((n + 3)))" --initial-cluster "$cluster" --unsafe-no-fsync >"$name.log" 2>&1 &
  servers+=($!)
done
all=$(url 4),$(url 5),$(url 6)
client() { root/usr/bin/etcdctl --endpoints "$all" "$@"; }
for _ in $(seq 100); do ! client endpoint health >/dev/null 2>&1 || break; sleep 0.2; done

status() { client endpoint status --write-out json; }
leader() { status | tr '{' '\n' | sed -n 's/.*"leader":\([0-9]*\).*/\1/p' | head -n 1; }
member() { # NUMBER: its id and its client's address
  status | tr -d '\n' | sed 's/},{"Endpoint"/}\n{"Endpoint"/g' | sed -n "s/.*\"Endpoint\":\"\([^\"]*\)\".*\"member_id\":\([0-9]*\).*/\2 \1/p" | sed -n "$1p"
}
left() { client lease timetolive "$lease" | sed -n 's/.*remaining(\(-*[0-9]*\)s).*/\1/p'; }
move() { # hands the leadership to a member that does not have it
  local now to from
  now=$(leader)
  from=$(for i in 1 2 3; do member $i; done | sed -n "s/^$now //p")
  to=$(for i in 1 2 3; do member $i; done | sed "/^$now /d" | head -n 1 | cut -d ' ' -f 1)
  root/usr/bin/etcdctl --endpoints "$from" move-leader "$(printf '%x' "$to")" >/dev/null
}
lease=$(client lease grant $TTL | cut -d ' ' -f 2)
client put --lease "$lease" leader holder >/dev/null
begun=$SECONDS
declare -a before after
for i in 1 2; do
  until [ "$(left)" -le 4 ]; do sleep 0.2; done
  before[i]=$(left)
  move
  after[i]=$(left)
  printf 'leadership moved: %s s of %s were left, then %s\n' "${before[i]}" "$TTL" "${after[i]}"
done
until [ -z "$(client get leader --print-value-only)" ]; do sleep 0.2; done
lived=$((SECONDS - begun))
printf 'a lease of %s s, never renewed, kept its key for more than two of its times: %s\n' "$TTL" "$([ $lived -gt $((2 * TTL)) ] && echo yes || echo "no, $lived s")"
for i in 1 2; do [ "${before[i]}" -le 4 ] && [ "${after[i]}" -ge $((TTL - 1)) ] || exit 1; done
[ $lived -gt $((2 * TTL)) ]
