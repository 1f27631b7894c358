package state

import (
	"cmp"
	"errors"
	"fmt"
)

// Judge records what is known of the data of a member under one incarnation (S5).
type Judge struct {
	Member      string `json:"member"`
	Incarnation string `json:"incarnation"`
	// Excluded is the evidence of damage, for which the member must not be promoted; "" withdraws the exclusion.
	Excluded string `json:"excluded,omitempty"`
	// Cleared is the evidence that an operator sets aside with the exclusion, Reason the operator's reason.
	Cleared string `json:"cleared,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

func applyJudge(_ *State, c *Cluster, cmd Command) error {
	j := cmd.Judge
	m := c.Members[j.Member]
	switch {
	case m == nil:
		return fmt.Errorf("cluster %s has no member %s", c.Name, j.Member)
	case m.Incarnation != j.Incarnation && m.HasStreamed: // before it has joined, its data is still that of an earlier name
		return fmt.Errorf("cluster %s: the data of %s is %s, not %s", c.Name, j.Member, m.Incarnation, j.Incarnation)
	case j.Excluded != "" && m.Excluded != "":
		return fmt.Errorf("cluster %s: %s is excluded already: %s", c.Name, j.Member, m.Excluded)
	case j.Excluded == "" && m.Excluded == "":
		return fmt.Errorf("cluster %s: nothing is known against the data of %s", c.Name, j.Member)
	case j.Excluded == "" && j.Reason == "":
		return errors.New("an exclusion is withdrawn for a reason only")
	}
	if j.Excluded != "" {
		m.Excluded, m.DamagedAs = j.Excluded, j.Incarnation
		c.note(cmd, j.Member, "the data of "+j.Member+" is damaged: "+j.Excluded, "it is not promoted; a whole copy of other data ends that")
		return nil
	}
	c.note(cmd, j.Member, "exclusion of "+j.Member+" withdrawn: "+j.Reason, "it may be promoted again, in spite of: "+m.Excluded)
	m.Cleared, m.ClearedAs = j.Cleared, cmp.Or(m.DamagedAs, m.Incarnation)
	m.Excluded, m.DamagedAs = "", ""
	return nil
}

// note puts a verdict on a member's data into the history.
func (c *Cluster) note(cmd Command, member, reason, outcome string) {
	op := c.begin(Operation{Kind: Verdict, Reason: reason, By: cmd.By, To: member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	op.end(Done, outcome, cmd.At)
}

// renewed ends the exclusion of a member whose data is a whole copy by now.
func (m *Member) renewed() {
	if m.DamagedAs != "" && m.DamagedAs != m.Incarnation {
		m.Excluded, m.DamagedAs = "", ""
	}
	if m.Freeze != nil && m.Freeze.As != m.Incarnation && m.Freeze.Released == "" {
		m.Freeze = nil
	}
	if m.ClearedAs != m.Incarnation { // a rewind keeps the damage, and then there is new evidence
		m.Cleared, m.ClearedAs = "", ""
	}
}
