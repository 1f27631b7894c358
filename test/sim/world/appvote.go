package world

import (
	"time"

	"mainstay/health"
)

// How many checks in a row change a controller's mind about an app server.
const (
	rise = 2
	fall = 2
)

// check is what one controller knows of an app server by its own checks.
type check struct {
	well, bad int
	health    health.Working
	at        time.Duration // when the last one that ended began
}

// probeApps checks every app server, some of them later, and appends what this controller holds of each to all.
func (c *controller) probeApps(all []health.InstanceObservation) []health.InstanceObservation {
	for _, p := range c.w.pools() {
		for _, m := range p.supervisors {
			k := c.checks[m]
			if k == nil {
				k = &check{}
				c.checks[m] = k
			}
			if c.w.rand.IntN(3) > 0 {
				k.add(m.server.serves() && c.w.net.both(c.node, m.host.node), c.now()-c.w.span(0, observeEvery))
			}
			if k.at != 0 {
				all = append(all, health.InstanceObservation{App: p.name, Instance: m.name, Health: k.health, AgeMS: (c.now() - k.at).Milliseconds()})
			}
		}
	}
	return all
}

func (k *check) add(ok bool, began time.Duration) {
	k.at = began
	if ok {
		k.well, k.bad = k.well+1, 0
	} else {
		k.well, k.bad = 0, k.bad+1
	}
	switch {
	case k.well >= rise:
		k.health = health.Well
	case k.bad >= fall:
		k.health = health.Down
	}
}
