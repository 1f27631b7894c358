package wire

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// Status is the answer to GET /v1/status: the platform on one screen. An agent answers the same request for its own host, with Leader
// "" and Source naming the agent.
type Status struct {
	Platform   string         `json:"platform"`
	PlatformID string         `json:"platformID"`
	Source     string         `json:"source"` // the process that answered: "controller c1" or "agent db-e1"
	Leader     string         `json:"leader"`
	At         string         `json:"at"` // RFC 3339
	Sites      []SiteStatus   `json:"sites"`
	Clusters   []ClusterState `json:"clusters"`
	Apps       []AppState     `json:"apps,omitempty"`
	Change     *SiteChange    `json:"change,omitempty"` // the running site switchover
	// Controllers is filled by the handler, which asks them: the leader knows its voters.
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
	// Address is its agent's, host:port; before the agent has reported it is the host's, without a port.
	Address string        `json:"address"`
	Silence time.Duration `json:"silence"` // since the last report
	Heard   bool          `json:"heard"`
}

// ClusterState is the state of a cluster, for status.
type ClusterState struct {
	Name     string                   `json:"name"`
	Tier     string                   `json:"tier,omitempty"`
	Primary  string                   `json:"primary"`
	Epoch    platform.Epoch           `json:"epoch"`
	Timeline platform.Timeline        `json:"timeline"`
	Acks     int                      `json:"acks"`
	Sets     []platform.DurabilitySet `json:"sets"`
	Guarded  bool                     `json:"guarded"`
	Opened   bool                     `json:"opened"`
	Pause    *state.Pause             `json:"pause,omitempty"`
	// Now is the leader's present action or wait; "" for none.
	Now       string           `json:"now,omitempty"`
	Operation *state.Operation `json:"operation,omitempty"` // the running operation, or the last
	Members   []MemberStatus   `json:"members"`
	// Checks are the deep checks of its members' data that are scheduled, or that an agent has made.
	Checks []health.PlannedCheck `json:"checks,omitempty"`
	// Backup is the standing of its backups; nil where the platform file asks for none.
	Backup *BackupBrief `json:"backup,omitempty"`
}

// BackupBrief is the standing of a cluster's backups in a few words.
type BackupBrief struct {
	// Newest is the newest good one, "" for none, and Age since when it has ended.
	Newest string        `json:"newest,omitempty"`
	Age    time.Duration `json:"age,omitempty"`
	// Tested is the target of the newest restore test that succeeded, "" for none; TestAge since when, and Took how long it took.
	Tested  string        `json:"tested,omitempty"`
	TestAge time.Duration `json:"testAge,omitempty"`
	Took    time.Duration `json:"took,omitempty"`
}

// MemberStatus is a member, for status: its goal, its agent's last report, and the age of that.
type MemberStatus struct {
	Name string `json:"name"`
	Host string `json:"host"`
	Site string `json:"site"`
	// Goal is the controllers' goal; Seen is its agent's last report of it, nil before the first and while Unmanaged is set.
	Goal platform.GoalKind `json:"goal"`
	Seen *health.Member    `json:"seen,omitempty"`
	Age  time.Duration     `json:"age"`
	Lag  int64             `json:"lag"` // bytes behind the primary's last known position; -1 unknown
	// Unreplayed is how many bytes of WAL a replica has received and not replayed. Seen.ReplayAgeMS says how old its data is meanwhile.
	Unreplayed int64  `json:"unreplayed,omitempty"`
	Excluded   string `json:"excluded,omitempty"`
	Cleared    string `json:"cleared,omitempty"` // evidence of damage that an operator has set aside
	// Frozen is the freeze of its replay in force, nil for none.
	Frozen  *state.Freeze `json:"frozen,omitempty"`
	Leaving bool          `json:"leaving,omitempty"` // it was removed, but durability sets still contain it
	Address string        `json:"address"`           // host:port of PostgreSQL
	// Unmanaged is the reason why its agent cannot manage it, "" if it can.
	Unmanaged string `json:"unfit,omitempty"`
	// Upstream is the replica that it streams from, "" for the primary.
	Upstream string `json:"upstream,omitempty"`
	// Protection lists the layers that stop it when it must no longer act as primary.
	Protection Protection `json:"protection"`
}
