package e2e

import (
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/test/testbed"
)

// TestStaticStability: with every controller dead the primary goes on, because the other members vouch for it, though its
// agent is killed and started again, and with one replica dead too (L5, S6); and when the controllers return nothing has moved.
func TestStaticStability(t *testing.T) {
	tr := begin(t, testbed.Options{})
	p := tr.primary(t)
	pid := tr.Postmaster(p)
	for _, h := range tr.Of(true) {
		tr.check(t, tr.Kill("controller "+h.Controller, syscall.SIGKILL))
	}
	t.Log("all controllers killed")
	tr.writesOn(t, 2*platform.CountOut(platform.DefaultLease))
	own := tr.Host(p)
	tr.check(t, tr.Kill("agent "+own.Name, syscall.SIGKILL))
	tr.check(t, tr.StartAgent(own.Name))
	t.Logf("the agent of %s killed and started again", p)
	tr.writesOn(t, 2*platform.CountOut(platform.DefaultLease))
	lost := tr.replicaOf(p)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(lost)...))
	t.Logf("%s killed as well", lost.Member)
	tr.writesOn(t, 2*platform.CountOut(platform.DefaultLease))
	for _, h := range tr.Of(true) {
		tr.check(t, tr.StartController(h.Controller))
	}
	tr.check(t, tr.StartAgent(lost.Name))
	if tr.healthy(t); tr.primary(t) != p || tr.Postmaster(p) != pid {
		t.Error("the absence of all controllers had an effect on the database")
	}
	tr.judge()
}

// writesOn waits until a write was acknowledged that was begun after everything granted before has ended.
func (tr *trial) writesOn(t *testing.T, after time.Duration) {
	t.Helper()
	began, mark := time.Now(), ""
	tr.check(t, tr.Wait(tr.ctx, "an acknowledged post "+after.String()+" later", func() (bool, string) {
		if time.Since(began) < after {
			return false, "too early"
		}
		if mark == "" {
			mark = tr.load.Mark()
		}
		report, err := tr.load.Report(mark)
		return err == nil && report.Tally.Acked > 0, ""
	}))
}

func (tr *trial) replicaOf(primary string) testbed.Host {
	for _, h := range tr.Of(false) {
		if h.Member != primary {
			return h
		}
	}
	return testbed.Host{}
}
