package state

import (
	"errors"
	"fmt"

	"mainstay/controller/platform"
)

// Mend is the replacement of one damaged page of a replica, while it runs. It is replaced, never edited.
type Mend struct {
	Number    uint64 `json:"number"` // the log index of its command
	As        string `json:"as"`     // the incarnation of the data
	Page      string `json:"page"`
	From      string `json:"from,omitempty"` // the member whose page it gets; "" where it is made anew
	Operation string `json:"operation"`
}

// MendPage begins one, or ends it.
type MendPage struct {
	Member      string `json:"member"`
	Incarnation string `json:"incarnation,omitempty"`
	Page        string `json:"page,omitempty"`
	From        string `json:"from,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Ended is the number of the one that has ended, Done whether the page is a good one now, and Outcome one sentence about it.
	Ended   uint64 `json:"ended,omitempty"`
	Done    bool   `json:"done,omitempty"`
	Outcome string `json:"outcome,omitempty"`
}

func applyMend(s *State, c *Cluster, cmd Command) error {
	p := cmd.Mend
	m := c.Members[p.Member]
	switch {
	case m == nil:
		return fmt.Errorf("cluster %s has no member %s", c.Name, p.Member)
	case p.Ended != 0:
		return c.mended(cmd, m)
	case p.Member == c.Primary:
		return fmt.Errorf("%s is the primary: switch over first", p.Member)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running; wait for its end", c.Name, c.Attempt.Operation)
	case c.Pause != nil:
		return fmt.Errorf("cluster %s is paused by %s (%s)", c.Name, c.Pause.By, c.Pause.Reason)
	case m.Incarnation != p.Incarnation || !m.HasStreamed:
		return fmt.Errorf("cluster %s: the data of %s is not %s", c.Name, p.Member, p.Incarnation)
	case m.Frozen() != nil:
		return fmt.Errorf("the replay of %s is frozen: its data is kept as it is until `mainstay integrity release`", p.Member)
	case c.mending() != "":
		return fmt.Errorf("cluster %s: a page of %s is being mended", c.Name, c.mending())
	case p.Page == "" || p.From == p.Member:
		return errors.New("a page is mended from another member")
	}
	op := c.begin(Operation{Kind: Mending, Reason: p.Reason, By: cmd.By, From: p.From, To: p.Member, Epoch: c.Epoch, Timeline: c.Timeline},
		cmd.At)
	m.Mend = &Mend{Number: s.Index, As: p.Incarnation, Page: p.Page, From: p.From, Operation: op.ID}
	return nil
}

func (c *Cluster) mended(cmd Command, m *Member) error {
	p := cmd.Mend
	if m.Mend == nil || m.Mend.Number != p.Ended {
		return fmt.Errorf("cluster %s: mending %d of %s is not running", c.Name, p.Ended, p.Member)
	}
	if op := c.operationByID(m.Mend.Operation); op != nil {
		result := Failed
		if p.Done {
			result = Done
		}
		op.end(result, p.Outcome, cmd.At)
	}
	m.Mend = nil
	return nil
}

// mending is the member of which a page is being mended, "" for none.
func (c *Cluster) mending() string {
	for _, name := range sortedKeys(c.Members) {
		if c.Members[name].Mend != nil {
			return name
		}
	}
	return ""
}

// mendGoal is what a replica's goal says of a page.
func (m *Member) mendGoal() *platform.Mend {
	if m.Mend == nil || m.Mend.As != m.Incarnation {
		return nil
	}
	return &platform.Mend{Number: m.Mend.Number, Incarnation: m.Mend.As, Page: m.Mend.Page, From: m.Mend.From}
}
