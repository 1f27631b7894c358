package state

import "fmt"

// applyStream changes a replica's upstream. A replica that a durability set in force counts on must stream from the primary (S2);
// so must one that has not yet streamed under its incarnation.
func applyStream(s *State, c *Cluster, cmd Command) error {
	st := cmd.Stream
	m := c.Members[st.Member]
	if m == nil || st.Member == c.Primary {
		return fmt.Errorf("cluster %s: %s is not a replica", c.Name, st.Member)
	}
	next := copyOf(c.Upstreams)
	if delete(next, st.Member); st.From != "" {
		if err := s.mayBeUpstream(c, st.From, st.Member); err != nil {
			return err
		}
		next[st.Member] = st.From
	}
	c.Upstreams = next
	return nil
}

func (s *State) mayBeUpstream(c *Cluster, upstream, member string) error {
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
	case c.Members[upstream] == nil || upstream == member || upstream == c.Primary || c.Upstreams[upstream] != "":
		return fmt.Errorf("cluster %s: %s cannot be the upstream of %s", c.Name, upstream, member)
	case site(upstream) != site(member) || site(member) == site(c.Primary):
		return fmt.Errorf("cluster %s: %s and %s must be on the same site, and the primary on another", c.Name, upstream, member)
	case !c.Members[member].HasStreamed:
		return fmt.Errorf("cluster %s: %s has not yet streamed from the primary", c.Name, member)
	}
	return nil
}

// direct lets a replica, and the replicas that stream from it, stream from the primary.
func (c *Cluster) direct(member string) {
	next := map[string]string{}
	for m, upstream := range c.Upstreams {
		if m != member && upstream != member {
			next[m] = upstream
		}
	}
	c.Upstreams = next
}

func applyApprove(_ *State, c *Cluster, cmd Command) error {
	switch a := c.Attempt; {
	case a == nil || a.Operation != cmd.Approve.Operation:
		return fmt.Errorf("cluster %s: operation %s is not running; `mainstay history %s` shows its result",
			c.Name, cmd.Approve.Operation, c.Name)
	case a.Approved != "":
		return fmt.Errorf("cluster %s: %s has already approved operation %s; `mainstay history %s %s` shows its progress",
			c.Name, a.Approved, a.Operation, c.Name, a.Operation)
	default:
		a.Approved = cmd.By
		if op := c.operationByID(a.Operation); op != nil {
			op.step("approved", cmd.At, "by "+cmd.By+": the primary may move to another site")
		}
		return nil
	}
}

// Stream lets a replica stream from another replica of its site, or from the primary again (From "").
type Stream struct {
	Member string `json:"member"`
	From   string `json:"from,omitempty"`
	Reason string `json:"reason"`
}

// Approve is an operator's approval: the running failover may leave the primary's site.
type Approve struct {
	Operation string `json:"operation"`
}
