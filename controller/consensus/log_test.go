package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/test/kit"

	"github.com/hashicorp/raft"
)

func TestElectCommitFailOverAndRestart(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all)
	leader := leaderOf(t, all)
	if lead := <-leader.log.Leading(); !lead {
		t.Error("the leader was not told")
	}
	if err := all[0].log.Bootstrap([]Server{all[0].server()}); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("second Bootstrap: %v", err)
	}

	var want []string
	var pending []Pending
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
		pending = append(pending, leader.log.Propose([]byte(want[i]), 5*time.Second))
	}
	var last uint64
	for i, p := range pending {
		index, value, err := p.Result()
		if err != nil || value != i+1 || index <= last {
			t.Fatalf("proposal %d: index %d after %d, value %v, %v", i, index, last, value, err)
		}
		last = index
	}
	kit.Eventually(t, "all to apply", func() bool {
		return all[0].machine.has(want...) && all[1].machine.has(want...) && all[2].machine.has(want...)
	})
	for _, n := range all {
		_, _, err := n.log.Propose([]byte("bad"), time.Second).Result()
		if n == leader && !errors.Is(err, errBad) || n != leader && !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s: %v", n.name, err)
		}
		if id, address := n.log.Leader(); id != leader.log.ID() || address != leader.address {
			t.Errorf("%s knows leader %s at %s", n.name, id, address)
		}
	}

	id, term, leading := leader.log.ID(), leader.log.Term(), leader.log.Leading()
	leader.kill()
	if lead, open := <-leading; lead {
		t.Errorf("a closed log leads: %v, %v", lead, open)
	}
	next := leaderOf(t, all)
	if next == leader || next.log.Term() <= term {
		t.Fatalf("new leader %s, term %d after %d", next.name, next.log.Term(), term)
	}
	next.say("after")
	want = append(want, "after")

	leader.start()
	if leader.log.ID() != id {
		t.Errorf("the same folder has another id: %s, then %s", id, leader.log.ID())
	}
	kit.Eventually(t, "the restarted one to catch up", func() bool { return leader.machine.has(want...) })
	kit.Eventually(t, "its Applied", func() bool { return leader.log.Applied() == next.log.Applied() })
}

func TestMembersComeGoAndLead(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all[:1])
	first := leaderOf(t, all[:1])
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for _, n := range all[1:] {
		s := n.start().server()
		s.Learner = true
		if err := first.log.Add(ctx, s); err != nil {
			t.Fatal(err)
		}
		first.say(n.name)
		kit.Eventually(t, "the learner to catch up", func() bool { return n.log.Applied() == first.log.Applied() })
		if err := first.log.Add(ctx, n.server()); err != nil {
			t.Fatal(err)
		}
	}
	servers, err := first.log.Servers(ctx)
	if err != nil || len(servers) != 3 || servers[2].Name != "c3" || servers[2].Learner {
		t.Fatalf("servers %+v, %v", servers, err)
	}
	if err := first.log.Add(ctx, Server{ID: "c3-new", Address: "127.0.0.1:1"}); err == nil ||
		!strings.Contains(err.Error(), "mainstay controllers remove c3") {
		t.Errorf("c3 twice: %v", err)
	}
	if err := first.log.Transfer(ctx, "c9-none"); err == nil || !strings.Contains(err.Error(), "not a voter") {
		t.Errorf("transfer to nobody: %v", err)
	}
	kit.Eventually(t, "c3 to take the lead, which a busy machine may let time out", func() bool {
		return first.log.Transfer(ctx, all[2].log.ID()) == nil || all[2].log.IsLeader()
	})
	if l := leaderOf(t, all); l != all[2] {
		t.Fatalf("%s leads, not c3", l.name)
	}
	if err := first.log.Remove(ctx, all[1].log.ID()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower removes: %v", err)
	}
	if err := all[2].log.Remove(ctx, all[1].log.ID()); err != nil {
		t.Fatal(err)
	}
	all[1].kill()
	if err := all[2].log.Transfer(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if l := leaderOf(t, all); l != first {
		t.Fatalf("%s leads, not c1", l.name)
	}
	if servers, err := first.log.Servers(ctx); err != nil || len(servers) != 2 {
		t.Errorf("servers %+v, %v", servers, err)
	}
}

