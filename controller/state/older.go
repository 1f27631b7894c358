package state

import "mainstay/controller/platform"

// returnedOlder gives up the names of the data on a host that has come back with an older copy of its disk (L8). Under its name the data
// that is lost may have acknowledged commits, and an epoch that was taken up with it may have opened: the copy knows nothing of either. So
// neither its seal nor its acknowledgements count by the former name (S2), and it starts no primary under the epoch in force (S4).
func (s *State) returnedOlder(conf *platform.Cluster, cmd Command) {
	for i := range conf.Members {
		m := &conf.Members[i]
		old := s.Clusters[conf.Name]
		if m.Host != cmd.AgentRun.Host || old == nil || old.Primary == "" {
			continue
		}
		c := old.clone()
		c.Version++
		own := c.Members[m.Name]
		own.Older, own.HasStreamed, own.Incarnation = true, false, c.incarnate(m.Name)
		c.direct(m.Name)
		c.note(cmd, m.Name, "host "+m.Host+" came back with an older copy of its disk: a backup, a snapshot, or a copied machine",
			"nothing that its data acknowledged counts; it is used again once it streams as "+own.Incarnation)
		s.putCluster(c)
	}
}

// trusts tells whether a seal shows what the member has acknowledged.
func (c *Cluster) trusts(sealed []Sealed) bool {
	for _, s := range sealed {
		if m := c.Members[s.Member]; m != nil && !m.CountsAs(s.Incarnation) {
			return false
		}
	}
	return true
}

// CountsAs tells whether data that calls itself by that name is what acknowledged under it.
func (m *Member) CountsAs(incarnation string) bool { return !m.Older || incarnation == m.Incarnation }
