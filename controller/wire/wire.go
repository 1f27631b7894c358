// Package wire holds the requests and responses of the HTTP API under /v1, and the one client for them (operators' verbs,
// agents, tests). Everything travels as JSON over mutual TLS. Only the leader answers what needs committed state; the
// others answer 421 with its address.
package wire

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// ProtocolMin and ProtocolMax are the range of versions of this API that this build speaks.
const (
	ProtocolMin = 1
	ProtocolMax = 1
)

// ReportRequest is POST /v1/report, sent by an agent to every controller.
type ReportRequest struct {
	Protocol int           `json:"protocol"`
	Report   health.Report `json:"report"`
}

// ReportAnswer is the leader's answer, given after an entry of its term was committed since the report arrived (L1). It
// confirms goals and grants leases; both are for the run that reported, and no other.
type ReportAnswer struct {
	PlatformID string `json:"platformID"`
	Generation uint64 `json:"generation"`
	// Mark is the generation's own: an agent obeys no other of the same number (S1).
	Mark   string `json:"mark,omitempty"`
	RunID  string `json:"runID"`
	Number uint64 `json:"number"`
	Leader string `json:"leader"`
	// Index is the entry of the log up to which the leader knew it: what a leader deposed since has said is older, whatever the
	// number of the report that it answered. 0 where the controller is of a version that does not say.
	Index uint64 `json:"index,omitempty"`
	// Version is what GET /v1/wake waits to move on from.
	Version string                   `json:"version"`
	Goals   map[string]platform.Goal `json:"goals"`
	Grants  []Grant                  `json:"grants"`
	// Heartbeat is how often to report.
	Heartbeat time.Duration `json:"heartbeat"`
	// Positions are those of all members of the host's clusters, as last reported: how far slots for them may be advanced.
	Positions map[string]platform.LSN `json:"positions,omitempty"`
	// FailoverSlots are, by cluster, the failover slots of the user's that its primary had synchronised: a former primary's own of the same
	// name are worth nothing any more.
	FailoverSlots map[string][]string `json:"failoverSlots,omitempty"`
	// Peers are the agents of the other members of the host's clusters, by member: whom to ask for promises (L5).
	Peers map[string]platform.Peer `json:"peers,omitempty"`
	// Instances are the goals of the host's app servers, by name.
	Instances map[string]platform.InstanceGoal `json:"instances,omitempty"`
	// Alarm is for people: this host may be a clone.
	Alarm string `json:"alarm,omitempty"`
}

// Confirmed answers a controller that asks which entry of the log its own log has had before its process began; 0 is not known.
type Confirmed struct {
	Entry uint64 `json:"entry"`
}

// Age is the age of the answer.
func (a *ReportAnswer) Age() platform.Age {
	return platform.Age{Generation: a.Generation, Index: a.Index, Number: a.Number}
}

// PromiseAnswer is the answer to POST /v1/promise, whose body is a platform.PromiseRequest. Leader is the address of a
// controller that answers the asked agent as leader, which may be reached through it: GET /v1/relay?to=ADDRESS.
type PromiseAnswer struct {
	platform.PromiseAnswer
	Leader string `json:"leader,omitempty"`
}

// Grant lets a member act as primary of Epoch until the agent's stored clock for the report plus Length.
type Grant struct {
	Member string         `json:"member"`
	Epoch  platform.Epoch `json:"epoch"`
	Length time.Duration  `json:"length"`
}

// Wake is GET /v1/wake?version=V: it returns when the goals of the asking agent's host may differ from those of version
// V, or after a while. It confirms nothing: the agent then reports at once.
type Wake struct {
	Version string `json:"version"`
}

// Error is the body of every answer that is not 2xx.
type Error struct {
	Message string `json:"error"`
	// Code: "not-leader" (421), "refused" (409: and why), "bad-request" (400), "forbidden" (403), "timeout" (504), "failed" (500).
	Code   string `json:"code"`
	Leader string `json:"leader,omitempty"` // address of the leader, if known
}

// Identity is GET /v1/controller, answered by any controller.
type Identity struct {
	Name        string `json:"name"`
	RaftID      string `json:"raftID"`
	Address     string `json:"address"`
	Site        string `json:"site"`
	Version     string `json:"version"`
	ProtocolMin int    `json:"protocolMin"`
	ProtocolMax int    `json:"protocolMax"`
	Initialised bool   `json:"initialised"`
	PlatformID  string `json:"platformID,omitempty"`
	Leader      string `json:"leader,omitempty"` // name of the leader, if known
	LeaderAddr  string `json:"leaderAddr,omitempty"`
	// CertificateExpires is when this controller's certificate passes its date (RFC 3339).
	CertificateExpires string `json:"certificateExpires,omitempty"`
	// Programs are those that this controller's own file lets the platform name.
	Programs []string `json:"programs,omitempty"`
}

// Controllers is GET /v1/controllers.
type Controllers struct {
	Leader  string       `json:"leader"`
	Members []Controller `json:"members"`
}

