package wire

import (
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// SiteSwitchoverRequest is the body of POST /v1/site-switchovers; the answer is an OperationAnswer. GET answers the records as a
// HistoryAnswer, and GET /v1/site-switchovers/{id} (?wait=1 as for a cluster's operations) one of them.
type SiteSwitchoverRequest struct {
	To     string `json:"to"`
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dryRun"`
}

// SiteDecisionRequest is the body of POST /v1/site-switchovers/{id}/word: an operator's decision about a halted site switchover.
type SiteDecisionRequest struct {
	Decision string `json:"word"` // state.DecisionRetry, DecisionUndo or DecisionContinue
	// Version is the version of the site switchover that the operator saw: the decision is refused if that has changed. 0 decides
	// about any version.
	Version uint64 `json:"version,omitempty"`
}

// Halted says at which step a site switchover has halted, why, and which decisions it accepts.
type Halted struct {
	Step      string   `json:"step"`
	Why       string   `json:"why"`
	Decisions []string `json:"words"` // those of state.DecisionRetry, DecisionUndo and DecisionContinue that it accepts now
}

// HaltedAt is the halt of a running site switchover; nil if it has not halted.
func HaltedAt(ch *state.SiteChange) *Halted {
	if ch == nil || ch.Halted == "" {
		return nil
	}
	return &Halted{Step: ch.Step, Why: ch.Halted, Decisions: ch.Decisions()}
}

// POST /v1/operations/{id}/approve has no body: the failover may leave the primary's site. The answer is an OperationAnswer.

// ApprovalsNow is the end of a refused approval: it names the operations that wait for an approval now.
func ApprovalsNow(operations []string) string {
	if len(operations) == 0 {
		return "no operation waits for an approval now: see `mainstay status`"
	}
	return "operations that wait for an approval now: `mainstay approve " + strings.Join(operations, "`, `mainstay approve ") + "`"
}

// AppState is the state of an app, for status.
type AppState struct {
	Name    string          `json:"name"`
	Run     platform.AppRun `json:"run"`
	Needs   []string        `json:"needs,omitempty"`
	Minimum int             `json:"minimum"`
	// Site is the site of a pool that runs with its primary; Moving: it waits until the instances of every other site have stopped.
	Site      string           `json:"site,omitempty"`
	Moving    bool             `json:"moving,omitempty"`
	Now       string           `json:"now,omitempty"` // the leader's present action or wait
	Instances []InstanceStatus `json:"instances"`
}

// InstanceStatus is an app server: its goal, its agent's report, and the controllers' observations.
type InstanceStatus struct {
	Name    string           `json:"name"`
	Site    string           `json:"site"`
	Host    string           `json:"host,omitempty"`
	Address string           `json:"address"`
	Goal    platform.Wanting `json:"goal"`
	Serves  bool             `json:"serves"`        // it takes requests
	Out     string           `json:"out,omitempty"` // why it was taken out of routing
	Health  health.Working   `json:"health"`
	Reaches health.Working   `json:"reaches,omitempty"` // whether it reaches the primary, if its app is a cluster's reachability check
	Error   string           `json:"error,omitempty"`   // of a controller's check
	Seen    *health.Instance `json:"seen,omitempty"`    // its agent's last report
	Age     time.Duration    `json:"age"`               // of Seen
	Restart uint64           `json:"restart,omitempty"` // number of restarts requested
}

// SiteChange is the running site switchover, with the reason for which it waits.
type SiteChange struct {
	state.SiteChange
	Now string `json:"now,omitempty"`
}
