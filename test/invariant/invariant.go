// Package invariant holds the claims of the safety argument as seen from outside: from what members did and what clients
// were told, never from what the controllers thought. It must never import decide; a mistake there would hide itself.
//
// Facts enter by the methods of Checker, in the order in which they happened; violations leave by Violations.
package invariant

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
)

// Violation is one broken claim, with when and how.
type Violation struct {
	Rule string // S1, S2, ...
	At   time.Duration
	Text string
}

func (v Violation) String() string { return fmt.Sprintf("%s at %s: %s", v.Rule, v.At, v.Text) }

// Checker watches one cluster.
type Checker struct {
	acks       int
	violations []Violation

	acked     []Commit
	newest    platform.Epoch            // of any acknowledgement so far
	by        map[platform.Epoch]string // who acknowledged under an epoch
	promised  map[string]platform.Epoch // the highest epoch each member has persisted
	inForce   platform.Epoch            // of the committed state
	timelines map[platform.Timeline]string
}

// Commit is one write that a client was told is safe.
type Commit struct {
	ID     uint64
	At     time.Duration
	Member string
	Epoch  platform.Epoch
}

// New watches a cluster whose commits wait for acks replicas; with 0 every commit of a primary counts.
func New(acks int) *Checker {
	return &Checker{acks: acks, by: map[platform.Epoch]string{}, promised: map[string]platform.Epoch{}, timelines: map[platform.Timeline]string{}}
}

func (c *Checker) fail(rule string, at time.Duration, format string, args ...any) {
	c.violations = append(c.violations, Violation{rule, at, fmt.Sprintf(format, args...)})
}

// Violations are all broken claims so far.
func (c *Checker) Violations() []Violation { return c.violations }

// Acked is how many commits were acknowledged.
func (c *Checker) Acked() int { return len(c.acked) }

// Last is when the last commit was acknowledged.
func (c *Checker) Last() time.Duration {
	if len(c.acked) == 0 {
		return 0
	}
	return c.acked[len(c.acked)-1].At
}

// Acknowledged checks S1: epochs order all acknowledgements, and each epoch has one member.
func (c *Checker) Acknowledged(id uint64, at time.Duration, member string, epoch platform.Epoch) {
	if epoch.Less(c.newest) {
		c.fail("S1", at, "%s acknowledged commit %d under epoch %s after one under %s", member, id, epoch, c.newest)
	}
	c.newest = epoch
	if who, ok := c.by[epoch]; ok && who != member {
		c.fail("S1", at, "%s acknowledged commit %d under epoch %s, which is %s's", member, id, epoch, who)
	}
	c.by[epoch] = member
	c.acked = append(c.acked, Commit{id, at, member, epoch})
}

// Promised checks S3 for what a member has on disk. forgotten says that its disk was lost since.
func (c *Checker) Promised(at time.Duration, member string, epoch platform.Epoch, forgotten bool) {
	if was := c.promised[member]; !forgotten && epoch.Less(was) {
		c.fail("S3", at, "%s persisted epoch %s after %s", member, epoch, was)
	}
	c.promised[member] = epoch
}

// Began checks S3 for a primary that begins to take writes: never under an epoch below the highest the member promised.
func (c *Checker) Began(at time.Duration, member string, epoch platform.Epoch) {
	if epoch.Less(c.promised[member]) {
		c.fail("S3", at, "%s became primary under epoch %s, having promised %s", member, epoch, c.promised[member])
	}
}

// InForce checks that the epochs of the committed state only grow (S3).
func (c *Checker) InForce(at time.Duration, epoch platform.Epoch) {
	if epoch.Less(c.inForce) {
		c.fail("S3", at, "the epoch in force went from %s back to %s", c.inForce, epoch)
	}
	c.inForce = epoch
}

// NewTimeline checks that a timeline number is taken by one promotion only.
func (c *Checker) NewTimeline(at time.Duration, member string, tl platform.Timeline) {
	if who, ok := c.timelines[tl]; ok && who != member {
		c.fail("timeline", at, "%s took timeline %d, which %s had taken", member, tl, who)
	}
	c.timelines[tl] = member
}

// Proven checks S4: when a proof that claims the old primary's end is accepted, it has ended.
func (c *Checker) Proven(at time.Duration, kind, old string, epoch platform.Epoch, writable bool) {
	if writable {
		c.fail("S4", at, "proof %s of epoch %s was accepted while %s took writes under it", kind, epoch, old)
	}
}

// Discards checks that data whose name may still be counted on is never discarded (S2, S9). needed says that the newest set
// the member knows of cannot be satisfied without its next data: the one exception, or nothing would ever go on.
func (c *Checker) Discards(at time.Duration, member, incarnation string, needed bool, inForce []platform.Set) {
	if needed {
		return
	}
	for _, s := range inForce {
		if s.Acks > 0 && s.Has(incarnation) {
			c.fail("S9", at, "%s discarded the data named %s, which durability set %d (acks %d of %v) counts on", member, incarnation, s.ID, s.Acks, s.Names)
		}
	}
}

// Survive checks S2 after everything has healed: the primary holds every commit that was acknowledged.
func (c *Checker) Survive(at time.Duration, primary string, holds func(id uint64) bool) {
	if c.acks == 0 {
		return
	}
	for _, a := range c.acked {
		if !holds(a.ID) {
			c.fail("S2", at, "commit %d, acknowledged by %s at %s under epoch %s, is not on %s", a.ID, a.Member, a.At, a.Epoch, primary)
			return
		}
	}
}

// Alive checks S8: after the heal there is a primary that acknowledges, and every replica streams from it.
func (c *Checker) Alive(at time.Duration, why string) {
	if why != "" {
		c.fail("S8", at, "%s", why)
	}
}
