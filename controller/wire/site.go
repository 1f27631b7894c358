package wire

import (
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// SiteSwitchoverRequest is POST /v1/site-switchovers; the answer is an OperationAnswer. GET lists the records as a
// HistoryAnswer, GET /v1/site-switchovers/{id} (?wait=1 as for a cluster's operations) one of them.
type SiteSwitchoverRequest struct {
	To     string `json:"to"`
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dryRun"`
}

// SiteWordRequest is POST /v1/site-switchovers/{id}/word: how one that has halted goes on.
type SiteWordRequest struct {
	Word string `json:"word"` // state.WordRetry, WordUndo or WordContinue
	// Version is that of the site switchover as the operator saw it: a word about one step is not taken for another. 0 is a word
	// whatever has become of it meanwhile.
	Version uint64 `json:"version,omitempty"`
}

// Halted says where a site switchover has stopped, why, and how it may be told to go on.
type Halted struct {
	Step  string   `json:"step"`
	Why   string   `json:"why"`
	Words []string `json:"words"` // of state.WordRetry, WordUndo and WordContinue those that it would take now
}

// HaltedAt is that of a site switchover under way; nil while it goes on.
func HaltedAt(ch *state.SiteChange) *Halted {
	if ch == nil || ch.Halted == "" {
		return nil
	}
	return &Halted{Step: ch.Step, Why: ch.Halted, Words: ch.Words()}
}

// ApproveRequest is POST /v1/operations/{id}/approve, without a body: the failover may leave the primary's site.
// The answer is an OperationAnswer.

// ApprovalsNow ends the refusal of an approval: which operations wait for one now.
func ApprovalsNow(operations []string) string {
	if len(operations) == 0 {
		return "nothing waits for an approval now: `mainstay status`"
	}
	return "what waits for an approval now: `mainstay approve " + strings.Join(operations, "`, `mainstay approve ") + "`"
}

// AppState is an app as status shows it.
type AppState struct {
	Name    string          `json:"name"`
	Run     platform.AppRun `json:"run"`
	Needs   []string        `json:"needs,omitempty"`
	Minimum int             `json:"minimum"`
	// Site is where a pool runs that lives with its primary; Moving: it waits until every other site's instances stopped.
	Site      string           `json:"site,omitempty"`
	Moving    bool             `json:"moving,omitempty"`
	Now       string           `json:"now,omitempty"` // what the leader is doing or waiting for
	Instances []InstanceStatus `json:"instances"`
}

// InstanceStatus is an app server: what is wanted, what its agent says, and what the controllers see.
type InstanceStatus struct {
	Name    string           `json:"name"`
	Site    string           `json:"site"`
	Host    string           `json:"host,omitempty"`
	Address string           `json:"address"`
	Goal    platform.Wanting `json:"goal"`
	Serves  bool             `json:"serves"`        // it takes requests
	Out     string           `json:"out,omitempty"` // why it was taken out of routing
	Health  health.Working   `json:"health"`
	Reaches health.Working   `json:"reaches,omitempty"` // of a cluster's witness
	Error   string           `json:"error,omitempty"`   // what a controller's check says
	Seen    *health.Instance `json:"seen,omitempty"`    // its agent's last word
	Age     time.Duration    `json:"age"`               // of that
	Restart uint64           `json:"restart,omitempty"` // restarts asked for so far
}

// SiteChange is the site switchover under way, with what it waits for.
type SiteChange struct {
	state.SiteChange
	Now string `json:"now,omitempty"`
}
