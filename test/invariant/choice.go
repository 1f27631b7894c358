package invariant

import (
	"time"

	"mainstay/controller/platform"
)

// Candidate is a sealed member that may be promoted, in its real state and not as reported.
type Candidate struct {
	Name     string
	Timeline platform.Timeline
	Position platform.LSN
	Home     bool // on the old primary's site
	Priority int
	// Doubted: a comparison speaks against its data, and excludes no member. Clean: a scan of its files has found nothing.
	Doubted, Clean bool
}

// before is the order of choice: most advanced, then the site, then data that is not in doubt, priority, data found clean, name; all
// members order text alike. With acks 0 it bounds the loss (S2). Where one is in doubt neither is before the other here, nor where a scan
// alone could tell them apart: what was found a moment ago, or has just ended, may not have been heard.
func (a Candidate) before(b Candidate) bool {
	switch {
	case a.Timeline != b.Timeline:
		return a.Timeline > b.Timeline
	case a.Position != b.Position:
		return a.Position > b.Position
	case a.Home != b.Home:
		return a.Home
	case a.Doubted || b.Doubted:
		return false
	case a.Priority != b.Priority:
		return a.Priority > b.Priority
	case a.Clean || b.Clean:
		return false
	}
	return a.Name < b.Name
}

// Chosen checks that no candidate earlier in the order was passed over.
func (c *Checker) Chosen(at time.Duration, chosen Candidate, others []Candidate) {
	for _, o := range others {
		if o.before(chosen) {
			c.fail("order", at, "%+v was promoted before %+v", chosen, o)
			return
		}
	}
}

// Left checks that a failover leaves the old primary's site only where the policy, or an operator, lets it.
func (c *Checker) Left(at time.Duration, chosen string, allowed bool) {
	if !allowed {
		c.fail("policy", at, "%s, on another site, was promoted against failover.across-sites", chosen)
	}
}

// HandedOver checks a planned change: the old primary stopped cleanly, and the new one holds all its WAL, the shutdown
// record too, so that nothing needs a rewind.
func (c *Checker) HandedOver(at time.Duration, old, chosen string, missing int) {
	if missing > 0 {
		c.fail("handover", at, "%s was promoted as a planned successor of %s without its last %d records", chosen, old, missing)
	}
}
