package consensus

import (
	"context"
	"errors"
	"testing"
	"time"

	"mainstay/test/kit"
)

func TestProposalsEndInTime(t *testing.T) {
	all := nodes(t, "c1")
	bootstrapped(t, all)
	n := leaderOf(t, all)
	stuck := n.log.Propose([]byte("wait"), 100*time.Millisecond)
	behind := n.log.Propose([]byte("behind"), 100*time.Millisecond)
	for _, p := range []Pending{stuck, behind} {
		select {
		case <-p.Done():
		case <-time.After(3 * time.Second):
			t.Fatal("a proposal outlives its time")
		}
		if _, _, err := p.Result(); !errors.Is(err, ErrUnknown) {
			t.Errorf("want ErrUnknown, have %v", err)
		}
	}
	close(n.machine.gate)
	kit.Eventually(t, "both to be applied after all", func() bool { return n.machine.has("wait", "behind") })
	kit.Eventually(t, "nothing to be pending", func() bool { return n.log.Stats().Pending == 0 })
}

func TestTooManyProposals(t *testing.T) {
	all := nodes(t, "c1")
	bootstrapped(t, all)
	n := leaderOf(t, all)
	n.log.Propose([]byte("wait"), 5*time.Second)
	for range maxPending - 1 {
		n.log.Propose([]byte("x"), 5*time.Second)
	}
	if _, _, err := n.log.Propose([]byte("x"), 5*time.Second).Result(); !errors.Is(err, ErrBusy) {
		t.Errorf("want ErrBusy, have %v", err)
	}
	close(n.machine.gate)
	kit.Eventually(t, "all to be applied", func() bool { return n.log.Stats().Pending == 0 })
	n.say("again")
}

// A proposal that raft never had was surely not committed; one that it may have had is unknown.
func TestLapse(t *testing.T) {
	p := newPending(nil, time.Hour)
	p.lapse(ErrBusy, ErrClosed)
	if _, _, err := p.Result(); !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if p.hand() {
		t.Error("a finished proposal went to raft")
	}
	p = newPending(nil, time.Hour)
	if !p.hand() {
		t.Fatal("not handed")
	}
	p.lapse(ErrBusy, ErrClosed)
	p.finish(1, nil, nil)
	if _, _, err := p.Result(); !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestUnknownCommandStopsTheLog(t *testing.T) {
	all := nodes(t, "c1")
	bootstrapped(t, all)
	n := leaderOf(t, all)
	n.say("one")
	_, _, err := n.log.Propose([]byte("fatal"), 5*time.Second).Result()
	var fatal *FatalError
	if !errors.As(err, &fatal) && !errors.Is(err, ErrUnknown) { // the log may stop before raft answers
		t.Errorf("the proposer hears %v", err)
	}
	for range 2 { // a restart meets the same command
		select {
		case <-n.log.Failed():
		case <-time.After(5 * time.Second):
			t.Fatal("the log goes on")
		}
		if err := n.log.Err(); !errors.As(err, &fatal) {
			t.Error(err)
		}
		if !n.machine.has("one") {
			t.Errorf("applied %v", n.machine.all)
		}
		kit.Eventually(t, "proposals to be refused", func() bool {
			_, _, err := n.log.Propose([]byte("two"), time.Second).Result()
			return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrClosed)
		})
		if err := n.log.Snapshot(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("a snapshot without the command: %v", err)
		}
		n.kill()
		n.start()
	}
}

func TestFailingStoreStopsTheLog(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all)
	leader := leaderOf(t, all)
	var follower *node
	for _, n := range all {
		if n != leader {
			follower = n
		}
	}
	// Writes to a closed bbolt fail as they do on a full disk. The leader fails on an entry, the follower on a new term.
	follower.log.store.BoltStore.Close()
	leader.log.store.BoltStore.Close()
	if _, _, err := leader.log.Propose([]byte("x"), 5*time.Second).Result(); !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrClosed) {
		t.Errorf("the proposer hears %v", err)
	}
	for _, n := range []*node{leader, follower} {
		select {
		case <-n.log.Failed():
		case <-time.After(5 * time.Second):
			t.Fatalf("%s goes on", n.name)
		}
		var we *WriteError
		if err := n.log.Err(); !errors.As(err, &we) || we.Path != n.dir+"/raft.db" {
			t.Errorf("%s: %v", n.name, err)
		}
		if s := n.log.Stats(); s.Problem == "" {
			t.Errorf("%s: stats are silent", n.name)
		}
	}
}

func TestCloseHasADeadline(t *testing.T) {
	all := nodes(t, "c1")
	bootstrapped(t, all)
	n := leaderOf(t, all)
	p := n.log.Propose([]byte("wait"), time.Hour)
	kit.Eventually(t, "the machine to hang", func() bool { return n.log.Stats().CommitIndex > n.log.Applied() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.log.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want a deadline, have %v", err)
	}
	close(n.machine.gate)
	if _, _, err := p.Result(); err != nil && !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}
