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
	// Wait is for how long to look again at pages that have not settled, after every page was looked at once; in nanoseconds.
	Wait time.Duration `json:"wait"`
	// Members are those to compare with; none means all others of the cluster.
	Members []string `json:"members,omitempty"`
}
