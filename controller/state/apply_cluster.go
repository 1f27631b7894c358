package state

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func (s *State) epoch(number uint64) platform.Epoch {
	return platform.Epoch{Generation: s.Generation, Number: number}
}

// nextNumber takes the next epoch number: none is used twice, whatever becomes of the attempt.
func (s *State) nextNumber(c *Cluster) platform.Epoch {
	c.HighEpoch++
	return s.epoch(c.HighEpoch)
}

func applyBirth(s *State, c *Cluster, cmd Command) error {
	b := cmd.Birth
	if c.Primary != "" {
		return fmt.Errorf("cluster %s is born already; its primary is %s", c.Name, c.Primary)
	}
	if c.Members[b.Member] == nil {
		return fmt.Errorf("cluster %s has no member %s", c.Name, b.Member)
	}
	kind := Birth
	c.Timeline = 1
	if b.Adopt {
		kind = Adoption
		// It has opened, for those who copy it, once its agent has brought it under our settings.
		c.SystemID, c.Timeline, c.History, c.Ancestry = b.SystemID, b.Timeline, b.History, b.History
		// An adopted cluster stays asynchronous until enough replicas stream under their new names: its clients must not
		// begin to wait for acknowledgements that nobody gives yet.
		c.addSet(s.epoch(c.HighEpoch+1), 0, nil)
	}
	c.Epoch = s.nextNumber(c)
	c.HighTimeline = max(c.HighTimeline, c.Timeline)
	c.Primary = b.Member
	c.grantedUnder(b.Guarded)
	if !b.Adopt {
		c.addSet(c.Epoch, s.ClusterConfig(c.Name).Durability.Acks, s.Ackers(c, c.Primary))
	}
	op := c.begin(Operation{Kind: kind, Reason: b.Reason, By: cmd.By, To: b.Member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	if b.Adopt {
		op.end(Done, b.Member+" goes on as primary, without a restart", cmd.At)
	}
	return nil
}

// Ackers are the incarnations of all members whose acknowledgements count for a primary, in the order of their members'
// names: those of other sites only, where durability.from says so.
func (s *State) Ackers(c *Cluster, primary string) []string {
	conf := s.ClusterConfig(c.Name)
	var names []string
	for _, n := range sortedKeys(c.Members) {
		if n != primary && s.MayAck(conf, primary, n) {
			names = append(names, c.Members[n].Incarnation)
		}
	}
	return names
}

// MayAck tells whether a member's acknowledgements count for a primary, by durability.from. Those of one that is leaving
// do not.
func (s *State) MayAck(conf *platform.Cluster, primary, member string) bool {
	return mayAck(s.Platform, conf, primary, member)
}

func mayAck(in *platform.Platform, conf *platform.Cluster, primary, member string) bool {
	p, m := conf.Member(primary), conf.Member(member)
	if p == nil || m == nil || m.Leaving {
		return false
	}
	return !m.NoAck && (conf.Durability.From != "other-site" || in.SiteOf(p.Host) != in.SiteOf(m.Host))
}

func (c *Cluster) addSet(epoch platform.Epoch, acks int, names []string) {
	if acks == 0 {
		names = nil
	}
	sort.Strings(names)
	c.HighSet++
	c.Sets = append(c.Sets, platform.Set{ID: c.HighSet, Epoch: epoch, Acks: acks, Names: names})
}

func applyBegin(s *State, c *Cluster, cmd Command) error {
	b := cmd.Begin
	switch {
	case c.Primary == "":
		return fmt.Errorf("cluster %s has no primary yet", c.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is under way; see `mainstay status`", c.Name, c.Attempt.Operation)
	case c.Pause != nil && b.Accepted == nil:
		return fmt.Errorf("cluster %s is paused by %s (%s); run `mainstay resume %s` first", c.Name, c.Pause.By, c.Pause.Reason, c.Name)
	}
	if b.To != "" {
		if err := s.mayBeAsked(c, b.To); err != nil {
			return err
		}
	}
	if b.Change != "" && (s.Change == nil || s.Change.ID != b.Change || s.Change.Halted != "") {
		return fmt.Errorf("site switchover %s is not under way", b.Change)
	}
	number := s.nextNumber(c)
	op := c.begin(Operation{Kind: b.Kind, Reason: b.Reason, By: cmd.By, From: c.Primary, To: b.To, Epoch: number, Prediction: b.Prediction}, cmd.At)
	c.Attempt = &Attempt{Number: number, Phase: PhaseSeal, Operation: op.ID, To: b.To, StopOld: b.StopOld, Accepted: b.Accepted}
	if b.Kind == Switchover {
		c.Attempt.Phase = PhaseCheckpoint
	}
	if b.Change != "" {
		s.tried(c.Name, op.ID, cmd.At)
	}
	return nil
}

// mayBeAsked tells why an operator may not name a member as the next primary.
func (s *State) mayBeAsked(c *Cluster, member string) error {
	m := c.Members[member]
	if s.leaving(c.Name, member) {
		return fmt.Errorf("%s %s", member, beingRemoved)
	}
	if m == nil {
		return fmt.Errorf("cluster %s has no member %s", c.Name, member)
	}
	if m.Excluded != "" && member != c.Primary {
		return fmt.Errorf("%s must not be promoted: %s", member, m.Excluded) // S5
	}
	return nil
}

// grantedUnder notes whether the end of a lease of the epoch that begins will prove anything: not in a pause, which the
// guards of whoever leads then have from the start (L7). Its end says anew whether they are bound.
func (c *Cluster) grantedUnder(guarded bool) { c.Guarded = guarded && c.Pause == nil }

func (c *Cluster) attempt(n platform.Epoch) error {
	if c.Attempt == nil || c.Attempt.Number != n {
		return fmt.Errorf("cluster %s: attempt %s is not under way", c.Name, n)
	}
	return nil
}

func applyAdvance(s *State, c *Cluster, cmd Command) error {
	a := cmd.Advance
	if err := c.attempt(a.Attempt); err != nil {
		return err
	}
	if a.Phase.order() < c.Attempt.Phase.order() {
		return fmt.Errorf("cluster %s: attempt %s is past phase %s", c.Name, a.Attempt, a.Phase)
	}
	if a.To != "" {
		if err := s.mayBeAsked(c, a.To); err != nil {
			return err
		}
		c.Attempt.To = a.To
	}
	if f := a.Feed; f != nil {
		if a.Phase != PhaseSeal || c.Attempt.Fed || f.From == f.To || f.From == c.Primary || f.To == c.Primary || c.Members[f.From] == nil || c.Members[f.To] == nil {
			return fmt.Errorf("cluster %s: %s cannot hand its WAL to %s in attempt %s", c.Name, f.From, f.To, a.Attempt)
		}
		c.Attempt.Fed = true
	}
	c.Attempt.Feed = a.Feed
	c.Attempt.Phase = a.Phase
	c.Attempt.StopOld = c.Attempt.StopOld || a.StopOld
	if a.Accepted != nil {
		c.Attempt.Accepted = a.Accepted
	}
	if op := c.open(c.Attempt.Operation); op != nil {
		op.step(string(a.Phase), cmd.At, a.Note)
	}
	return nil
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
	inPlace := p.Member == old
	if op := c.open(c.Attempt.Operation); op != nil {
		op.To, op.Proof, op.Positions, op.NotChosen, op.Loss, op.Timeline = p.Member, &p.Proof, p.Positions, p.NotChosen, p.Loss, p.Timeline
		op.step("promote", cmd.At, fmt.Sprintf("%s, proof %s (%s)", p.Member, p.Proof.Kind, p.Proof.Detail))
	}
	if !inPlace { // which goes on with its timeline
		fork := p.fork(c.Timeline)
		c.Ancestry = append(c.Ancestry.Before(fork.Timeline), fork)
		c.ForkGuessed, c.ForkFinal = true, p.Clean
	}
	c.Epoch, c.Primary, c.Timeline = p.Attempt, p.Member, p.Timeline
	c.grantedUnder(p.Guarded)
	c.HighTimeline = max(c.HighTimeline, p.Timeline)
	c.Opened, c.History, c.Attempt, c.Upstreams, c.Doubtful, c.Unbound = false, nil, nil, nil, false, false
	c.addSet(c.Epoch, s.ClusterConfig(c.Name).Durability.Acks, c.firstSet(s, old, p, inPlace))
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
	return platform.Fork{} // accepted without a position: everybody waits
}

// Fork is where Timeline left the one before it, as far as is known, nil if it is the first.
func (c *Cluster) Fork() *platform.Fork {
	if len(c.Ancestry) == 0 {
		return nil
	}
	return &c.Ancestry[len(c.Ancestry)-1]
}

// Descends tells whether WAL that ends at a position of timeline t is part of the way to the cluster's timeline. What a
// promoted member had is not known well before it has opened: who has more of that timeline then may go on in its stead.
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

// firstSet chooses who must acknowledge to a new primary: those sealed for this promotion, which are surely not past the
// point where its timeline forks. A standby that is past it is refused the stream, but not before it has reported a flush
// position that would count as an acknowledgement. The others enter once they stream, unless too few would be left.
// An old primary that was not stopped cleanly may hold WAL that never left it: its next data gets a new name.
func (c *Cluster) firstSet(s *State, old string, p *Promote, inPlace bool) []string {
	if p.Clean || inPlace {
		return s.Ackers(c, c.Primary)
	}
	c.Members[old] = &Member{Incarnation: c.incarnate(old), Excluded: c.Members[old].Excluded, Listed: c.Members[old].Listed}
	var names []string
	for _, sealed := range p.Sealed {
		if m := c.Members[sealed.Member]; m != nil && sealed.Member != p.Member && s.MayAck(s.ClusterConfig(c.Name), p.Member, sealed.Member) && m.Incarnation == sealed.Incarnation {
			names = append(names, sealed.Incarnation)
		}
	}
	if len(names) < s.ClusterConfig(c.Name).Durability.Acks {
		return s.Ackers(c, c.Primary)
	}
	return names
}

// validPromotion is the gate of S2, S4 and S5: whatever the proposer thought, this is what the log accepts.
func (c *Cluster) validPromotion(s *State, p *Promote) error {
	m := c.Members[p.Member]
	switch {
	case m == nil:
		return errors.New("no such member")
	case m.Excluded != "":
		return errors.New(m.Excluded)
	case s.leaving(c.Name, p.Member):
		return errors.New(beingRemoved)
	case s.FenceOf(c.Name, p.Member) != nil:
		return errors.New("its host is fenced")
	case !c.Fencing() && p.Proof.Kind != fencing.Stopped:
		return errors.New("the primary still gets leases in this phase; only its end is a proof") // L3
	case p.Proof.Epoch != c.Epoch:
		return fmt.Errorf("the proof is for epoch %s, in force is %s", p.Proof.Epoch, c.Epoch)
	case p.Member == c.Primary && p.Timeline != c.Timeline:
		return errors.New("a restart in place keeps its timeline")
	case p.Member != c.Primary && p.Timeline <= c.HighTimeline:
		return fmt.Errorf("timeline %d was used before (highest %d)", p.Timeline, c.HighTimeline)
	}
	if err := c.validProof(s, p); err != nil {
		return err
	}
	if c.Doubtful {
		return c.validDoubtful(p)
	}
	if p.Clean && p.Proof.Kind == fencing.Stopped || p.Member == c.Primary {
		return nil // it holds everything by itself
	}
	if a := c.Attempt.Accepted; a != nil && a.Completeness {
		return nil
	}
	if err := Complete(c.Sets, p.Sealed); err != nil {
		return err
	}
	return c.isMostAdvanced(p)
}

// validDoubtful: what the lost controllers did is not known, so that only what the old primary itself shows, or an operator's
// word, stands for completeness.
func (c *Cluster) validDoubtful(p *Promote) error {
	if a := c.Attempt.Accepted; p.Clean && p.Proof.Kind == fencing.Stopped || p.Member == c.Primary && p.Proof.Kind == fencing.Stopped || a != nil && a.Completeness {
		return nil
	}
	return errors.New("the controllers were recovered since: what the old ones did is not known, so no position shows completeness")
}

func (c *Cluster) validProof(s *State, p *Promote) error {
	if k := p.Proof.Kind; c.Doubtful && (k == fencing.QuorumSealed || k == fencing.LeaseExpired) {
		return fmt.Errorf("the controllers were recovered since: the old ones may have changed what %s would rest on", k)
	}
	switch p.Proof.Kind {
	case fencing.Stopped:
		return nil
	case fencing.LeaseExpired:
		if !c.Guarded {
			return errors.New("the epoch was granted without a complete guard, so the end of its lease proves nothing") // L2
		}
		if !Unvouched(c.Sets, c.Members, p.Sealed) {
			return errors.New("too few members are sealed: others may have promised the primary to vouch for it") // L5
		}
		return nil
	case fencing.QuorumSealed:
		if !QuorumSealed(c.Sets, p.Sealed) {
			return errors.New("not enough members are sealed")
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
		return errors.New("no operator stands in for the fence in this attempt")
	}
	return fmt.Errorf("%q is no proof", p.Proof.Kind)
}

func (c *Cluster) isMostAdvanced(p *Promote) error {
	for _, s := range p.Sealed {
		if s.Member == p.Member && s.Known && !s.Behind(MostAdvanced(p.Sealed)) {
			return nil
		}
	}
	return errors.New("another sealed member is ahead of it")
}

func applyAbandon(s *State, c *Cluster, cmd Command) error {
	a := cmd.Abandon
	if err := c.attempt(a.Attempt); err != nil {
		return err
	}
	if op := c.open(c.Attempt.Operation); op != nil {
		op.end(Abandoned, a.Reason, cmd.At)
	}
	// Once seals may exist, the old primary goes on under a higher epoch, which ends them.
	if c.Attempt.Phase == PhaseSeal {
		c.Epoch = s.nextNumber(c)
	}
	c.Attempt = nil
	return nil
}

func applyOpened(s *State, c *Cluster, cmd Command) error {
	o := cmd.Opened
	switch {
	case o.Epoch != c.Epoch:
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, o.Epoch)
	case c.SystemID != "" && o.SystemID != c.SystemID:
		return fmt.Errorf("cluster %s: system identifier %s is not the cluster's %s", c.Name, o.SystemID, c.SystemID) // S5
	case o.Timeline != c.Timeline:
		return fmt.Errorf("cluster %s: %s is on timeline %d, epoch %s has %d", c.Name, c.Primary, o.Timeline, c.Epoch, c.Timeline)
	}
	c.SystemID, c.History, c.Opened = o.SystemID, o.History, true
	c.Ancestry, c.ForkGuessed = o.History, false
	if op := c.changing(); op != nil && op.Epoch == c.Epoch {
		if op.By == byMainstay && (op.Kind == Failover || op.Kind == Switchover) {
			c.Recovered = op.ID
		}
		op.end(Done, fmt.Sprintf("%s takes writes on timeline %d", c.Primary, c.Timeline), cmd.At)
	}
	return nil
}

func (c *Cluster) inForce(e platform.Epoch) error {
	if e != c.Epoch {
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, e)
	}
	if c.Fencing() {
		return fmt.Errorf("cluster %s: its durability sets are frozen while attempt %s seals", c.Name, c.Attempt.Number)
	}
	return nil
}

func applySets(s *State, c *Cluster, cmd Command) error {
	ch := cmd.Sets
	if err := c.inForce(ch.Epoch); err != nil {
		return err
	}
	if len(ch.Names) < ch.Acks {
		return fmt.Errorf("cluster %s: %d acknowledgements from %d members can never be had", c.Name, ch.Acks, len(ch.Names))
	}
	c.addSet(c.Epoch, ch.Acks, append([]string(nil), ch.Names...))
	return nil
}

func applySettled(s *State, c *Cluster, cmd Command) error {
	if err := c.inForce(cmd.Settled.Epoch); err != nil {
		return err
	}
	for i, set := range c.Sets {
		if set.ID == cmd.Settled.ID {
			c.Sets = c.Sets[i:]
			return nil
		}
	}
	return fmt.Errorf("cluster %s: durability set %d is not in force", c.Name, cmd.Settled.ID)
}

func applyReincarnate(s *State, c *Cluster, cmd Command) error {
	r := cmd.Reincarnate
	m := c.Members[r.Member]
	if m == nil || r.Member == c.Primary {
		return fmt.Errorf("cluster %s: %s is no replica", c.Name, r.Member)
	}
	if c.Fencing() {
		return fmt.Errorf("cluster %s: attempt %s counts on what %s holds; rebuild it when that has ended", c.Name, c.Attempt.Number, r.Member)
	}
	m.Incarnation, m.Joined = c.incarnate(r.Member), false
	c.direct(r.Member)
	op := c.begin(Operation{Kind: Rejoin, Reason: r.Reason, By: cmd.By, To: r.Member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	op.step("incarnation", cmd.At, m.Incarnation)
	return nil
}

func applyRejoined(s *State, c *Cluster, cmd Command) error {
	r := cmd.Rejoined
	if c.Members[r.Member] == nil {
		return fmt.Errorf("cluster %s has no member %s", c.Name, r.Member)
	}
	c.Members[r.Member].Joined, c.Members[r.Member].Listed = true, true
	op := c.rejoining(r.Member)
	if op == nil {
		op = c.begin(Operation{Kind: Rejoin, Reason: r.Member + " has new data or a new name", By: cmd.By, To: r.Member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	}
	op.Loss = r.Discard
	op.end(Done, r.Note, cmd.At)
	return nil
}

func (c *Cluster) rejoining(member string) *Operation {
	for i := len(c.Operations) - 1; i >= 0; i-- {
		if o := &c.Operations[i]; o.Kind == Rejoin && o.To == member && o.Result == Running {
			return o
		}
	}
	return nil
}

func applyPause(s *State, c *Cluster, cmd Command) error {
	p := cmd.Pause
	switch {
	case p.Pause != nil:
		if c.Attempt != nil {
			return fmt.Errorf("cluster %s: operation %s is under way; pause when it has ended", c.Name, c.Attempt.Operation)
		}
		// From here on the guard no longer counts, so neither does the end of a lease (L7).
		c.Pause, c.Guarded, c.Unbound = p.Pause, false, false
	case c.Pause == nil:
		return fmt.Errorf("cluster %s is not paused, so there is nothing to resume", c.Name)
	case p.Resume:
		c.Pause.Resuming, c.Pause.Resumed = true, s.Index
	case p.Bound && c.Pause.Resuming:
		c.Pause, c.Guarded = nil, p.Guarded
	default:
		return fmt.Errorf("cluster %s: nothing to resume", c.Name)
	}
	return nil
}

func applyLeaseCounted(s *State, c *Cluster, cmd Command) error {
	c.LongestLease = max(s.ClusterConfig(c.Name).Lease, time.Duration(cmd.LeaseCounted.Longest))
	return nil
}

func applyAck(_ *State, c *Cluster, cmd Command) error {
	switch {
	case c.Recovered == "":
		return fmt.Errorf("cluster %s: nothing blocks its next automatic failover, so there is nothing to do", c.Name)
	case cmd.Ack.Operation != "" && cmd.Ack.Operation != c.Recovered:
		return fmt.Errorf("cluster %s: operation %s blocks its next automatic failover, not %s", c.Name, c.Recovered, cmd.Ack.Operation)
	}
	c.Recovered = ""
	return nil
}
