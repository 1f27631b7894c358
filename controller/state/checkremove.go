package state

import (
	"fmt"
	"slices"

	"mainstay/controller/platform"
)

// checkMemberRemoval returns the reason why a member may not be removed now.
func (s *State) checkMemberRemoval(old, conf *platform.Cluster, next *platform.Platform, m platform.Member, remove []string) error {
	c := s.Clusters[old.Name]
	switch {
	case m.Leaving:
		return nil
	case !slices.Contains(remove, m.Name):
		return fmt.Errorf("cluster %s: member %s is missing from the file and would be removed; put it back, or add --remove %s",
			old.Name, m.Name, m.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running; remove %s when it has ended", old.Name, c.Attempt.Operation, m.Name)
	case c.Primary == m.Name:
		return fmt.Errorf("cluster %s: member %s is the primary; run `mainstay switchover %s` first", old.Name, m.Name, old.Name)
	}
	left := 0
	for _, other := range conf.Members {
		if other.Name != c.Primary && mayAck(next, conf, c.Primary, other.Name) {
			left++
		}
	}
	if c.Primary != "" && left < conf.Durability.Acks {
		return fmt.Errorf("cluster %s: without %s only %d members could acknowledge commits of primary %s, but acks is %d; "+
			"add members, or lower acks", old.Name, m.Name, left, c.Primary, conf.Durability.Acks)
	}
	return nil
}

// checkClusterRemoval returns the reason why a cluster may not be removed now. It must be paused: then guards do not kill once
// their agent has heard of the pause, and the end of a lease proves nothing (L7), so its primary keeps running when no controller
// renews its lease.
func (s *State) checkClusterRemoval(old *platform.Cluster, remove []string) error {
	c := s.Clusters[old.Name]
	switch {
	case !slices.Contains(remove, old.Name):
		return fmt.Errorf("cluster %s is missing from the file and would be removed; put it back, or add --remove %s", old.Name, old.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running; remove the cluster when it has ended", old.Name, c.Attempt.Operation)
	case c.Primary != "" && (c.Pause == nil || c.Pause.Resuming):
		return fmt.Errorf("cluster %s: its guards would stop the primary when its lease ends; run `mainstay pause %s --reason REASON` first",
			old.Name, old.Name)
	}
	return nil
}

// checkNames refuses to add a member to one cluster while it is being removed from another.
func (s *State) checkNames(next *platform.Platform) error {
	going := map[string]string{} // its cluster, by member
	for _, old := range s.Platform.Clusters {
		for _, m := range old.Members {
			if now := next.Cluster(old.Name); now == nil || now.Member(m.Name) == nil {
				going[m.Name] = old.Name
			}
		}
	}
	for _, cl := range next.Clusters {
		for _, m := range cl.Members {
			if from := going[m.Name]; from != "" {
				return fmt.Errorf("member %s moves from cluster %s to %s; remove it first, and add it once `mainstay status` no longer shows it",
					m.Name, from, cl.Name)
			}
		}
	}
	return nil
}

// checkHosts refuses to remove a fenced host: its power would stay off without a record.
func (s *State) checkHosts(next *platform.Platform) error {
	for _, h := range s.FencedHosts() {
		if next.Host(h) == nil {
			return fmt.Errorf("host %s is fenced; run `mainstay unfence %s` before it is removed", h, h)
		}
	}
	return nil
}
