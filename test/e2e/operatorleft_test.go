package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"mainstay/controller/publish"
	"mainstay/controller/state"
	"mainstay/test/testbed"
)

// leaderless: no controller answers, so the agents are asked; and the host itself, where its agent does not answer either.
func (op *operator) leaderless(t *testing.T) {
	p := op.primary(t)
	host := op.Host(p).Name
	op.expect(t, 0, nil, "status") // from it the command knows the hosts
	for _, h := range op.Of(true) {
		op.check(t, op.Kill("controller "+h.Controller, syscall.SIGKILL))
	}
	for _, args := range [][]string{{"status"}, {"explain", "feed"}} {
		op.expect(t, 1, []string{"no leader answers", "feed-e1", "feed-e2", "feed-w1", "LEASE LEFT", "next: mainstay controllers list"}, args...)
		s := op.says(t, append(args, "--output", "json")...)
		var v struct{ Agents []any }
		if err := json.Unmarshal([]byte(s.out), &v); err != nil || len(v.Agents) != 3 {
			t.Errorf("%v as JSON: %v: %s", args, err, s)
		}
	}
	agent := op.file("agent-" + host + ".yaml")
	op.expect(t, 0, []string{p, "agent " + host}, "local", "-f", agent)
	op.expect(t, 0, []string{p, "agent " + host}, "local", "-f", agent, "--address", op.Host(p).Address+":7201")
	op.check(t, op.Kill("agent "+host, syscall.SIGKILL))
	op.expect(t, 1, []string{"no answer", "The agent's state in", p, "next: systemctl status mainstay-agent"}, "local", "-f", agent)
	op.expect(t, 1, []string{"no leader answers", "no answer", ": mainstay local"}, "status")
	op.check(t, op.StartAgent(host))
	for _, h := range op.Of(true) {
		op.check(t, op.StartController(h.Controller))
	}
	op.healthy(t)
}

// accepts: nobody can be shown to hold every acknowledged commit, so nothing is promoted before an operator says so.
func (op *operator) accepts(t *testing.T) {
	p, silent := op.replica(t)
	to := ""
	for _, h := range op.Of(false) {
		if h.Member != p && h.Member != silent.Member {
			to = h.Member
		}
	}
	const reason = "the site is flooded"
	failover := []string{"failover", "feed", "--to", to, "--accept-loss", reason, "--fenced"}
	op.check(t, op.Kill("agent "+silent.Name, syscall.SIGKILL)) // its PostgreSQL receives on: it may hold what nobody else does
	op.check(t, testbed.Signal(syscall.SIGKILL, op.Everything(op.Host(p))...))
	op.sees(t, "FailoverWaits", "may give it promises", "mainstay failover feed --to MEMBER --accept-loss REASON --fenced")
	op.expect(t, 2, []string{"--accept-loss is missing"}, "failover", "feed", "--to", to)
	op.expect(t, 3, []string{"has no member nobody"}, "failover", "feed", "--to", "nobody", "--accept-loss", reason, "--yes")
	op.expect(t, 3, []string{"no terminal to confirm on"}, failover...)
	op.expect(t, 3, []string{"is running"}, "switchover", "feed", "--yes")
	op.expect(t, 0, []string{"promote " + to, "may be lost"}, append(failover, "--dry-run")...)
	if now := op.Primary(t); now != p {
		t.Fatalf("%s was promoted before anybody accepted the loss", now)
	}
	op.expect(t, 0, nil, append(failover, "--yes")...)
	last, err := op.Last(op.ctx, state.Failover)
	op.check(t, err)
	if last.Result != state.Done || last.To != to || !strings.Contains(last.Loss, "accepted by alice ("+reason+")") || last.Proof == nil {
		t.Errorf("history: %+v", last)
	}
	op.expect(t, 0, []string{"alice", reason, to}, "history", "feed", last.ID)
	op.check(t, op.StartAgent(silent.Name), op.StartAgent(op.Host(p).Name))
	op.healthy(t)
	if now := op.Primary(t); now != to {
		t.Errorf("%s is primary, want %s", now, to)
	}
}

// publishes: etcd's key follows the switchover, and stays there, also when another controller takes over the publishing.
func (op *operator) publishes(t *testing.T, url string) {
	if url == "" {
		t.Skip("etcd is not installed: `apt-get install etcd-server`")
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	op.check(t, err)
	defer client.Close()
	ctx, cancel := context.WithCancel(op.ctx)
	defer cancel()
	const key = "/mainstay/social/clusters/feed"
	changes := client.Watch(ctx, key, clientv3.WithPrefix())
	from := op.primary(t)
	op.holds(t, client, key+"/primary", from)
	op.expect(t, 0, nil, "switchover", "feed", "--yes")
	to := op.primary(t)
	op.holds(t, client, key+"/primary", to)
	leader, err := op.Leader(op.ctx)
	op.check(t, err, op.Kill("controller "+leader, syscall.SIGKILL))
	op.healthy(t)
	op.holds(t, client, key+"/primary", to)
	_, err = client.Put(ctx, key+"/end", "")
	op.check(t, err, op.StartController(leader))
	op.judgeKeys(t, changes, key, from, to)
	op.healthy(t)
}

func (op *operator) address(member string) string { return op.Host(member).Address + ":5432" }

func (op *operator) holds(t *testing.T, client *clientv3.Client, key, member string) {
	t.Helper()
	op.check(t, op.Wait(op.ctx, "etcd to name "+member, func() (bool, string) {
		got, err := client.Get(op.ctx, key)
		if err != nil || len(got.Kvs) == 0 {
			return false, "no key"
		}
		return string(got.Kvs[0].Value) == op.address(member), string(got.Kvs[0].Value)
	}))
}

// judgeKeys reads every change there was: the old primary is never named after it was taken away, and epochs only grow.
func (op *operator) judgeKeys(t *testing.T, changes clientv3.WatchChan, key, from, to string) {
	t.Helper()
	var last publish.Topology
	left, arrived := false, false
	for answer := range changes {
		op.check(t, answer.Err())
		for _, e := range answer.Events {
			value := string(e.Kv.Value)
			switch name := string(e.Kv.Key); {
			case name == key+"/end":
				if !left || !arrived {
					t.Errorf("the key of the primary was taken away: %t, and named %s: %t", left, to, arrived)
				}
				return
			case name == key+"/primary" && e.Type == clientv3.EventTypeDelete:
				left = true
			case name == key+"/primary" && value == op.address(to):
				arrived = true
			case name == key+"/primary" && (left || arrived):
				t.Errorf("etcd names %s again, after %s had left", value, from)
			case name == key:
				var next publish.Topology
				op.check(t, json.Unmarshal(e.Kv.Value, &next))
				if next.Older(last) {
					t.Errorf("%s came after %+v", value, last)
				}
				last = next
			}
		}
	}
	t.Error("the watch ended too early")
}