// twin is the sink of a snapshot whose name is taken.
type twin struct {
	raft.SnapshotSink
	held bytes.Buffer
	err  error
}

func (s *twin) Write(b []byte) (int, error) { return s.held.Write(b) }
func (s *twin) Close() error {
	return &os.LinkError{Op: "rename", Old: "2-15-1.tmp", New: "2-15-1", Err: s.err}
}

// Two snapshots of one entry in one millisecond bear one name, and are one.
func TestTwoSnapshotsInAMillisecond(t *testing.T) {
	for err, bad := range map[error]bool{syscall.EEXIST: false, syscall.ENOTEMPTY: false, syscall.ENOSPC: true} {
		c := &capture{&fsm{}, 15, func() ([]byte, error) { return []byte("state"), nil }}
		if got := c.Persist(&twin{err: err}); (got != nil) != bad || (c.f.snapshotErr.Load() != nil) != bad {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestSnapshotIsRestoredAndSentToNewcomers(t *testing.T) {
	all := nodes(t, "c1", "c2")
	all[0].threshold, all[1].threshold = 2, 2 // keeps 4 entries behind a snapshot
	bootstrapped(t, all[:1])
	n := leaderOf(t, all[:1])
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint(i))
		n.say(want[i])
	}
	for range 2 { // the second has nothing new
		if err := n.log.Snapshot(ctx); err != nil {
			t.Fatal(err)
		}
	}
	applied := n.log.Applied()
	if s := n.log.Stats(); s.SnapshotIndex < applied || s.SnapshotProblem != "" || s.State != "Leader" {
		t.Errorf("stats %+v", s)
	}
	n.kill()
	n.start()
	if !n.machine.has(want...) || n.machine.restored != 1 || n.log.Applied() != applied {
		t.Fatalf("restored %d times, applied %d of %d: %v", n.machine.restored, n.log.Applied(), applied, n.machine.all)
	}
	leaderOf(t, all[:1])
	if err := n.log.Add(ctx, all[1].start().server()); err != nil {
		t.Fatal(err)
	}
	kit.Eventually(t, "the newcomer to have the state", func() bool { return all[1].machine.has(want...) })
	all[1].machine.mu.Lock()
	defer all[1].machine.mu.Unlock()
	if all[1].machine.restored != 1 {
		t.Errorf("it came by %d snapshots", all[1].machine.restored)
	}
}

// TestRetime: timeouts change while the log runs, and never below the leader's lease.
func TestRetime(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all)
	leader := leaderOf(t, all)
	for _, n := range all {
		if err := n.log.Retime(600 * time.Millisecond); err != nil || n.log.Timeout() != 600*time.Millisecond {
			t.Errorf("%s: %s, %v", n.name, n.log.Timeout(), err)
		}
		if err := n.log.Retime(50 * time.Millisecond); err == nil || n.log.Timeout() != 600*time.Millisecond {
			t.Errorf("%s took what is below its lease: %s", n.name, n.log.Timeout())
		}
	}
	leader.say("after")
	leader.kill()
	all = slices.DeleteFunc(all, func(n *node) bool { return n == leader })
	leaderOf(t, all).say("elected")
}

// TestLeisure: a leader on a quiet machine sends half as many heartbeats, and no longer does so once it follows or its machine is busy.
func TestLeisure(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all)
	leader := leaderOf(t, all)
	base := leader.log.options.Heartbeat
	waits := func(n *node, want time.Duration) {
		t.Helper()
		kit.Eventually(t, "timeouts of "+want.String()+" on "+n.name, func() bool {
			c := n.log.raft.ReloadableConfig()
			return c.HeartbeatTimeout == want && c.ElectionTimeout >= want && n.log.Timeout() <= want
		})
	}
	for _, n := range all {
		if n == leader {
			waits(n, leisure*base)
		} else {
			waits(n, base)
		}
	}
	if err := leader.log.Retime(base * 3 / 2); err != nil {
		t.Fatal(err)
	}
	waits(leader, base*3/2)
	if err := leader.log.Retime(base); err != nil {
		t.Fatal(err)
	}
	waits(leader, leisure*base)
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	kit.Eventually(t, "another leader", func() bool { return leader.log.Transfer(ctx, "") == nil && !leader.log.IsLeader() })
	waits(leader, base)
	waits(leaderOf(t, all), leisure*base)
}
