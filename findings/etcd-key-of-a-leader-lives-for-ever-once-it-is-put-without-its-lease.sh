#!/usr/bin/env bash
# etcd 3.4: a leader that updates the value of its own key without naming the lease makes itself leader for ever.
#
# From memory: a lease is attached to a key when the key is made. A later put changes the value (a position, an address), the lease stays attached,
# and the key ends with it; `lease timetolive --keys` and a revocation reach the key as before.
#
# In fact each put states the lease anew, and none means no lease. The lease lives on and is renewed without an error, only it holds no key any
# more. As long as the leader is well all looks right. When it is lost its lease ends, the key stays with its name, and nobody can take over: the
# outage lasts until somebody deletes the key by hand. It takes one update by another program, a script or a repair with etcdctl. Put with
# the lease each time, or with --ignore-lease (IgnoreLease), which keeps what is attached.
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
serve
keys() { client lease timetolive "$1" --keys | grep -o 'attached keys.*'; } # LEASE
course() { # OPTION... of the second put: prints the lease's keys after it, and what is left when the lease has ended
  local lease
  lease=$(client lease grant 5 | cut -d ' ' -f 2)
  client put --lease "$lease" leader one >/dev/null
  client put "$@" leader 'one, at 0/3000060' >/dev/null
  local attached
  attached=$(keys "$lease")
  client lease revoke "$lease" >/dev/null # as at its end
  echo "$attached, then the key is $(client get leader --print-value-only | grep . || echo gone)"
  client del leader >/dev/null
}
without=$(course)
ignoring=$(course --ignore-lease)
printf 'put without a lease: %s\nput --ignore-lease: %s\n' "$without" "$ignoring"
[ "$without" = 'attached keys([]), then the key is one, at 0/3000060' ] && [ "$ignoring" = 'attached keys([leader]), then the key is gone' ]
