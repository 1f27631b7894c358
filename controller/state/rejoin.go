package state

import "fmt"

// Reincarnate gives a member's next data a new incarnation, because the present data must be discarded.
type Reincarnate struct {
	Member string `json:"member"`
	Reason string `json:"reason"`
}

func applyReincarnate(s *State, c *Cluster, cmd Command) error {
	r := cmd.Reincarnate
	m := c.Members[r.Member]
	if m == nil || r.Member == c.Primary {
		return fmt.Errorf("cluster %s: %s is not a replica", c.Name, r.Member)
	}
	if m.Mend != nil {
		return fmt.Errorf("cluster %s: a page of %s is being mended", c.Name, r.Member)
	}
	if f := m.Frozen(); f != nil {
		return fmt.Errorf("cluster %s: the data of %s is kept, because its replay is frozen (%s); `mainstay integrity release %s` ends that",
			c.Name, r.Member, f.Why, c.Name)
	}
	if c.Fencing() {
		return fmt.Errorf("cluster %s: attempt %s may need the data of %s; rebuild it when the attempt has ended",
			c.Name, c.Attempt.Number, r.Member)
	}
	m.Incarnation, m.HasStreamed = c.incarnate(r.Member), false
	c.direct(r.Member)
	op := c.begin(Operation{Kind: Rejoin, Reason: r.Reason, By: cmd.By, To: r.Member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	op.step("incarnation", cmd.At, m.Incarnation)
	return nil
}

// Rejoined records that a member streams under its incarnation, and the data it had to discard (S9).
type Rejoined struct {
	Member  string `json:"member"`
	Note    string `json:"note"`
	Discard string `json:"discard,omitempty"`
}

func applyRejoined(s *State, c *Cluster, cmd Command) error {
	r := cmd.Rejoined
	if c.Members[r.Member] == nil {
		return fmt.Errorf("cluster %s has no member %s", c.Name, r.Member)
	}
	c.Members[r.Member].HasStreamed, c.Members[r.Member].KnownToPrimary, c.Members[r.Member].Older = true, true, false
	c.Members[r.Member].renewed()
	op := c.rejoining(r.Member)
	if op == nil {
		op = c.begin(Operation{Kind: Rejoin, Reason: r.Member + " has new data or a new name", By: cmd.By, To: r.Member,
			Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
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
