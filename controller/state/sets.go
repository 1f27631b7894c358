package state

import (
	"fmt"
	"slices"
	"sort"

	"mainstay/controller/platform"
)

// ChangeSet records a new durability set, before the primary loads it.
type ChangeSet struct {
	Epoch  platform.Epoch `json:"epoch"`
	Acks   int            `json:"acks"`
	Names  []string       `json:"names"`
	Reason string         `json:"reason"`
}

func applySets(s *State, c *Cluster, cmd Command) error {
	ch := cmd.Sets
	if err := c.inForce(ch.Epoch); err != nil {
		return err
	}
	if len(ch.Names) < ch.Acks {
		return fmt.Errorf("cluster %s: a durability set of %d members cannot give %d acknowledgements", c.Name, len(ch.Names), ch.Acks)
	}
	c.addSet(c.Epoch, ch.Acks, append([]string(nil), ch.Names...))
	return nil
}

// Settled drops every set before ID: the primary of Epoch has shown that the drop rule holds for them.
type Settled struct {
	Epoch platform.Epoch `json:"epoch"`
	ID    uint64         `json:"id"`
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

func (c *Cluster) addSet(epoch platform.Epoch, acks int, names []string) {
	if acks == 0 {
		names = nil
	}
	sort.Strings(names)
	c.HighSet++
	c.Sets = append(c.Sets, platform.DurabilitySet{ID: c.HighSet, Epoch: epoch, Acks: acks, Names: names})
}

// mergeSets leaves out each set that a later one equals. Otherwise a primary that ends again and again, before it has settled anything,
// would add one with every restart. What a set demands of a seal, a promise and a promotion is its acks and names alone (S2), so the
// list demands the same without it, and the later one is dropped by the drop rule of both. It is done only where an epoch begins: that
// epoch's primary gets the list with its goal, so it certainly knows whichever is the oldest (NoPromisesLeft, L5), and its senders have
// loaded no set of an earlier one. Within an epoch the primary may have heard of the earlier of two equal sets only. The command asks for
// it: builds of controllers that decided so by themselves would not come to the same state.
func (c *Cluster) mergeSets() {
	var kept []platform.DurabilitySet
	for i, set := range c.Sets {
		if !c.equalsLater(i) {
			kept = append(kept, set)
		}
	}
	c.Sets = kept
}

// equalsLater tells whether a later set equals the one at i.
func (c *Cluster) equalsLater(i int) bool {
	set := c.Sets[i]
	return slices.ContainsFunc(c.Sets[i+1:], func(later platform.DurabilitySet) bool {
		return later.Acks == set.Acks && slices.Equal(later.Names, set.Names)
	})
}

// HasEqualSets tells whether mergeSets would leave any out.
func (c *Cluster) HasEqualSets() bool {
	for i := range c.Sets {
		if c.equalsLater(i) {
			return true
		}
	}
	return false
}

// Ackers are the incarnations of all members whose acknowledgements count for a primary, in the order of the members' names.
// With durability.from other-site, only members of other sites count.
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

// MayAck tells whether a member's acknowledgements count for a primary, by may-ack and durability.from. Those of a leaving
// member do not.
func (s *State) MayAck(conf *platform.Cluster, primary, member string) bool {
	return mayAck(s.Platform, conf, primary, member)
}

func mayAck(in *platform.Platform, conf *platform.Cluster, primary, member string) bool {
	p, m := conf.Member(primary), conf.Member(member)
	if p == nil || m == nil || m.Leaving {
		return false
	}
	return !m.NoAck && (conf.Durability.From != platform.FromOtherSite || in.SiteOf(p.Host) != in.SiteOf(m.Host))
}
