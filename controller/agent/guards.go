package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard"
	"mainstay/health"
)

// guards holds a member's guard twins as the agent knows them. The lease path only calls extend, which asks the guards
// themselves and nothing else.
type guards struct {
	mu    sync.Mutex
	set   *guard.Set // nil until they were started
	armed platform.Epoch
	live  bool // they were armed when they were asked last, by whomever
}

var errNoGuards = errors.New("the guards do not run yet")

// ensure starts the twins, or takes up those that an earlier agent left, or that no longer answer on the connection there
// was: a stall of this host may break it, and no lease would ever reach them again. It must not be called on the lease path.
func (g *guards) ensure(ctx context.Context, o guard.Options) error {
	g.mu.Lock()
	set := g.set
	g.mu.Unlock()
	if set != nil && set.Alive() && set.Connected() {
		return nil
	}
	next, err := guard.Start(ctx, o)
	if err != nil {
		return err
	}
	g.mu.Lock()
	old := g.set
	g.set, g.armed = next, platform.Epoch{}
	g.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

func (g *guards) extend(epoch platform.Epoch, end time.Duration) error {
	set := g.get()
	if set == nil {
		return errNoGuards
	}
	if err := set.Extend(epoch.String(), end); err != nil {
		return err
	}
	g.mu.Lock()
	g.armed = epoch
	g.mu.Unlock()
	return nil
}

// disarm lets the guards idle: PostgreSQL is stopped, about to start as a standby, or its cluster is paused.
func (g *guards) disarm() error {
	set := g.get()
	if set == nil {
		return nil
	}
	if err := set.Disarm(); err != nil {
		return err
	}
	g.mu.Lock()
	g.armed = platform.Epoch{}
	g.mu.Unlock()
	return nil
}

func (g *guards) get() *guard.Set {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set
}

func (g *guards) isArmed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.armed.IsZero()
}

// check asks the guards how they are, for the next report. outside are processes of the member beyond their reach.
func (g *guards) check(fault error, outside int) health.Guard {
	set := g.get()
	if set == nil {
		missing := []string{"the guards do not run"}
		if fault != nil {
			missing = []string{fault.Error()}
		}
		return health.Guard{Missing: missing}
	}
	st, err := set.Status()
	out := health.Guard{Complete: err == nil && st.Twin && outside == 0, Missing: st.Missing}
	if err != nil {
		out.Missing = append(out.Missing, err.Error())
	}
	if outside > 0 {
		out.Missing = append(out.Missing, "processes outside the member's cgroup, until its next restart")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// One that did not answer may be armed.
	if g.live = st.Guards[0].Armed || st.Guards[1].Armed || err != nil; st.Armed {
		out.Armed = g.armed
	}
	return out
}

// counts tells whether the guards, as last asked, would kill when a lease ends.
func (g *guards) counts() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.live && g.set != nil
}

func (g *guards) close() {
	if set := g.get(); set != nil {
		set.Close()
	}
}
