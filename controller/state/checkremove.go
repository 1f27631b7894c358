package state

import (
	"fmt"
	"slices"

	"mainstay/controller/platform"
)

// checkMemberGone tells why a member may not be removed now.
func (s *State) checkMemberGone(old, conf *platform.Cluster, next *platform.Platform, m platform.Member, remove []string) error {
	c := s.Clusters[old.Name]
	switch {
	case m.Leaving:
		return nil
	case !slices.Contains(remove, m.Name):
		return fmt.Errorf("cluster %s: member %s is not in the file and would be removed; put it back, or name it with --remove %s", old.Name, m.Name, m.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is under way; remove %s when it has ended", old.Name, c.Attempt.Operation, m.Name)
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
		return fmt.Errorf("cluster %s: without %s only %d members would be left whose acks count while %s is the primary, and acks is %d; add members, or lower acks",
			old.Name, m.Name, left, c.Primary, conf.Durability.Acks)
	}
	return nil
}

// checkClusterGone tells why a cluster may not be removed now. It must be paused: from then on the end of a lease is no
// proof, and guards do not kill once their agent has heard of it (L7), so its primary runs on when nobody renews its lease.
func (s *State) checkClusterGone(old *platform.Cluster, remove []string) error {
	c := s.Clusters[old.Name]
	switch {
	case !slices.Contains(remove, old.Name):
		return fmt.Errorf("cluster %s is not in the file and would be removed; put it back, or name it with --remove %s", old.Name, old.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is under way; remove the cluster when it has ended", old.Name, c.Attempt.Operation)
	case c.Primary != "" && (c.Pause == nil || c.Pause.Resuming):
		return fmt.Errorf("cluster %s: its guards would stop the primary when its lease ends; run `mainstay pause %s --reason REASON` first", old.Name, old.Name)
	}
	return nil
}

// checkNames: a member that goes, or is leaving, is not added to another cluster by the same step.
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
				return fmt.Errorf("member %s moves from cluster %s to %s; remove it first, and add it once `mainstay status` does not show it any more", m.Name, from, cl.Name)
			}
		}
	}
	return nil
}

// checkHosts: a host goes only when its power is where its operator expects it.
func (s *State) checkHosts(next *platform.Platform) error {
	for _, h := range s.FencedHosts() {
		if next.Host(h) == nil {
			return fmt.Errorf("host %s is fenced; run `mainstay unfence %s` before it is removed", h, h)
		}
	}
	return nil
}
