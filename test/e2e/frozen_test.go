package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/test/testbed"
)

// TestFreeze: the disk of the primary has lost a write. Once a comparison says so, the replay of a replica that has the good page is
// frozen: it shows no later change, not even after its PostgreSQL is killed, is not promoted when the primary dies, and replays again once
// an operator releases it.
func TestFreeze(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 3, Settings: []string{"durability: {acks: 1}"}})
	p := tr.primary(t)
	f := tr.freezes(t, p)
	shows := func(member, want string) func() (bool, string) {
		return func() (bool, string) {
			out, err := tr.SQL(tr.ctx, member, "postgres", "SELECT max(v) FROM pages")
			return out == want, fmt.Sprint(out, err)
		}
	}
	if page := f.Seen.Frozen.Compared[0]; !page.Differs || page.Same || f.Name == p {
		t.Errorf("compared again: %+v", page)
	}
	tr.says(t, 0, []string{"history", "feed"}, "the replay of "+f.Name+" is frozen: a comparison of the members found damage: ",
		"block 1 (lost write of "+p+")")
	tr.says(t, 3, []string{"switchover", "feed", "--to", f.Name, "--yes"}, "its replay is frozen")
	other := feed[0]
	for _, m := range feed {
		if m != p && m != f.Name {
			other = m
		}
	}
	if _, err := tr.SQL(tr.ctx, p, "postgres", "UPDATE pages SET v = 3"); err != nil {
		t.Fatal(err)
	}
	tr.check(t, tr.Wait(tr.ctx, other+" to have the next change", shows(other, "3")))
	if ok, has := shows(f.Name, "2")(); !ok {
		t.Errorf("%s shows %s, and it is frozen", f.Name, has)
	}

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.check(t, tr.Wait(tr.ctx, other+" to be promoted", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Failover)
		return err == nil && op.Result == state.Done && op.To == other, fmt.Sprint(op, err)
	}))
	op, err := tr.Last(tr.ctx, state.Failover)
	if tr.check(t, err); !strings.Contains(op.NotChosen[f.Name], "its replay is frozen") {
		t.Errorf("%s was not chosen because %q", f.Name, op.NotChosen[f.Name])
	}

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(f.Name)))
	tr.check(t, tr.Wait(tr.ctx, f.Name+" to run again, frozen", func() (bool, string) {
		now := tr.frozen(t)
		return now.Seen != nil && now.Seen.Frozen != nil && now.Seen.Frozen.Held, fmt.Sprintf("%+v", now.Seen)
	}))
	if ok, has := shows(f.Name, "2")(); !ok {
		t.Errorf("%s shows %s after a restart, and it is frozen", f.Name, has)
	}
	tr.says(t, 0, []string{"integrity", "release", f.Name, "--reason", "the table was restored", "--yes"}, "released: "+f.Name)
	tr.check(t, tr.Wait(tr.ctx, f.Name+" to replay again", shows(f.Name, "3")))
	tr.healthy(t)
	tr.judge()
}

// TestSwitchoverBesideFrozen: the role of a primary that has lost a write moves, and the frozen replica asks for no stream of the new
// one. Commits do not wait: the former primary streams and acknowledges with its damaged data, and is rebuilt once the frozen replica was
// released.
func TestSwitchoverBesideFrozen(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 3, Settings: []string{"durability: {acks: 1}"}})
	p := tr.primary(t)
	f := tr.freezes(t, p)
	tr.says(t, 0, []string{"switchover", "feed", "--yes"}, "switchover done")
	now := tr.primaryNow(t)
	tr.check(t, tr.Wait(tr.ctx, "a commit that was acknowledged", func() (bool, string) {
		_, err := tr.SQL(tr.ctx, now, "postgres", "UPDATE pages SET v = 4 WHERE n = 1")
		return err == nil, fmt.Sprint(err)
	}))
	if now := tr.frozen(t); now.Name != f.Name {
		t.Errorf("%s is frozen no more: %q", f.Name, now.Name)
	}
	tr.says(t, 0, []string{"integrity", "release", f.Name, "--reason", "another primary", "--yes"}, "released: "+f.Name)
	tr.check(t, tr.Wait(tr.ctx, p+" to have a copy of the new primary's data", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == p && op.Result == state.Done && op.Loss != "", fmt.Sprint(op, err)
	}))
	tr.healthy(t)
	tr.judge()
}

// freezes has the disk of the primary lose a write and a comparison find that, and waits for a replica to be frozen.
func (tr *trial) freezes(t *testing.T, p string) (f wire.MemberStatus) {
	t.Helper()
	tr.loseWrite(t, p, p)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = tr.CLI(tr.ctx, "integrity", "check", "feed", "--depth", "compare", "--wait", "3m")
	}()
	tr.check(t, tr.Wait(tr.ctx, "a replica to be frozen", func() (bool, string) {
		for _, m := range feed { // a difference counts once checkpoints have passed
			_, _ = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
		}
		f = tr.frozen(t)
		return f.Name != "" && f.Seen != nil && f.Seen.Frozen != nil && len(f.Seen.Frozen.Compared) > 0, fmt.Sprintf("%+v", f.Seen)
	}))
	<-done
	return f
}

// frozen is the replica that is frozen; the zero value for none.
func (tr *trial) frozen(t *testing.T) wire.MemberStatus {
	t.Helper()
	c, err := tr.Cluster(tr.ctx)
	if err != nil {
		return wire.MemberStatus{}
	}
	for _, m := range c.Members {
		if m.Frozen != nil {
			return m
		}
	}
	return wire.MemberStatus{}
}
