package wire

import (
	"time"

	"mainstay/health"
)

// IntegrityAnswer is the answer to GET /v1/integrity/{member} of an agent: what it knows of its member's data.
type IntegrityAnswer struct {
	Member     string             `json:"member"`
	Damage     string             `json:"damage,omitempty"`
	Scan       *health.Scan       `json:"scan,omitempty"`
	Comparison *health.Comparison `json:"comparison,omitempty"`
}

// CompareRequest is the body of POST /v1/integrity/{member}/compare of an agent.
type CompareRequest struct {
	// Wait is for how long to compare again the pages that have not settled, after every page was compared once; in nanoseconds.
	Wait time.Duration `json:"wait"`
	// Members are those to compare with; none means all others of the cluster.
	Members []string `json:"members,omitempty"`
	// Incremental: pages that no WAL has changed since the last comparison by the same agent are not read again, where that can be told. An
	// agent of an earlier version refuses a request with it.
	Incremental bool `json:"incremental,omitempty"`
}

// MendRequest is the body of POST /v1/integrity/{member}/mend of an agent: it asks how a page would be mended, and changes nothing.
type MendRequest struct {
	Relation string `json:"relation"` // database, schema and name, or the path of its first file below the data directory
	Fork     string `json:"fork"`     // main, fsm or vm
	Block    uint32 `json:"block"`
	From     string `json:"from,omitempty"` // the member whose page it gets; "" for the one that it streams from
}

// MendPlan is the answer.
type MendPlan struct {
	Page     string   `json:"page"` // as a comparison names it
	Relation string   `json:"relation"`
	From     string   `json:"from,omitempty"` // "" where the page is made anew
	Steps    []string `json:"steps"`
}

// RepairRequest is the body of POST /v1/clusters/{cluster}/integrity/repair: an operator has a page of a replica mended. Page and From are
// those of its agent's plan.
type RepairRequest struct {
	Member string `json:"member"`
	Page   string `json:"page"`
	From   string `json:"from,omitempty"`
	DryRun bool   `json:"dryRun"`
}
