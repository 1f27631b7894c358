package state

import "fmt"

// applyStream changes whom a replica streams from. One on which a durability set in force counts streams from the primary,
// whatever was asked for (S2); so does one that has not streamed under its name yet.
func applyStream(s *State, c *Cluster, cmd Command) error {
	st := cmd.Stream
	m := c.Members[st.Member]
	if m == nil || st.Member == c.Primary {
		return fmt.Errorf("cluster %s: %s is no replica", c.Name, st.Member)
	}
	next := copyOf(c.Upstreams)
	if delete(next, st.Member); st.From != "" {
		if err := s.mayRelay(c, st.From, st.Member); err != nil {
			return err
		}
		next[st.Member] = st.From
	}
	c.Upstreams = next
	return nil
}

func (s *State) mayRelay(c *Cluster, relay, member string) error {
	conf := s.ClusterConfig(c.Name)
	site := func(name string) string {
		if m := conf.Member(name); m != nil {
			return s.Platform.SiteOf(m.Host)
		}
		return ""
	}
	for _, set := range c.Sets {
		if set.Has(c.Members[member].Incarnation) {
			return fmt.Errorf("cluster %s: durability set %d counts on %s, which must stream from the primary", c.Name, set.ID, member)
		}
	}
	switch {
	case c.Members[relay] == nil || relay == member || relay == c.Primary || c.Upstreams[relay] != "":
		return fmt.Errorf("cluster %s: %s cannot hand the stream on to %s", c.Name, relay, member)
	case site(relay) != site(member) || site(member) == site(c.Primary):
		return fmt.Errorf("cluster %s: %s and %s are not on one site apart from the primary", c.Name, relay, member)
	case !c.Members[member].Joined:
		return fmt.Errorf("cluster %s: %s has not streamed from the primary yet", c.Name, member)
	}
	return nil
}

// direct has a replica stream from the primary, and those too that stream from it.
func (c *Cluster) direct(member string) {
	next := map[string]string{}
	for m, relay := range c.Upstreams {
		if m != member && relay != member {
			next[m] = relay
		}
	}
	c.Upstreams = next
}

func applyApprove(_ *State, c *Cluster, cmd Command) error {
	switch a := c.Attempt; {
	case a == nil || a.Operation != cmd.Approve.Operation:
		return fmt.Errorf("cluster %s: operation %s is not under way; `mainstay history %s` shows what became of it", c.Name, cmd.Approve.Operation, c.Name)
	case a.Approved != "":
		return fmt.Errorf("cluster %s: operation %s was approved by %s already; `mainstay history %s %s` shows how far it is", c.Name, a.Operation, a.Approved, c.Name, a.Operation)
	default:
		a.Approved = cmd.By
		if op := c.open(a.Operation); op != nil {
			op.step("approved", cmd.At, "by "+cmd.By+": the primary may move to another site")
		}
		return nil
	}
}

// Stream has a replica stream from another of its site, or from the primary again (From "").
type Stream struct {
	Member string `json:"member"`
	From   string `json:"from,omitempty"`
	Reason string `json:"reason"`
}

// Approve is an operator's word that the failover under way may leave the primary's site.
type Approve struct {
	Operation string `json:"operation"`
}
