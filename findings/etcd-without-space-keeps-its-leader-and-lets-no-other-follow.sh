#!/usr/bin/env bash
# etcd 3.4: an etcd that is out of space lets a leader renew its lease for ever, and nobody take over from it.
#
# From memory: with the alarm NOSPACE etcd takes reads and deletions only. A lease that cannot be renewed ends, so the leader's key is gone after
# its TTL, the leader steps down, and that a cluster without space has no leader is seen within seconds.
#
# In fact a renewal is no write: no log entry, so no alarm stops it. The leader's key stays for as long as the leader lives, and a leader that
# does nothing else but renew notices nothing at all. But no lease is granted and no key is put, so members whose keys ended cannot come back, and
# when the leader is lost its key does end and the successor's transaction fails with "mvcc: database space exceeded". The outage begins with the
# failover and not with the full etcd, which may be weeks old. Watch `etcdctl alarm list`, and let the holder of a lease write now and then.
#
# Seen on etcd 3.4.23 (Debian 12).
# Fails if that changes. It needs a free port of 127.0.0.1.
set -euo pipefail
VERSION=3.4.23-4+b4
work=$(mktemp -d)
server=
renews=
finish() {
  [ -z "$renews" ] || kill "$renews" 2>/dev/null || :
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
client() { timeout 20 root/usr/bin/etcdctl --endpoints "http://127.0.0.1:$port" "$@" 2>&1 | grep -v '"level"'; }
for _ in 1 2 3 4 5; do # a port that is free
  port=$((20000 + RANDOM % 10000))
  root/usr/bin/etcd --data-dir "data$port" --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls http://127.0.0.1:0 --unsafe-no-fsync --quota-backend-bytes 3000000 >log 2>&1 &
  server=$!
  until client endpoint health | grep -q 'is healthy' || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
  ! kill -0 "$server" 2>/dev/null || break
done
key() { client get "$1" --print-value-only || echo none; } # KEY
take() { # KEY: what a candidate does
  printf 'version("%s") = "0"\n\nput %s candidate\n\n\n\n' "$1" "$1" | client txn | grep -v '^$' | tail -n 1 | sed 's/^Error: //' || :
}
leader=$(client lease grant 5 | cut -d ' ' -f 2)
member=$(client lease grant 5 | cut -d ' ' -f 2)
client put --lease "$leader" leader first >/dev/null
client put --lease "$member" member second >/dev/null
timeout 300 root/usr/bin/etcdctl --endpoints "http://127.0.0.1:$port" lease keep-alive "$leader" >renewed 2>&1 &
renews=$!
head -c 400000 /dev/urandom | base64 -w 0 >value
for i in $(seq 20); do client put "k$i" <value >/dev/null || :; done
alarm=$(client alarm list | grep -o NOSPACE)
sleep 11 # two times of a lease
printf 'alarm: %s\n11 s later, the leader: %s, a member that does not renew: %s\n' "$alarm" "$(key leader)" "$(key member)"
kept="$(key leader) $(key member)"
grant=$(client lease grant 5 | sed 's/.*(\(.*\))/\1/') || :
again=$(take member)
kill "$renews"
wait "$renews" || :
renews=
for _ in $(seq 100); do [ "$(key leader)" != none ] || break; sleep 0.2; done
lost=$(key leader)
taken=$(take leader)
printf 'a new lease: %s\nthe member again: %s\nthe leader lost, its key: %s, a candidate: %s\n' "$grant" "$again" "$lost" "$taken"
full='etcdserver: mvcc: database space exceeded'
[ "$alarm" = NOSPACE ] && [ "$kept" = 'first none' ] && [ "$grant" = "$full" ] && [ "$again" = "$full" ] && [ "$lost" = none ] && [ "$taken" = "$full" ]
