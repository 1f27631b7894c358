package wire

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// Status is GET /v1/status: the platform on one screen. An agent answers the same request for its own host, with
// Leader "" and Source naming the agent.
type Status struct {
	Platform   string         `json:"platform"`
	PlatformID string         `json:"platformID"`
	Source     string         `json:"source"` // who answered: "controller c1" or "agent db-e1"
	Leader     string         `json:"leader"`
	At         string         `json:"at"` // RFC 3339
	Sites      []SiteStatus   `json:"sites"`
	Clusters   []ClusterState `json:"clusters"`
	Apps       []AppState     `json:"apps,omitempty"`
	Change     *SiteChange    `json:"change,omitempty"` // the site switchover under way
	// Controllers is filled by whoever asks them: the leader knows its voters.
	Controllers []Controller     `json:"controllers"`
	Problems    []health.Problem `json:"problems"`
	Hosts       []HostStatus     `json:"hosts"`
}

// SiteStatus is a site with its hosts.
type SiteStatus struct {
	Name    string   `json:"name"`
	Witness bool     `json:"witness,omitempty"`
	Hosts   []string `json:"hosts"`
	Lost    string   `json:"lost,omitempty"` // the evidence, if the whole site is lost
}

// HostStatus is a host with the age of its agent's last report.
type HostStatus struct {
	Name string `json:"name"`
	Site string `json:"site"`
	// Address is that of its agent, host:port; only the host's, without a port, as long as the agent has not said it.
	Address string        `json:"address"`
	Silence time.Duration `json:"silence"` // since the last report
	Heard   bool          `json:"heard"`
}

// ClusterState is a cluster as status shows it.
type ClusterState struct {
	Name     string            `json:"name"`
	Tier     string            `json:"tier,omitempty"`
	Primary  string            `json:"primary"`
	Epoch    platform.Epoch    `json:"epoch"`
	Timeline platform.Timeline `json:"timeline"`
	Acks     int               `json:"acks"`
	Sets     []platform.Set    `json:"sets"`
	Guarded  bool              `json:"guarded"`
	Opened   bool              `json:"opened"`
	Pause    *state.Pause      `json:"pause,omitempty"`
	// Now says what the leader is doing or waiting for; "" if nothing.
	Now       string           `json:"now,omitempty"`
	Operation *state.Operation `json:"operation,omitempty"` // the one under way, or the last
	Members   []MemberStatus   `json:"members"`
}

// MemberStatus is a member as status shows it: what is wanted, what was seen, and how old that is.
type MemberStatus struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Site string `json:"site"`
	// Goal is what the controllers want; Seen is what its agent last reported of it, nil before the first time and while Unfit.
	Goal     platform.GoalKind `json:"goal"`
	Seen     *health.Member    `json:"seen,omitempty"`
	Age      time.Duration     `json:"age"`
	Lag      int64             `json:"lag"` // bytes behind the primary's last known position; -1 unknown
	Excluded string            `json:"excluded,omitempty"`
	Leaving  bool              `json:"leaving,omitempty"` // it was removed, and durability sets still count on it
	Address  string            `json:"address"`           // host:port of PostgreSQL
	// Unfit is why its agent cannot look after it, "" if it can.
	Unfit string `json:"unfit,omitempty"`
	// Upstream is the replica that it streams from, "" for the primary.
	Upstream string `json:"upstream,omitempty"`
	// Protection is what ends it when it must no longer act as primary.
	Protection Protection `json:"protection"`
}
