package invariant

import (
	"time"

	"mainstay/controller/platform"
)

// Ack is one commit that a client is told of.
type Ack struct {
	ID     uint64
	At     time.Duration
	Member string
	Epoch  platform.Epoch // under which the member takes writes
	Waited bool           // it waited for acknowledgements
	Evidence
}

// Evidence is what is known of a commit from outside.
type Evidence interface {
	// Holds tells whether the receiver of that name had said that it holds the commit.
	Holds(incarnation string) bool
	// Kept tells whether the present primary has the commit in its data.
	Kept() bool
}

// late tells whether a is the late acknowledgement of a commit that a successor has taken over. Members that were sealed had told the
// old primary before how far they had flushed, and it counts that until their senders end; with one more member, that was not
// sealed, the commit is acknowledged there. The successor is the most advanced of the sealed ones, so it holds the commit.
func (a Ack) late(newest platform.Epoch) bool {
	return a.Epoch.Less(newest) && a.Waited && a.Kept()
}

// Acknowledged checks S1: epochs order all acknowledgements, and each epoch has one member; and that it was given by the
// rule of a set that the state records as in force, without which S2 is luck.
func (c *Checker) Acknowledged(a Ack, inForce []platform.DurabilitySet) {
	c.total++
	c.last = a.At
	newest := c.newest
	if newest.Less(c.inForce) { // the successor is chosen, and has yet to acknowledge something itself
		newest = c.inForce
	}
	late := a.late(newest)
	if a.Epoch.Less(c.newest) && !c.excused && !late {
		c.fail("S1", a.At, "%s acknowledged commit %d under epoch %s after one under %s", a.Member, a.ID, a.Epoch, c.newest)
	}
	if c.newest.Less(a.Epoch) {
		c.newest = a.Epoch
	}
	if who, ok := c.by[a.Epoch]; ok && who != a.Member {
		c.fail("S1", a.At, "%s acknowledged commit %d under epoch %s, which is %s's", a.Member, a.ID, a.Epoch, who)
	}
	c.by[a.Epoch] = a.Member
	if !c.excused && !late && !covered(a, inForce) {
		c.fail("S2", a.At, "%s acknowledged commit %d (waited: %v) by no durability set in force: %v", a.Member, a.ID, a.Waited, inForce)
	}
	if a.Waited && !c.excused {
		c.acked = append(c.acked, commit{a.ID, a.At, a.Member, a.Epoch})
	}
}

func covered(a Ack, inForce []platform.DurabilitySet) bool {
	for _, s := range inForce {
		n := 0
		for _, name := range s.Names {
			if a.Holds(name) {
				n++
			}
		}
		if s.Acks == 0 || a.Waited && n >= s.Acks {
			return true
		}
	}
	return false
}

// Began checks a primary that begins to take writes: never under an epoch below the highest the member promised (S3), once
// an epoch, since the end of its process closes it (S4), and with every commit that was acknowledged under an earlier one (S2). A
// promotion may be finished late, under a lease that still runs, when another epoch has begun by quorum-sealed: nothing that
// waits is acknowledged there any more.
func (c *Checker) Began(at time.Duration, member string, epoch platform.Epoch, held map[uint64]bool) {
	if epoch.Less(c.promised[member]) {
		c.fail("S3", at, "%s became primary under epoch %s, having promised %s", member, epoch, c.promised[member])
	}
	if who, ok := c.began[epoch]; ok {
		c.fail("S4", at, "%s became primary under epoch %s, which %s had begun before", member, epoch, who)
	}
	c.began[epoch] = member
	c.survive(at, member, held, func(a platform.Epoch) bool { return a.Less(epoch) })
}

// Forgot says that a member has lost its promises with its disk: the same epoch may be begun there again.
func (c *Checker) Forgot(member string) {
	for epoch, who := range c.began {
		if who == member {
			delete(c.began, epoch)
		}
	}
}

// Lapse records that commits no longer wait for replicas, because an operator asked for that: earlier commits are not
// promised to survive another loss either.
func (c *Checker) Lapse() { c.acked = nil }

// Survive checks S2: the primary holds every commit that was acknowledged.
func (c *Checker) Survive(at time.Duration, primary string, held map[uint64]bool) {
	c.survive(at, primary, held, func(platform.Epoch) bool { return true })
}

func (c *Checker) survive(at time.Duration, primary string, held map[uint64]bool, must func(platform.Epoch) bool) {
	for _, a := range c.acked {
		if !held[a.id] && must(a.epoch) {
			c.fail("S2", at, "commit %d, acknowledged by %s at %s under epoch %s, is not on %s", a.id, a.member, a.at, a.epoch, primary)
			return
		}
	}
}
