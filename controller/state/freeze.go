package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// ByPolicy is the author of a loss that the cluster's own policy accepts.
const ByPolicy = "policy"

// Freeze keeps a replica from replaying what may carry damage of its primary over. It is replaced, never edited.
type Freeze struct {
	// As is the incarnation of the data that is frozen: other data of the member is not.
	As string `json:"as"`
	// For is the incarnation of the primary's data that a comparison spoke against, Why the evidence, and Pages those that are damaged.
	For   string   `json:"for"`
	Why   string   `json:"why"`
	Pages []string `json:"pages,omitempty"`
	Since string   `json:"since"` // RFC 3339, for people and for the rate at which WAL is kept
	// Released is the reason for which an operator has released it: the member replays again.
	Released string `json:"released,omitempty"`
}

// Frozen is the freeze in force of a member's present data, nil for none.
func (m *Member) Frozen() *Freeze {
	if m == nil || m.Freeze == nil || m.Freeze.Released != "" || m.Freeze.As != m.Incarnation {
		return nil
	}
	return m.Freeze
}

// Frozen are the members whose replay is frozen, in the order of their names.
func (c *Cluster) Frozen() (names []string) {
	for _, name := range sortedKeys(c.Members) {
		if c.Members[name].Frozen() != nil {
			names = append(names, name)
		}
	}
	return names
}

// Released tells whether an operator has released replicas that were frozen for that data of a primary and all those pages of it: then no
// replica is frozen for them again. A freeze that named no page was for all.
func (c *Cluster) Released(damaged string, pages []string) bool {
	any, left := false, slices.Clone(pages)
	for _, m := range c.Members {
		if f := m.Freeze; f != nil && f.Released != "" && f.For == damaged {
			any = true
			left = slices.DeleteFunc(left, func(page string) bool { return len(f.Pages) == 0 || slices.Contains(f.Pages, page) })
		}
	}
	return any && len(left) == 0
}

// FreezeMember freezes a replica, or releases replicas.
type FreezeMember struct {
	Member string `json:"member,omitempty"`
	// Incarnation is that of the replica's data, For that of the primary's; see Freeze.
	Incarnation string   `json:"incarnation,omitempty"`
	For         string   `json:"for,omitempty"`
	Why         string   `json:"why,omitempty"`
	Pages       []string `json:"pages,omitempty"`
	// Release are the members to release, for an operator's Reason.
	Release []string `json:"release,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

func applyFreeze(_ *State, c *Cluster, cmd Command) error {
	f := cmd.Freeze
	if len(f.Release) > 0 {
		return c.release(cmd)
	}
	m := c.Members[f.Member]
	switch {
	case m == nil || f.Member == c.Primary:
		return fmt.Errorf("cluster %s: %s is not a replica", c.Name, f.Member)
	case c.Fencing():
		return fmt.Errorf("cluster %s: attempt %s may need %s", c.Name, c.Attempt.Number, f.Member)
	case m.Incarnation != f.Incarnation || !m.HasStreamed:
		return fmt.Errorf("cluster %s: the data of %s is not %s", c.Name, f.Member, f.Incarnation)
	case m.Frozen() != nil:
		return fmt.Errorf("cluster %s: %s is frozen already", c.Name, f.Member)
	case m.Mend != nil:
		return fmt.Errorf("cluster %s: a page of %s is being mended", c.Name, f.Member)
	case c.Released(f.For, f.Pages):
		return fmt.Errorf("cluster %s: an operator has released what was frozen for %s", c.Name, f.For)
	case f.For == "" || f.Why == "":
		return errors.New("a replica is frozen for a reason only")
	}
	m.Freeze = &Freeze{As: f.Incarnation, For: f.For, Why: f.Why, Pages: f.Pages, Since: cmd.At}
	c.note(cmd, f.Member, "the replay of "+f.Member+" is frozen: "+f.Why,
		"it is not promoted automatically; `mainstay integrity release` lets it replay again")
	return nil
}

func (c *Cluster) release(cmd Command) error {
	f := cmd.Freeze
	if f.Reason == "" {
		return errors.New("a replica is released for a reason only")
	}
	for _, name := range f.Release {
		if c.Members[name].Frozen() == nil {
			return fmt.Errorf("cluster %s: %s is not frozen", c.Name, name)
		}
	}
	for _, name := range f.Release {
		released := *c.Members[name].Freeze
		released.Released = f.Reason
		c.Members[name].Freeze = &released
	}
	c.note(cmd, f.Release[0], "released: "+strings.Join(f.Release, ", ")+": "+f.Reason,
		"they replay again, with what may carry damage over")
	return nil
}

// operatorNamed tells whether an operator has chosen that member for the attempt, and accepted what follows.
func (c *Cluster) operatorNamed(member string) bool {
	a := c.Attempt
	return a != nil && a.To == member && a.Accepted != nil && a.Accepted.By != ByPolicy
}

// freezeGoal is what a replica's goal says of its replay. The WAL of one that an operator has chosen to be promoted is replayed.
func (c *Cluster) freezeGoal(member string) *platform.Freeze {
	f := c.Members[member].Frozen()
	if f == nil || c.Fencing() && c.operatorNamed(member) {
		return nil
	}
	return &platform.Freeze{Incarnation: f.As, Pages: slices.Clone(f.Pages)}
}
