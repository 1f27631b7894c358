package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// A member is removed in two steps. The apply makes it Leaving: no new durability set contains it and it is never promoted, but it
// still gets goals, so that a failover can seal it and satisfy the recorded sets, which it leaves by the drop rule alone (S2,
// L5). Once no set in force counts on it, Left takes it out of the platform, and its agent is told to release it. Applying a file
// that has it again before that undoes the removal.

// Release is a removed member whose agent must still be told. It is replaced, never edited.
type Release struct {
	Cluster string `json:"cluster"`
	Host    string `json:"host"`
	// Epoch is the one in force when it was removed.
	Epoch platform.Epoch `json:"epoch"`
	// Upstream is the member it may continue to stream from: the primary, if the whole cluster was removed.
	Upstream *platform.Upstream `json:"upstream,omitempty"`
}

// beingRemoved is the reason why a leaving member is not promoted.
const beingRemoved = "is being removed; to keep it, apply a platform file that lists it"

// Applied is the platform as the operator applied it; nil before the first apply.
func (s *State) Applied() *platform.Platform {
	if s.Wanted != nil {
		return s.Wanted
	}
	return s.Platform
}

// Releases are the goals of a host's removed members, by name.
func (s *State) Releases(host string) map[string]platform.Goal {
	if len(s.Released) == 0 {
		return nil
	}
	goals := map[string]platform.Goal{}
	for name, r := range s.Released {
		if r.Host == host {
			goals[name] = platform.Goal{Kind: platform.GoalReleased, Cluster: r.Cluster, Epoch: r.Epoch, Upstream: r.Upstream, Paused: true}
		}
	}
	return goals
}

func (s *State) leaving(cluster, member string) bool {
	conf := s.ClusterConfig(cluster)
	if conf == nil {
		return false
	}
	m := conf.Member(member)
	return m != nil && m.Leaving
}

// CountsOn tells whether a durability set in force contains data of a member, under its present incarnation or an earlier one.
func (c *Cluster) CountsOn(member string) bool {
	for _, set := range c.Sets {
		for _, incarnation := range set.Names {
			if incarnation[:max(0, strings.LastIndexByte(incarnation, '_'))] == member {
				return true
			}
		}
	}
	return false
}

// setPlatform sets the wanted platform, and keeps those members of the present one that cannot be removed yet.
func (s *State) setPlatform(wanted *platform.Platform, at string) {
	before, p, leaving := s.Platform, wanted, false
	if before == nil {
		before = &platform.Platform{}
	}
	for _, old := range before.Clusters {
		if wanted.Cluster(old.Name) == nil {
			s.removeCluster(&old)
			continue
		}
		for _, m := range old.Members {
			switch c := s.Clusters[old.Name]; {
			case wanted.Cluster(old.Name).Member(m.Name) != nil:
			case c.Attempt == nil && !c.CountsOn(m.Name):
				s.removeMember(old.Name, m, at)
			default:
				if !leaving {
					p, leaving = clonePlatform(wanted), true
				}
				keepLeaving(p, before, old.Name, m)
			}
		}
	}
	s.Platform, s.Wanted = p, nil
	if leaving {
		s.Wanted = wanted
	}
}

func keepLeaving(p, before *platform.Platform, cluster string, m platform.Member) {
	m.Leaving, m.MayLead = true, false
	cl := p.Cluster(cluster)
	cl.Members = append(cl.Members, m)
	if h := before.Host(m.Host); p.Host(m.Host) == nil && h != nil {
		p.Hosts = append(p.Hosts, *h)
	}
	site := p.SiteOf(m.Host)
	named := func(s platform.Site) bool { return s.Name == site }
	if i := slices.IndexFunc(before.Sites, named); i >= 0 && !slices.ContainsFunc(p.Sites, named) {
		p.Sites = append(p.Sites, before.Sites[i])
	}
}

// clonePlatform copies what keepLeaving changes.
func clonePlatform(p *platform.Platform) *platform.Platform {
	n := *p
	n.Sites, n.Hosts, n.Clusters = slices.Clone(p.Sites), slices.Clone(p.Hosts), slices.Clone(p.Clusters)
	for i := range n.Clusters {
		n.Clusters[i].Members = slices.Clone(n.Clusters[i].Members)
	}
	return &n
}

// removeMember forgets a member that no set counts on. Its name may be used again, its incarnation never is.
func (s *State) removeMember(cluster string, m platform.Member, at string) {
	c := s.Clusters[cluster].clone()
	delete(c.Members, m.Name)
	c.direct(m.Name)
	if op := c.rejoining(m.Name); op != nil {
		op.end(Failed, m.Name+" was removed", at)
	}
	c.Version++
	s.putCluster(c)
	s.release(m, &Release{Cluster: cluster, Host: m.Host, Epoch: c.Epoch})
}

// removeCluster forgets a cluster except for its numbers.
func (s *State) removeCluster(old *platform.Cluster) {
	c := s.Clusters[old.Name]
	gone, clusters := copyOf(s.RemovedClusters), copyOf(s.Clusters)
	gone[old.Name] = &Cluster{Name: c.Name, Version: c.Version, HighEpoch: c.HighEpoch, HighTimeline: c.HighTimeline, HighSet: c.HighSet,
		HighIncarnation: c.HighIncarnation, HighOperation: c.HighOperation, LongestLease: c.LongestLease}
	delete(clusters, old.Name)
	up := s.upstream(old, c.Primary)
	for _, m := range old.Members {
		r := &Release{Cluster: old.Name, Host: m.Host, Epoch: c.Epoch}
		if up.Member != "" && m.Name != c.Primary {
			r.Upstream = &up
		}
		s.release(m, r)
	}
	s.RemovedClusters, s.Clusters = gone, clusters
}

func (s *State) release(m platform.Member, r *Release) {
	s.Released = copyOf(s.Released)
	s.Released[m.Name] = r
}

// endReleases ends the release of members whose names are wanted again, and restores the numbers of such clusters.
func (s *State) endReleases(wanted *platform.Platform) {
	gone, released := copyOf(s.RemovedClusters), copyOf(s.Released)
	for _, cl := range wanted.Clusters {
		if c := gone[cl.Name]; c != nil && s.Clusters[cl.Name] == nil {
			s.putCluster(c)
		}
		delete(gone, cl.Name)
		for _, m := range cl.Members {
			delete(released, m.Name)
		}
	}
	s.RemovedClusters, s.Released = gone, released
}

func (s *State) applyRemoveLeaving(cmd Command) error {
	c := s.Clusters[cmd.Cluster]
	switch {
	case c == nil || s.Wanted == nil:
		return fmt.Errorf("cluster %s: no member is leaving", cmd.Cluster)
	case cmd.Version != 0 && cmd.Version != c.Version:
		return fmt.Errorf("%w (%s: version %d, now %d)", ErrMoved, cmd.Cluster, cmd.Version, c.Version)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running", cmd.Cluster, c.Attempt.Operation)
	}
	before := len(s.ClusterConfig(cmd.Cluster).Members)
	s.PlatformVersion++ // the list of members that promises are made for (L5)
	s.setPlatform(s.Wanted, cmd.At)
	if len(s.ClusterConfig(cmd.Cluster).Members) == before {
		return errors.New("durability sets in force still count on every leaving member")
	}
	return nil
}

func copyOf[V any](m map[string]V) map[string]V {
	n := make(map[string]V, len(m)+1)
	for k, v := range m {
		n[k] = v
	}
	return n
}

// RemoveLeaving releases the leaving members of a cluster that no durability set in force counts on any more.
type RemoveLeaving struct{}
