package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/test/invariant"
)

// cluster is one replication group with its clients and its checker.
type cluster struct {
	w          *World
	name       string
	acks       int
	old        bool // it ran before it was taken under protection
	lease      time.Duration
	members    []*supervisor
	clients    []*client
	check      *invariant.Checker
	destroyed  []string // members whose disks were lost
	degrades   bool     // when-short: degrade
	leaves     bool     // on-corruption: automatic
	far        bool     // from: other-site
	unattended bool     // no operator lifts the block after a failover while there is trouble
	last       lastFailure
	refused    int               // decided commands in a row
	older      int               // for how many seconds an attempt has waited since all else has healed, beside data of an older disk
	freezes    map[string]string // by member, the incarnation of the data that the log has frozen
	frozen     int               // for how many seconds some replica has been frozen since all else has healed
	unfenced   bool              // an operator's word stood in for a fence: what is left of the old site is his
}

// state is what the log says of it now.
func (c *cluster) state() *state.Cluster { return c.w.raft.top().Clusters[c.name] }

func (c *cluster) conf() *platform.Cluster { return c.w.raft.top().ClusterConfig(c.name) }

func (c *cluster) member(name string) *supervisor {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// primary is the member that the log calls so, or the first.
func (c *cluster) primary() *supervisor {
	if m := c.member(c.state().Primary); m != nil {
		return m
	}
	return c.members[0]
}

// illness says in words what is not as it should be: mostly nobody reads them.
type illness func() string

// ill says what is not as it should be, nil for nothing.
func (c *cluster) ill() illness {
	s := c.state()
	if s.Primary == "" {
		return func() string { return "no primary was ever born" }
	}
	m := c.member(s.Primary)
	p := m.pg
	switch {
	case s.Attempt != nil:
		return func() string {
			return fmt.Sprintf("attempt %s (%s) is still under way: %s", s.Attempt.Number, s.Attempt.Phase, c)
		}
	case !p.running || !p.primary || p.epoch != s.Epoch && m.durable.Ran != s.Epoch:
		return func() string { return fmt.Sprintf("%s is no primary of epoch %s: %s", s.Primary, s.Epoch, c) }
	case m.durable.Epoch != s.Epoch:
		return func() string {
			return fmt.Sprintf("the agent of %s has lost its state, and has yet to take up epoch %s: %s", s.Primary, s.Epoch, c)
		}
	case !s.Opened || p.timeline() != s.Timeline:
		return func() string { return fmt.Sprintf("epoch %s is not opened on timeline %d: %s", s.Epoch, s.Timeline, c) }
	case c.w.now-c.check.Last() > 3*time.Second:
		return func() string { return "nothing is acknowledged: " + c.String() }
	case c.streaming(p) != len(c.members)-1:
		return func() string {
			return fmt.Sprintf("%d of %d replicas stream from %s: %s", c.streaming(p), len(c.members)-1, s.Primary, c)
		}
	case len(s.Sets) != 1:
		return func() string { return fmt.Sprintf("the durability sets %v have not settled", s.Sets) }
	case s.Pause != nil:
		return func() string { return "it is still paused" }
	case c.mends() != "":
		return func() string { return "the mending of a page of " + c.mends() + " has not ended" }
	}
	return nil
}

// streaming is how many replicas receive from the primary, themselves or through one that does.
func (c *cluster) streaming(primary *postgres) (n int) {
	direct := func(p *postgres) bool {
		return p.receiver != nil && !p.receiver.refused && p.receiver.from == primary && p.receiver.live()
	}
	for _, m := range c.members {
		p := m.pg
		if p != primary && (direct(p) || p.receiver != nil && !p.receiver.refused && p.receiver.live() && direct(p.receiver.from)) {
			n++
		}
	}
	return n
}

// keeps tells whether the primary on record, running as one, holds a commit.
func (c *cluster) keeps(id uint64) bool {
	s := c.state()
	if s.Primary == "" {
		return false
	}
	p := c.member(s.Primary).pg
	return p.running && p.primary && p.epoch == s.Epoch && slices.ContainsFunc(p.wal, func(r *record) bool { return r.commit == id })
}

// hopeless tells whether what was destroyed is needed to prove that nothing is lost, or was the only data of a cluster that has
// yet to open: then waiting for an operator is right.
func (c *cluster) hopeless() bool {
	s := c.state()
	if s.Attempt == nil {
		return s.SystemID == "" && slices.Contains(c.destroyed, s.Primary)
	}
	for _, gone := range c.destroyed {
		if gone == s.Primary {
			return true
		}
		for _, set := range s.Sets {
			for _, n := range set.Names {
				if strings.HasPrefix(n, gone+"_") {
					return true
				}
			}
		}
	}
	return false
}

// judge checks what must hold once everything has healed.
func (c *cluster) judge() {
	if why := c.ill(); why != nil {
		if c.hopeless() {
			c.w.counts["hopeless"]++
			return
		}
		c.check.Alive(c.w.now, why())
		return
	}
	c.check.Survive(c.w.now, c.state().Primary, c.primary().pg.commits())
}

// String is every member's state, for a person.
func (c *cluster) String() string {
	s := c.state()
	parts := []string{fmt.Sprintf("epoch %s of %s, sets %v", s.Epoch, s.Primary, s.Sets)}
	for _, m := range c.members {
		parts = append(parts, m.String())
	}
	return strings.Join(parts, "; ")
}
