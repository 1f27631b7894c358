package state

import (
	"errors"
	"fmt"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// Promote ends an attempt: Member is primary of the attempt's number. Timeline is a number never used before, or the one
// in force if Member is the old primary itself, restarted in place.
type Promote struct {
	Attempt   platform.Epoch          `json:"attempt"`
	Member    string                  `json:"member"`
	Timeline  platform.Timeline       `json:"timeline"`
	Guarded   bool                    `json:"guarded"`
	Proof     fencing.Proof           `json:"proof"`
	Sealed    []Sealed                `json:"sealed"`
	Clean     bool                    `json:"clean"` // the old primary stopped cleanly and Member holds its last record
	Positions map[string]platform.LSN `json:"positions,omitempty"`
	NotChosen map[string]string       `json:"notChosen,omitempty"`
	Loss      string                  `json:"loss,omitempty"`
	// MergeSets: of equal durability sets the last one stays. A build that does not know this stops at it; without it, all keep them all.
	MergeSets bool `json:"mergeSets,omitempty"`
}

func applyPromote(s *State, c *Cluster, cmd Command) error {
	p := cmd.Promote
	if err := c.attempt(p.Attempt); err != nil {
		return err
	}
	if err := c.validPromotion(s, p); err != nil {
		return fmt.Errorf("cluster %s: promotion of %s in attempt %s refused: %w", c.Name, p.Member, p.Attempt, err)
	}
	old := c.Primary
	inPlace := c.RestartsInPlace(p.Member)
	if op := c.operationByID(c.Attempt.Operation); op != nil {
		op.To, op.Proof, op.Positions, op.NotChosen, op.Loss, op.Timeline = p.Member, &p.Proof, p.Positions, p.NotChosen, p.Loss, p.Timeline
		op.step("promote", cmd.At, fmt.Sprintf("%s, proof %s (%s)", p.Member, p.Proof.Kind, p.Proof.Detail))
	}
	if !inPlace { // a restart in place keeps its timeline
		fork := p.fork(c.Timeline)
		c.Ancestry = append(c.Ancestry.Before(fork.Timeline), fork)
		c.ForkGuessed, c.ForkFinal = true, p.Clean
	}
	c.Epoch, c.Primary, c.Timeline = p.Attempt, p.Member, p.Timeline
	c.grantedUnder(p.Guarded)
	c.Members[p.Member].Freeze = nil  // it has replayed all that it has
	c.Members[p.Member].Older = false // the epoch is new, and the commits that it lacks are not needed or were given up
	c.HighTimeline = max(c.HighTimeline, p.Timeline)
	c.Opened, c.History, c.Attempt, c.Upstreams, c.Unconfirmed, c.AwaitsGuards = false, nil, nil, nil, false, false
	c.addSet(c.Epoch, s.ClusterConfig(c.Name).Durability.Acks, c.firstSet(s, old, p, inPlace))
	if p.MergeSets {
		c.mergeSets()
	}
	if !inPlace {
		c.FirstOwn = c.HighSet
	}
	return nil
}

// fork is where the promoted member's WAL ended: when it was sealed, or when the primary of timeline t had been stopped.
func (p *Promote) fork(t platform.Timeline) platform.Fork {
	if p.Clean {
		return platform.Fork{Timeline: t, End: p.Positions[p.Member]}
	}
	for _, s := range p.Sealed {
		if s.Member == p.Member {
			return platform.Fork{Timeline: s.Timeline, End: s.Position}
		}
	}
	return platform.Fork{} // accepted without a position: every replica waits for the history
}

// Fork is where Timeline left the one before it, as far as is known; nil if it is the first.
func (c *Cluster) Fork() *platform.Fork {
	if len(c.Ancestry) == 0 {
		return nil
	}
	return &c.Ancestry[len(c.Ancestry)-1]
}

// Descends tells whether WAL that ends at a position of timeline t belongs to the ancestry of the cluster's timeline. The end of a
// promoted member's WAL is not certain until it has opened: until then a member with more of that timeline may replace it.
func (c *Cluster) Descends(t platform.Timeline, end platform.LSN) bool {
	fork := c.Fork()
	switch {
	case t == c.Timeline:
		return true
	case fork == nil:
		return false
	case c.ForkGuessed && (fork.Timeline == 0 || fork.Timeline == t):
		return t < c.Timeline
	}
	left, ok := c.Ancestry.ForkOf(t)
	return ok && end <= left
}

// firstSet chooses the members that must acknowledge to a new primary: those sealed for this promotion, which are certainly not
// past the fork of its timeline. A standby past the fork is refused the stream, but only after it has reported a flush
// position, which would count as an acknowledgement. The others enter once they stream, unless too few would be left. An old
// primary that was not stopped cleanly may hold WAL that never left it, so its next data gets a new incarnation.
func (c *Cluster) firstSet(s *State, old string, p *Promote, inPlace bool) []string {
	if p.Clean || inPlace {
		return s.Ackers(c, c.Primary)
	}
	was := c.Members[old] // its damage stays: a rewind keeps the blocks that it need not replace
	c.Members[old] = &Member{Incarnation: c.incarnate(old), Excluded: was.Excluded, DamagedAs: was.DamagedAs, Cleared: was.Cleared,
		ClearedAs: was.ClearedAs, KnownToPrimary: was.KnownToPrimary, Older: was.Older}
	var names []string
	for _, sealed := range p.Sealed {
		m := c.Members[sealed.Member]
		if m != nil && m.Incarnation == sealed.Incarnation && sealed.Member != p.Member &&
			s.MayAck(s.ClusterConfig(c.Name), p.Member, sealed.Member) {
			names = append(names, sealed.Incarnation)
		}
	}
	if len(names) < s.ClusterConfig(c.Name).Durability.Acks {
		return s.Ackers(c, c.Primary)
	}
	return names
}

// validPromotion is the gate of S2, S4 and S5: the log accepts nothing else, whatever the proposer decided.
func (c *Cluster) validPromotion(s *State, p *Promote) error {
	m := c.Members[p.Member]
	switch {
	case m == nil:
		return errors.New("no such member")
	case m.Excluded != "" && p.Member != c.Primary: // a restart in place makes no other member a primary
		return errors.New(m.Excluded)
	case m.Frozen() != nil && p.Member != c.Primary && !c.operatorNamed(p.Member):
		return errors.New("its replay is frozen, and no operator has chosen it: " + m.Freeze.Why)
	case s.leaving(c.Name, p.Member):
		return errors.New(beingRemoved)
	case s.FenceOf(c.Name, p.Member) != nil:
		return errors.New("its host is fenced")
	case !c.Fencing() && p.Proof.Kind != fencing.Stopped:
		return errors.New("the primary still gets leases in this phase, so only its own stop is a proof") // L3
	case p.Proof.Epoch != c.Epoch:
		return fmt.Errorf("the proof is for epoch %s, but epoch %s is in force", p.Proof.Epoch, c.Epoch)
	case !c.trusts(p.Sealed):
		return errors.New("a sealed member's data is an older copy")
	case c.Members[c.Primary].Older && (p.Clean || p.Member == c.Primary && !c.accepted()):
		return errors.New(olderPrimary)
	case c.RestartsInPlace(p.Member) && p.Timeline != c.Timeline:
		return errors.New("a restart in place keeps its timeline")
	case !c.RestartsInPlace(p.Member) && p.Timeline <= c.HighTimeline:
		return fmt.Errorf("timeline %d has been used before (highest %d)", p.Timeline, c.HighTimeline)
	}
	if err := c.validProof(s, p); err != nil {
		return err
	}
	if c.Unconfirmed {
		return c.validUnconfirmed(p)
	}
	if p.Clean && p.Proof.Kind == fencing.Stopped || p.Member == c.Primary {
		return nil // it alone holds every commit
	}
	if c.accepted() {
		return nil
	}
	if err := Complete(c.Sets, p.Sealed); err != nil {
		return err
	}
	return c.isMostAdvanced(p)
}

// validUnconfirmed: the actions of the lost controllers are not known, so only the old primary itself, or an operator's
// acceptance, shows completeness.
func (c *Cluster) validUnconfirmed(p *Promote) error {
	if a := c.Attempt.Accepted; p.Proof.Kind == fencing.Stopped && (p.Clean || p.Member == c.Primary) || a != nil && a.Completeness {
		return nil
	}
	return errors.New("the controllers were recovered since: the lost ones may have changed the durability sets, " +
		"so no position shows completeness")
}

// RestartsInPlace tells whether a promotion of that member continues the timeline in force. An older copy of the primary's disk does not:
// replicas may hold more of that timeline.
func (c *Cluster) RestartsInPlace(member string) bool {
	return member == c.Primary && !c.Members[member].Older
}

const olderPrimary = "the primary's host came back with an older copy of its disk, which may lack commits that were acknowledged"

// accepted: an operator, or the cluster's policy, accepts that commits may be lost.
func (c *Cluster) accepted() bool {
	return c.Attempt != nil && c.Attempt.Accepted != nil && c.Attempt.Accepted.Completeness
}

func (c *Cluster) validProof(s *State, p *Promote) error {
	if k := p.Proof.Kind; c.Unconfirmed && (k == fencing.QuorumSealed || k == fencing.LeaseExpired) {
		return fmt.Errorf("the controllers were recovered since: "+
			"the lost ones may have changed the durability sets, so %s is not a proof", k)
	}
	switch p.Proof.Kind {
	case fencing.Stopped:
		return nil
	case fencing.LeaseExpired:
		if !c.Guarded {
			return errors.New("the epoch was granted without both guards, so the end of its lease proves nothing") // L2
		}
		if !NoPromisesLeft(c.Sets, c.Members, p.Sealed) {
			return errors.New("too few members are sealed: promises of the others may have extended the primary's lease") // L5
		}
		return nil
	case fencing.QuorumSealed:
		if !QuorumSealed(c.Sets, p.Sealed) {
			return errors.New("too few members are sealed")
		}
		return nil
	case fencing.PoweredOff:
		if f := s.fenceOf(c); f == nil || !f.Off {
			return errors.New("no fence device has confirmed that its host is off")
		}
		return nil
	case fencing.Operator:
		if a := c.Attempt.Accepted; a != nil && a.Fence {
			return nil
		}
		return errors.New("no operator has accepted this attempt without a fence")
	}
	return fmt.Errorf("%q is not a proof", p.Proof.Kind)
}

func (c *Cluster) isMostAdvanced(p *Promote) error {
	for _, s := range p.Sealed {
		if s.Member == p.Member && s.Known && !s.Behind(MostAdvanced(p.Sealed)) {
			return nil
		}
	}
	return errors.New("another sealed member is ahead of it")
}
