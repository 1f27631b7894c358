package invariant

import "time"

// AppServer is one that lives: any process of it.
type AppServer struct {
	Name, Site string
	// Unattended: its agent is dead or stopped past its permit, or was until a moment ago: no process could end it. That is the one
	// limit that is stated openly.
	Unattended bool
}

// Together checks that the app servers of a pool that lives with its primary never live on two sites at once.
func (c *Checker) Together(at time.Duration, app string, living []AppServer) {
	var first *AppServer
	for i := range living {
		switch s := &living[i]; {
		case s.Unattended:
		case first == nil:
			first = s
		case first.Site != s.Site:
			c.fail("pool", at, "app %s runs on two sites at once: %s on %s, and %s on %s", app, first.Name, first.Site, s.Name, s.Site)
			return
		}
	}
}
