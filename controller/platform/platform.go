package platform

import "time"

// Platform is everything one set of controllers protects.
type Platform struct {
	Name     string    `json:"platform"`
	Sites    []Site    `json:"sites"`
	Hosts    []Host    `json:"hosts"`
	Clusters []Cluster `json:"clusters"`
	Apps     []App     `json:"apps,omitempty"`
	Hooks    []Hook    `json:"hooks,omitempty"`
}

// Site is a physical location. A witness site has a controller and no data.
type Site struct {
	Name    string `json:"name"`
	Witness bool   `json:"witness,omitempty"`
}

// Host carries one agent and the members and instances that it manages.
type Host struct {
	Name    string `json:"name"`
	Site    string `json:"site"`
	Address string `json:"address"` // IP or DNS name by which other hosts and clients reach it

	Fence    []FenceDevice `json:"fence,omitempty"` // the devices that can cut its power; empty for none
	Watchdog WatchdogMode  `json:"watchdog,omitempty"`
}

// Cluster is one PostgreSQL replication group.
type Cluster struct {
	Name       string        `json:"name"`
	Tier       string        `json:"tier,omitempty"` // the operator's own word: critical, standard, ...
	Members    []Member      `json:"members"`
	Durability Durability    `json:"durability"`
	Failover   Failover      `json:"failover"`
	Lease      time.Duration `json:"lease"` // 1 s to 60 s, default 5 s
	// Freeze (integrity.freeze) is "" for FreezeAutomatic.
	Freeze FreezePolicy `json:"freeze,omitempty"`
	// SlotsLeft is RefuseSlotsLeft if no switchover may leave one of the user's replication slots behind; "" if it may.
	SlotsLeft SlotsLeft `json:"slotsLeft,omitempty"`
	// BaseBackups is AwaitBackups if no switchover may end a base backup; "" if it may.
	BaseBackups BaseBackups `json:"baseBackups,omitempty"`
	// Integrity is when the data of its members is checked in depth; nil for never.
	Integrity *CheckSchedule `json:"integrity,omitempty"`
	// Backup is how its backups are made; nil for none.
	Backup *BackupPlan `json:"backup,omitempty"`
}

// Member is one PostgreSQL instance of a cluster, on one host.
type Member struct {
	Name     string `json:"name"`
	Host     string `json:"host"`
	Port     int    `json:"port"`     // PostgreSQL's port, default 5432
	Priority int    `json:"priority"` // higher is preferred among equally advanced candidates
	MayLead  bool   `json:"mayLead"`  // default true
	// NoAck (may-ack: false): its acknowledgements do not count for durability. On another site such a replica streams from its
	// site's upstream instead of from the primary.
	NoAck bool `json:"noAck,omitempty"`
	// Leaving: it was removed, but a durability set in force still counts on it. It is sealed and asked for promises like any
	// other member, but never promoted. Never in a platform file.
	Leaving bool `json:"leaving,omitempty"`
}

// Durability says how many replicas must hold a commit before the client hears of it.
type Durability struct {
	Acks      int       `json:"acks"` // 0 is asynchronous
	From      AckFrom   `json:"from"`
	WhenShort WhenShort `json:"whenShort"`
}

// Failover is the cluster's policy for automatic failovers.
type Failover struct {
	AcrossSites    AcrossSites    `json:"acrossSites"`
	WhenIncomplete WhenIncomplete `json:"whenIncomplete"`
	AcceptAfter    time.Duration  `json:"acceptAfter,omitempty"`
	// OnCorruption is "" for WaitOnCorruption.
	OnCorruption OnCorruption `json:"onCorruption,omitempty"`
	// ReachableBy lets the app servers of the primary's site report that they cannot reach it although it seems well; nil for none.
	// Its JSON name is an earlier one, kept for stored platforms.
	ReachableBy *ReachabilityCheck `json:"witness,omitempty"`
}

// ReachabilityCheck asks an app's instances whether they reach the cluster's primary.
type ReachabilityCheck struct {
	App   string        `json:"app"`
	HTTP  string        `json:"http"`  // URL; {address} stands for the instance's address
	After time.Duration `json:"after"` // how long all of them must fail to reach it, 1s to 10m, default 5s
}

// Cluster returns the cluster of that name, or nil.
func (p *Platform) Cluster(name string) *Cluster {
	for i := range p.Clusters {
		if p.Clusters[i].Name == name {
			return &p.Clusters[i]
		}
	}
	return nil
}

// Host returns the host of that name, or nil.
func (p *Platform) Host(name string) *Host {
	for i := range p.Hosts {
		if p.Hosts[i].Name == name {
			return &p.Hosts[i]
		}
	}
	return nil
}

// SiteOf returns the site of a host; "" if the host is unknown.
func (p *Platform) SiteOf(host string) string {
	if h := p.Host(host); h != nil {
		return h.Site
	}
	return ""
}

// Member returns the member of that name, or nil.
func (c *Cluster) Member(name string) *Member {
	for i := range c.Members {
		if c.Members[i].Name == name {
			return &c.Members[i]
		}
	}
	return nil
}

// Names are those of all members, in the platform file's order.
func (c *Cluster) Names() (names []string) {
	for _, m := range c.Members {
		names = append(names, m.Name)
	}
	return names
}