// Controller is one voter of the controllers' Raft.
type Controller struct {
	RaftID  string `json:"raftID"`
	Name    string `json:"name"`
	Address string `json:"address"`
	Leader  bool   `json:"leader"`
	Reached bool   `json:"reached"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
	// CertificateEnds is when its certificate passes its date (RFC 3339), from 60 days before on; "" earlier.
	CertificateEnds string `json:"certificateEnds,omitempty"`
	// Programs are those that its own file lets the platform name.
	Programs []string `json:"programs,omitempty"`
}

// InitRequest is POST /v1/controllers/init, to one of the controllers: it names them all.
type InitRequest struct {
	Addresses []string `json:"addresses"`
}

// AddController is POST /v1/controllers; RemoveController DELETE /v1/controllers/{name}; TransferRequest POST /v1/controllers/transfer.
type AddController struct {
	Address string `json:"address"`
}

// TransferRequest hands leadership over; To "" lets the leader choose.
type TransferRequest struct {
	To string `json:"to,omitempty"`
}

// PlatformAnswer is GET /v1/platform.
type PlatformAnswer struct {
	Version  uint64             `json:"version"`
	Platform *platform.Platform `json:"platform"`
}

// ApplyRequest is PUT /v1/platform.
type ApplyRequest struct {
	Platform *platform.Platform `json:"platform"`
	Base     uint64             `json:"base"` // version it was made from; 0 for any
	DryRun   bool               `json:"dryRun"`
	Remove   []string           `json:"remove,omitempty"` // members and clusters that may be removed
}

// ApplyAnswer says what an apply did or would do.
type ApplyAnswer struct {
	Version uint64             `json:"version"`
	Old     *platform.Platform `json:"old,omitempty"`
	Applied bool               `json:"applied"`
	// Notes are what is missing for all of it to work, and what to do.
	Notes []string `json:"notes,omitempty"`
}

// SwitchoverRequest is POST /v1/clusters/{cluster}/switchover.
type SwitchoverRequest struct {
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dryRun"`
}

// FailoverRequest is POST /v1/clusters/{cluster}/failover: an operator's word, for one epoch and one attempt (S4).
type FailoverRequest struct {
	To         string `json:"to"`
	AcceptLoss string `json:"acceptLoss"` // the reason; required
	Fenced     bool   `json:"fenced"`     // the operator has made sure that the old primary is off
	DryRun     bool   `json:"dryRun"`
}

// FenceRequest is POST /v1/hosts/{host}/fence and .../unfence.
type FenceRequest struct {
	Reason string `json:"reason,omitempty"` // required to fence
	DryRun bool   `json:"dryRun"`
}

// FenceState is GET /v1/hosts/{host}/fence; Fence is nil for a host that is not fenced.
type FenceState struct {
	Host  string       `json:"host"`
	Fence *state.Fence `json:"fence,omitempty"`
}

// PauseRequest is POST /v1/clusters/{cluster}/pause; resume has no body.
type PauseRequest struct {
	Reason string        `json:"reason"`
	For    time.Duration `json:"for,omitempty"` // 0 until resumed
}

// OperationAnswer answers switchover and failover: the operation that was begun, or what would be done.
type OperationAnswer struct {
	Operation string   `json:"operation,omitempty"`
	DryRun    bool     `json:"dryRun,omitempty"`
	Target    string   `json:"target,omitempty"`
	Plan      []string `json:"plan,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// HistoryAnswer is GET /v1/clusters/{cluster}/history and .../operations/{id} (with one entry; ?wait=1 holds the request
// until the operation has ended, at most 30 s).
type HistoryAnswer struct {
	Operations []state.Operation `json:"operations"`
	// Halted is set where one site switchover was asked for, which waits for an operator's word.
	Halted *Halted `json:"halted,omitempty"`
}

// ExplainAnswer is GET /v1/clusters/{cluster}/explain.
type ExplainAnswer struct {
	Cluster string `json:"cluster"`
	Primary string `json:"primary"`
	// Now is what the leader is doing or waiting for, by which rule.
	Rule     string           `json:"rule"`
	Code     string           `json:"code,omitempty"` // names the reason that Now words
	Now      string           `json:"now"`
	Problems []health.Problem `json:"problems"`
	// IfHostLost and IfCrashed are predictions made by the engine itself; IfSiteLost too, where the platform has several sites
	// with data.
	IfHostLost state.Prediction  `json:"ifHostLost"`
	IfCrashed  state.Prediction  `json:"ifCrashed"`
	IfSiteLost *state.Prediction `json:"ifSiteLost,omitempty"`
	Switchover SwitchoverView    `json:"switchover"`
	// Proofs are the ways to show that the primary is fenced, were it needed now; Protection is what each member has.
	Proofs     []ProofView        `json:"proofs"`
	Protection []MemberProtection `json:"protection"`
	// Slots are the primary's replication slots that are its user's, MoreSlots how many its report does not name.
	Slots     []SlotView     `json:"slots,omitempty"`
	MoreSlots int            `json:"moreSlots,omitempty"`
	Timings   []Timing       `json:"timings"`
	Sets      []platform.Set `json:"sets"`
}

// SwitchoverView says whether a switchover would be accepted now, and to whom.
type SwitchoverView struct {
	Target   string   `json:"target,omitempty"`
	Blockers []string `json:"blockers,omitempty"`
}

// SlotView is one of the user's slots, and what becomes of it when another member is promoted.
type SlotView struct {
	health.Slot
	Left bool   `json:"left"` // its consumer must be set up anew
	Text string `json:"text"`
}

// Timing is one derived figure of a cluster, with where it comes from.
type Timing struct {
	Name  string        `json:"name"`
	Value time.Duration `json:"value"`
	From  string        `json:"from"`
}
