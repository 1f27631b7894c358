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
	violations []Violation
	excused    bool // an operator has stood in for a proof

	acked     []commit
	total     int
	last      time.Duration
	newest    platform.Epoch            // of any acknowledgement so far
	by        map[platform.Epoch]string // who acknowledged under an epoch
	began     map[platform.Epoch]string // who was started or promoted under an epoch
	promised  map[string]platform.Epoch // the highest epoch each member has persisted
	inForce   platform.Epoch            // of the committed state
	timelines map[platform.Timeline]string
}

// commit is one write that waited for its acknowledgements and was then told to be safe.
type commit struct {
	id     uint64
	at     time.Duration
	member string
	epoch  platform.Epoch
}

// New watches a cluster.
func New() *Checker {
	return &Checker{by: map[platform.Epoch]string{}, began: map[platform.Epoch]string{}, promised: map[string]platform.Epoch{},
		timelines: map[platform.Timeline]string{}}
}

func (c *Checker) fail(rule string, at time.Duration, format string, args ...any) {
	c.violations = append(c.violations, Violation{rule, at, fmt.Sprintf(format, args...)})
}

// Violations are all broken claims so far.
func (c *Checker) Violations() []Violation { return c.violations }

// Acked is how many commits were acknowledged.
func (c *Checker) Acked() int { return c.total }

// Last is when the last commit was acknowledged.
func (c *Checker) Last() time.Duration { return c.last }

// Excuse records that an operator has stood in for a fence or for completeness (S4): from here on a lost commit, or one
// acknowledged twice, is the operator's choice.
func (c *Checker) Excuse() { c.excused, c.acked = true, nil }

// Excused tells whether that has happened.
func (c *Checker) Excused() bool { return c.excused }

// Promised checks S3 for what a member has on disk. forgotten says that its disk was lost since.
func (c *Checker) Promised(at time.Duration, member string, epoch platform.Epoch, forgotten bool) {
	if was := c.promised[member]; !forgotten && epoch.Less(was) {
		c.fail("S3", at, "%s persisted epoch %s after %s", member, epoch, was)
	}
	c.promised[member] = epoch
}

// InForce checks that the epochs of the committed state only grow (S3).
func (c *Checker) InForce(at time.Duration, epoch platform.Epoch) {
	if epoch.Less(c.inForce) {
		c.fail("S3", at, "the epoch in force moved back from %s to %s", c.inForce, epoch)
	}
	c.inForce = epoch
}

// Obeyed checks that a leader's answer which replaces another in an agent was decided no earlier: the answers of a deposed leader, and
// those to another copy of a report, may be late.
func (c *Checker) Obeyed(at time.Duration, name string, was, is platform.Age) {
	if is.Generation < was.Generation || is.Generation == was.Generation && is.Index < was.Index {
		c.fail("goals", at, "%s obeyed entry %d of generation %d after entry %d of %d", name, is.Index, is.Generation, was.Index, was.Generation)
	}
}

// NewTimeline checks that a timeline number is taken by one promotion only.
func (c *Checker) NewTimeline(at time.Duration, member string, tl platform.Timeline) {
	if who, ok := c.timelines[tl]; ok && who != member {
		c.fail("timeline", at, "%s took timeline %d, which %s had taken", member, tl, who)
	}
	c.timelines[tl] = member
}

// Foreign is called when a standby is given WAL that PostgreSQL takes for the continuation of its own, and is not (S5).
func (c *Checker) Foreign(at time.Duration, standby, primary string, tl platform.Timeline) {
	c.fail("S5", at, "%s streams WAL of timeline %d from %s that does not continue its own", standby, tl, primary)
}

// Proven checks S4: when a proof that claims the old primary's end is accepted, it has ended.
func (c *Checker) Proven(at time.Duration, kind, old string, epoch platform.Epoch, writable bool) {
	if writable {
		c.fail("S4", at, "proof %s of epoch %s was accepted while %s took writes under it", kind, epoch, old)
	}
}

// Discards checks that data whose name may still be counted on is never discarded (S2, S9). needed says that the newest set
// the member knows of cannot be satisfied without its next data, or has no other member: without these exceptions the wait would never
// end.
func (c *Checker) Discards(at time.Duration, member, incarnation string, needed bool, inForce []platform.DurabilitySet) {
	if needed {
		return
	}
	for _, s := range inForce {
		if s.Acks > 0 && s.Has(incarnation) {
			c.fail("S9", at, "%s discarded the data named %s, which durability set %d (acks %d of %v) counts on", member, incarnation, s.ID, s.Acks,
				s.Names)
		}
	}
}

// Alive checks S8: after the heal there is a primary that acknowledges, and every replica streams from it.
func (c *Checker) Alive(at time.Duration, why string) {
	if why != "" {
		c.fail("S8", at, "%s", why)
	}
}

// Within checks S8 for a failover that nothing else disturbed: it took no longer than was stated beforehand. A bound of 0
// says that it has not come to its end.
func (c *Checker) Within(at, took, bound time.Duration) {
	switch {
	case bound == 0:
		c.fail("S8", at, "a predicted promotion has not happened in %s", took)
	case took > bound:
		c.fail("S8", at, "a failover took %s, but %s was predicted", took, bound)
	}
}
