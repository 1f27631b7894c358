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
	left := slices.Clone(pages)
	for _, m := range c.Members {
		if f := m.Freeze; f != nil && f.Released != "" && f.For == damaged {
			left = slices.DeleteFunc(left, f.covers)
		}
	}
	return c.AnyReleased(damaged) && len(left) == 0
}

// AnyReleased tells whether an operator has released a replica that was frozen for that data of a primary.
func (c *Cluster) AnyReleased(damaged string) bool {
	for _, m := range c.Members {
		if f := m.Freeze; f != nil && f.Released != "" && f.For == damaged {
			return true
		}
	}
	return false
}

// covers tells whether it is for a page, too.
func (f *Freeze) covers(page string) bool { return len(f.Pages) == 0 || slices.Contains(f.Pages, page) }

// Lacks are those of the pages that it is not for.
func (f *Freeze) Lacks(pages []string) []string {
	return slices.DeleteFunc(slices.Clone(pages), f.covers)
}

// FreezeMember freezes a replica, or releases replicas.
type FreezeMember struct {
	Member string `json:"member,omitempty"`
	// Incarnation is that of the replica's data, For that of the primary's; see Freeze.
	Incarnation string   `json:"incarnation,omitempty"`
	For         string   `json:"for,omitempty"`
	Why         string   `json:"why,omitempty"`
	Pages       []string `json:"pages,omitempty"`
	// Further: the pages are not only those of earlier freezes for that data. Then the freeze of a member that is frozen covers them as well,
	// and a release of other pages is no reason against it. A build that does not know this stops at it; without it, all builds refuse both.
	Further bool `json:"further,omitempty"`
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
	case m.Frozen() != nil && (!f.Further || m.Freeze.For != f.For || len(m.Freeze.Lacks(f.Pages)) == 0):
		return fmt.Errorf("cluster %s: %s is frozen already", c.Name, f.Member)
	case m.Mend != nil:
		return fmt.Errorf("cluster %s: a page of %s is being mended", c.Name, f.Member)
	case c.AnyReleased(f.For) && (!f.Further || c.Released(f.For, f.Pages)):
		return fmt.Errorf("cluster %s: an operator has released what was frozen for %s", c.Name, f.For)
	case f.For == "" || f.Why == "":
		return errors.New("a replica is frozen for a reason only")
	}
	if frozen := m.Frozen(); frozen != nil {
		more := *frozen
		more.Why, more.Pages = f.Why, slices.Concat(frozen.Pages, frozen.Lacks(f.Pages))
		m.Freeze = &more
		c.note(cmd, f.Member, "the replay of "+f.Member+" is frozen for further pages: "+f.Why,
			"`mainstay integrity release` lets it replay them as well")
		return nil
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
