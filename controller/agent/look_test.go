package agent

import (
	"context"
	"os"
	"testing"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/health"
)

// A server goes on when its data directory is moved away. It has not ended then: the proof `stopped`, and a clone in its
// place, wait for its last process (S1, S4).
func TestDataMovedAwayIsNoEnd(t *testing.T) {
	inst := runningPrimary(t)
	m := minderOf(t, inst)
	m.agent.cfg = config.Agent{Cgroup: "off"}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := func() member.Seen {
		g := &glance{}
		m.process(ctx, inst, g)
		return g.seen
	}
	if seen := look(); seen.Process != health.ProcessRunning {
		t.Fatalf("it runs, and is seen %q", seen.Process)
	}
	check(t, os.Rename(inst.Data, inst.Data+".away"))
	if seen := look(); seen.Process != health.ProcessEnding || seen.Data != health.DataEmpty {
		t.Errorf("moved away: process %q, data %q; want %q and %q", seen.Process, seen.Data, health.ProcessEnding, health.DataEmpty)
	}
	eventually(t, "its end", func() bool {
		_ = m.kill() // within its bound, or at the next look, as the agent does
		return look().Process == health.ProcessEnded
	})
}
