package loop

import (
	"testing"
	"time"

	"mainstay/controller/decide"
	"mainstay/health"
)

// TestPause: while all is well the next decision is due when a report is late or a barrier due; at every doubt it is due soon.
func TestPause(t *testing.T) {
	const began = time.Minute
	now := began + time.Hour // all has been well for long
	limit := doubtAfter(lease)
	for name, c := range map[string]struct {
		change func(*Core)
		want   time.Duration
	}{
		"all well":           {func(*Core) {}, limit - 200*time.Millisecond},
		"it follows":         {func(c *Core) { c.Follow() }, followEvery},
		"a barrier runs":     {func(c *Core) { c.propose(now) }, decideEvery},
		"it has just begun":  {func(c *Core) { c.moved = now - settling/2 }, decideEvery},
		"there is a problem": {func(c *Core) { c.last.Problems = []health.Problem{{Kind: health.PrimaryStuck}} }, decideEvery},
		"a condition holds": {func(c *Core) {
			m := primary()
			m.SyncWaits = 3
			report(t, c, "h1", "m1", m, now)
			c.last = decide.Next(c.input(now, time.Unix(0, 0)))
			c.last.Problems = nil
		}, decideEvery},
		"an agent is late": {func(c *Core) { report(t, c, "h2", "m2", health.Member{}, now-limit) }, decideEvery},
		"an agent was never heard": {func(c *Core) {
			c.view = health.NewView(began)
		}, decideEvery},
		"PostgreSQL does not answer": {func(c *Core) { report(t, c, "h1", "m1", health.Member{Stale: 600}, now) }, decideEvery},
		"it does not commit":         {func(c *Core) { report(t, c, "h1", "m1", health.Member{WriteStale: 800}, now) }, decideEvery},
		"a report waits for others":  {func(c *Core) { wait(c, now-15*time.Millisecond, now-time.Second) }, 5 * time.Millisecond},
		"a report waits for its time": {func(c *Core) { wait(c, now-100*time.Millisecond, now-400*time.Millisecond) },
			50 * time.Millisecond},
		"a barrier is due": {func(c *Core) { wait(c, now-100*time.Millisecond, now-time.Second) }, time.Millisecond},
	} {
		core := leader(t, began)
		for i, host := range []string{"h1", "h2", "h3"} {
			report(t, core, host, []string{"m1", "m2", "m3"}[i], health.Member{}, now-time.Duration(i)*100*time.Millisecond)
		}
		core.waiting, core.proposed = nil, now-time.Second
		c.change(core)
		if got := core.Pause(now); got != c.want || core.pause != got {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func report(t *testing.T, c *Core, host, member string, m health.Member, at time.Duration) {
	t.Helper()
	m.Name = member
	number := uint64(1)
	if r := c.view.Report(host); r != nil {
		number = r.Number + 1
	}
	c.view.Fold(&health.Report{Host: host, RunID: "r", Number: number, Members: []health.Member{m}}, "r", 0, at)
}

func wait(c *Core, since, proposed time.Duration) {
	c.waiting, c.waits, c.proposed = []waitingReport{{}}, since, proposed
}

// TestLoopIsNotLost: a long pause that was meant is no time in which the loop did not run.
func TestLoopIsNotLost(t *testing.T) {
	c := leader(t, time.Minute)
	now := time.Hour
	c.decided, c.pause, c.barrierSince = now-700*time.Millisecond, 700*time.Millisecond, now-10*time.Millisecond
	if c.distrustSelf(now); c.barrierSince != now-10*time.Millisecond {
		t.Errorf("a barrier of 10 ms is %s old", now-c.barrierSince)
	}
	c.decided, c.pause, c.barrierSince = now-900*time.Millisecond, 0, now-900*time.Millisecond
	if c.distrustSelf(now); c.barrierSince != now-decideEvery {
		t.Errorf("of 900 ms in which the loop did not run, %s count", now-c.barrierSince)
	}
}
