package state

import (
	"fmt"

	"mainstay/controller/platform"
)

// Begin starts an attempt to change the primary.
type Begin struct {
	Kind       OperationKind `json:"kind"` // Failover or Switchover
	Reason     string        `json:"reason"`
	To         string        `json:"to,omitempty"`
	StopOld    bool          `json:"stopOld,omitempty"`
	Accepted   *Acceptance   `json:"accepted,omitempty"`
	Prediction *Prediction   `json:"prediction,omitempty"`
	// Change is the site switchover that it is part of; "" for none.
	Change string `json:"change,omitempty"`
}

func applyBegin(s *State, c *Cluster, cmd Command) error {
	b := cmd.Begin
	switch {
	case c.Primary == "":
		return fmt.Errorf("cluster %s has no primary yet; `mainstay explain %s` says why", c.Name, c.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running; see `mainstay status`", c.Name, c.Attempt.Operation)
	case c.Pause != nil && c.Pause.Resuming && b.Accepted == nil:
		return fmt.Errorf("cluster %s is resuming: wait until `mainstay status` shows it without a pause", c.Name)
	case c.Pause != nil && b.Accepted == nil:
		return fmt.Errorf("cluster %s is paused by %s (%s); run `mainstay resume %s` first", c.Name, c.Pause.By, c.Pause.Reason, c.Name)
	}
	if b.To != "" {
		if err := s.mayBeAsked(c, b.To); err != nil {
			return err
		}
	}
	if b.Change != "" && (s.Change == nil || s.Change.ID != b.Change || s.Change.Halted != "") {
		return fmt.Errorf("site switchover %s is not running", b.Change)
	}
	number := s.nextNumber(c)
	op := c.begin(Operation{Kind: b.Kind, Reason: b.Reason, By: cmd.By, From: c.Primary, To: b.To,
		Epoch: number, Prediction: b.Prediction}, cmd.At)
	c.Attempt = &Attempt{Number: number, Phase: PhaseSeal, Operation: op.ID, To: b.To, StopOld: b.StopOld, Accepted: b.Accepted}
	if b.Kind == Switchover {
		c.Attempt.Phase = PhaseCheckpoint
	}
	if b.Change != "" {
		s.tried(c.Name, op.ID, cmd.At)
	}
	return nil
}

// mayBeAsked returns the reason why an operator may not name a member as the next primary.
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

// Advance moves a running attempt to its next phase.
type Advance struct {
	Attempt platform.Epoch `json:"attempt"`
	Phase   Phase          `json:"phase"`
	StopOld bool           `json:"stopOld,omitempty"`
	// Accepted lets a policy (failover.when-incomplete: accept) or an operator stand in for a proof that the attempt lacks (S4).
	Accepted *Acceptance `json:"accepted,omitempty"`
	// To is the member the operator names with it; "" keeps the earlier choice.
	To string `json:"to,omitempty"`
	// CatchUp begins a hand-over of WAL; nil ends it.
	CatchUp *CatchUp `json:"feed,omitempty"`
	Note    string   `json:"note"`
}

func applyAdvance(s *State, c *Cluster, cmd Command) error {
	a := cmd.Advance
	if err := c.attempt(a.Attempt); err != nil {
		return err
	}
	if a.Phase.order() < c.Attempt.Phase.order() {
		return fmt.Errorf("cluster %s: attempt %s is already past phase %s", c.Name, a.Attempt, a.Phase)
	}
	if a.To != "" {
		if err := s.mayBeAsked(c, a.To); err != nil {
			return err
		}
		c.Attempt.To = a.To
	}
	if f := a.CatchUp; f != nil {
		if a.Phase != PhaseSeal || c.Attempt.CaughtUp || f.From == f.To || f.From == c.Primary || f.To == c.Primary ||
			c.Members[f.From] == nil || c.Members[f.To] == nil {
			return fmt.Errorf("cluster %s: %s cannot hand its WAL to %s in attempt %s", c.Name, f.From, f.To, a.Attempt)
		}
		c.Attempt.CaughtUp = true
	}
	c.Attempt.CatchUp = a.CatchUp
	c.Attempt.Phase = a.Phase
	c.Attempt.StopOld = c.Attempt.StopOld || a.StopOld
	if a.Accepted != nil {
		c.Attempt.Accepted = a.Accepted
	}
	if op := c.operationByID(c.Attempt.Operation); op != nil {
		op.step(string(a.Phase), cmd.At, a.Note)
	}
	return nil
}

// Abandon ends an attempt without a promotion.
type Abandon struct {
	Attempt platform.Epoch `json:"attempt"`
	Reason  string         `json:"reason"`
}

func applyAbandon(s *State, c *Cluster, cmd Command) error {
	a := cmd.Abandon
	if err := c.attempt(a.Attempt); err != nil {
		return err
	}
	if op := c.operationByID(c.Attempt.Operation); op != nil {
		op.end(Abandoned, a.Reason, cmd.At)
	}
	// Once seals may exist, the old primary continues under a higher epoch, which ends them.
	if c.Attempt.Phase == PhaseSeal {
		c.Epoch = s.nextNumber(c)
	}
	c.Attempt = nil
	return nil
}

// Opened records that the primary of Epoch is writable and has checkpointed.
type Opened struct {
	Epoch    platform.Epoch    `json:"epoch"`
	SystemID string            `json:"systemID"`
	Timeline platform.Timeline `json:"timeline"`
	History  platform.History  `json:"history,omitempty"`
}

func applyOpened(s *State, c *Cluster, cmd Command) error {
	o := cmd.Opened
	switch {
	case o.Epoch != c.Epoch:
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, o.Epoch)
	case c.SystemID != "" && o.SystemID != c.SystemID:
		return fmt.Errorf("cluster %s: %s has system identifier %s, but the cluster's is %s", c.Name, c.Primary, o.SystemID, c.SystemID) // S5
	case o.Timeline != c.Timeline:
		return fmt.Errorf("cluster %s: %s is on timeline %d, but epoch %s has timeline %d", c.Name, c.Primary, o.Timeline, c.Epoch, c.Timeline)
	}
	c.SystemID, c.History, c.Opened = o.SystemID, o.History, true
	c.Ancestry, c.ForkGuessed = o.History, false
	if op := c.runningChange(); op != nil && op.Epoch == c.Epoch {
		if op.By == byMainstay && (op.Kind == Failover || op.Kind == Switchover) {
			c.Recovered = op.ID
		}
		op.end(Done, fmt.Sprintf("%s takes writes on timeline %d", c.Primary, c.Timeline), cmd.At)
	}
	return nil
}

func (c *Cluster) attempt(n platform.Epoch) error {
	if c.Attempt == nil || c.Attempt.Number != n {
		return fmt.Errorf("cluster %s: attempt %s is not running", c.Name, n)
	}
	return nil
}

func (c *Cluster) inForce(e platform.Epoch) error {
	if e != c.Epoch {
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, e)
	}
	if c.Fencing() {
		return fmt.Errorf("cluster %s: its durability sets are frozen during attempt %s", c.Name, c.Attempt.Number)
	}
	return nil
}

// grantedUnder records whether the end of a lease of the new epoch will prove anything. In a pause it does not: guards then do
// not enforce the lease (L7). The end of the pause decides again.
func (c *Cluster) grantedUnder(guarded bool) { c.Guarded = guarded && c.Pause == nil }

func (s *State) epoch(number uint64) platform.Epoch {
	return platform.Epoch{Generation: s.Generation, Number: number}
}

// nextNumber takes the next epoch number; none is used twice, even if the attempt is abandoned.
func (s *State) nextNumber(c *Cluster) platform.Epoch {
	c.HighEpoch++
	return s.epoch(c.HighEpoch)
}
