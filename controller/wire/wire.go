// Package wire holds the requests and answers of the HTTP API under /v1, and the one client for them (operators' verbs, agents,
// tests). All of them are JSON over mutual TLS. Only the leader answers a request that needs committed state; the others answer 421
// with its address.
package wire

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// ProtocolMin and ProtocolMax bound the versions of this API that this build speaks.
const (
	ProtocolMin = 1
	ProtocolMax = 1
)

// ReportRequest is the body of POST /v1/report, which an agent sends to every controller.
type ReportRequest struct {
	Protocol int           `json:"protocol"`
	Report   health.Report `json:"report"`
}

// ReportAnswer is the leader's answer to POST /v1/report, given once an entry of its term was committed after the report arrived (L1).
// It confirms goals and grants leases; both are for the run of the agent that reported, and no other.
type ReportAnswer struct {
	PlatformID string `json:"platformID"`
	Generation uint64 `json:"generation"`
	// Mark identifies the generation: an agent obeys no other generation of the same number (S1).
	Mark   string `json:"mark,omitempty"`
	RunID  string `json:"runID"`
	Number uint64 `json:"number"`
	Leader string `json:"leader"`
	// Index is the last entry of the log that the leader had applied: an answer of a leader deposed since then is older, whatever the
	// number of the report that it answered. 0 from a controller of a version without it.
	Index uint64 `json:"index,omitempty"`
	// Version is the version of the goals, for GET /v1/wake.
	Version string                   `json:"version"`
	Goals   map[string]platform.Goal `json:"goals"`
	Grants  []Grant                  `json:"grants"`
	// Heartbeat is how often to report.
	Heartbeat time.Duration `json:"heartbeat"`
	// Positions are the last reported positions of all members of the host's clusters: slots for a member may be advanced up to its position.
	Positions map[string]platform.LSN `json:"positions,omitempty"`
	// FailoverSlots are, by cluster, the user's failover slots that its primary had synchronised: a former primary's own slots of the
	// same name are worthless from then on.
	FailoverSlots map[string][]string `json:"failoverSlots,omitempty"`
	// Archived is, by cluster, the position up to which its primary has archived WAL. After a failover the new primary archives the rest.
	Archived map[string]platform.LSN `json:"archived,omitempty"`
	// KeptFrom is, by cluster, where the WAL begins that every member keeps for the archive: every target holds what is before.
	KeptFrom map[string]platform.LSN `json:"keptFrom,omitempty"`
	// Backups are the orders for backups, by the member whose agent obeys them.
	Backups map[string]platform.BackupOrder `json:"backups,omitempty"`
	// Tablespaces are, by cluster, those of its primary: the replicas' hosts need the same folders.
	Tablespaces map[string][]health.Tablespace `json:"tablespaces,omitempty"`
	// Peers are the agents of the other members of the host's clusters, by member, to ask for promises (L5).
	Peers map[string]platform.Peer `json:"peers,omitempty"`
	// Checks are the deep checks that are due, by the member whose agent makes them.
	Checks map[string]platform.CheckOrder `json:"checks,omitempty"`
	// Instances are the goals of the host's app servers, by name.
	Instances map[string]platform.InstanceGoal `json:"instances,omitempty"`
	// Alarm is a warning for operators: this host may be a clone.
	Alarm string `json:"alarm,omitempty"`
}

// Confirmed is the answer to GET /v1/confirmed, by which a controller asks for the highest entry that its own log had before its process
// began; 0 if it is not known.
type Confirmed struct {
	Entry uint64 `json:"entry"`
}

// Age is the age of the answer.
func (a *ReportAnswer) Age() platform.Age {
	return platform.Age{Generation: a.Generation, Index: a.Index, Number: a.Number}
}

// PromiseAnswer is an agent's answer to POST /v1/promise, whose body is a platform.PromiseRequest. Leader is the address of the
// leader that answers this agent; it can be reached through the agent by GET /v1/relay?to=ADDRESS.
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

// Wake is the answer to GET /v1/wake?version=V, which returns when the goals of the asking agent's host may differ from those of
// version V, or after a while. It confirms nothing: the agent then reports at once.
type Wake struct {
	Version string `json:"version"`
}

// Error is the body of every answer that is not 2xx.
type Error struct {
	Message string `json:"error"`
	// Code: "not-leader" (421), "refused" (409), CodeBackup (409), CodeComparing (409), "bad-request" (400),
	// "forbidden" (403), "timeout" (504), "failed" (500).
	Code   string `json:"code"`
	Leader string `json:"leader,omitempty"` // address of the leader, if known
	// By is set with CodeComparing: the member whose agent compares.
	By string `json:"by,omitempty"`
}

// CodeComparing is the code of a comparison that is refused because another one already reads the member.
const CodeComparing = "comparing"

// CodeBackup is the code of a switchover that is refused because a base backup runs: it may be asked for again.
const CodeBackup = "base-backup"

// Identity is the answer to GET /v1/controller, which every controller gives.
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
	// CertificateExpires is the date of this controller's certificate (RFC 3339).
	CertificateExpires string `json:"certificateExpires,omitempty"`
	// Programs are the programs that this controller's own file allows the platform to name.
	Programs []string `json:"programs,omitempty"`
}

// Controllers is the answer to GET /v1/controllers.
type Controllers struct {
	Leader  string       `json:"leader"`
	Members []Controller `json:"members"`
}

// Controller is one listed controller, with its answer if it was reached.
type Controller struct {
	RaftID  string `json:"raftID"`
	Name    string `json:"name"`
	Address string `json:"address"`
	Leader  bool   `json:"leader"`
	Reached bool   `json:"reached"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
	// CertificateEnds is the date of its certificate (RFC 3339), from 60 days before it; "" earlier.
	CertificateEnds string `json:"certificateEnds,omitempty"`
	// Programs are the programs that its own file allows the platform to name.
	Programs []string `json:"programs,omitempty"`
}

// InitRequest is the body of POST /v1/controllers/init, sent to one of the controllers: it names all of them.
type InitRequest struct {
	Addresses []string `json:"addresses"`
}

// AddController is the body of POST /v1/controllers. DELETE /v1/controllers/{name} has none.
type AddController struct {
	Address string `json:"address"`
}

// TransferRequest is the body of POST /v1/controllers/transfer; To "" lets the leader choose.
type TransferRequest struct {
	To string `json:"to,omitempty"`
}

// PlatformAnswer is the answer to GET /v1/platform.
type PlatformAnswer struct {
	Version  uint64             `json:"version"`
	Platform *platform.Platform `json:"platform"`
}

// ApplyRequest is the body of PUT /v1/platform.
type ApplyRequest struct {
	Platform *platform.Platform `json:"platform"`
	Base     uint64             `json:"base"` // version it was made from; 0 for any
	DryRun   bool               `json:"dryRun"`
	Remove   []string           `json:"remove,omitempty"` // members and clusters that may be removed
}

// ApplyAnswer is the answer to PUT /v1/platform.
type ApplyAnswer struct {
	Version uint64             `json:"version"`
	Old     *platform.Platform `json:"old,omitempty"`
	Applied bool               `json:"applied"`
	// Notes list further requirements of the platform, each with the remedy.
	Notes []string `json:"notes,omitempty"`
}

// SwitchoverRequest is the body of POST /v1/clusters/{cluster}/switchover.
type SwitchoverRequest struct {
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dryRun"`
}

// FailoverRequest is the body of POST /v1/clusters/{cluster}/failover: an operator's decision, for one epoch and one attempt (S4).
type FailoverRequest struct {
	To         string `json:"to"`
	AcceptLoss string `json:"acceptLoss"` // the reason; required
	Fenced     bool   `json:"fenced"`     // the operator has made sure that the old primary is off
	DryRun     bool   `json:"dryRun"`
}

// ClearRequest is the body of POST /v1/clusters/{cluster}/integrity/clear: an operator sets the evidence of damage aside that excludes a
// member.
type ClearRequest struct {
	Member string `json:"member"`
	Reason string `json:"reason"` // required
	DryRun bool   `json:"dryRun"`
}

// ReleaseRequest is the body of POST /v1/clusters/{cluster}/integrity/release: an operator lets frozen replicas replay again.
type ReleaseRequest struct {
	Member string `json:"member,omitempty"` // "" for all of the cluster's that are frozen
	Reason string `json:"reason"`           // required
	DryRun bool   `json:"dryRun"`
}

// FenceRequest is the body of POST /v1/hosts/{host}/fence and .../unfence.
type FenceRequest struct {
	Reason string `json:"reason,omitempty"` // required to fence
	DryRun bool   `json:"dryRun"`
}

// FenceState is the answer to GET /v1/hosts/{host}/fence; Fence is nil for a host that is not fenced.
type FenceState struct {
	Host  string       `json:"host"`
	Fence *state.Fence `json:"fence,omitempty"`
}

// PauseRequest is the body of POST /v1/clusters/{cluster}/pause; resume has none.
type PauseRequest struct {
	Reason string        `json:"reason"`
	For    time.Duration `json:"for,omitempty"` // 0: until it is resumed
}

// OperationAnswer is the answer to a request that begins an operation: that operation, or the plan of a dry run.
type OperationAnswer struct {
	Operation string   `json:"operation,omitempty"`
	DryRun    bool     `json:"dryRun,omitempty"`
	Target    string   `json:"target,omitempty"`
	Plan      []string `json:"plan,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	// Work is the number of the work for backups that has begun, and Backup what it is about.
	Work   uint64 `json:"work,omitempty"`
	Backup string `json:"backup,omitempty"`
}

// HistoryAnswer is the answer to GET /v1/clusters/{cluster}/history and .../operations/{id} (with one entry; ?wait=1 holds the
// request until the operation has ended, at most 30 s).
type HistoryAnswer struct {
	Operations []state.Operation `json:"operations"`
	// Halted is set where the request named one site switchover, and that waits for an operator's decision.
	Halted *Halted `json:"halted,omitempty"`
}

// ExplainAnswer is the answer to GET /v1/clusters/{cluster}/explain.
type ExplainAnswer struct {
	Cluster string `json:"cluster"`
	Primary string `json:"primary"`
	// Now is the leader's present action or wait, and Rule the rule behind it.
	Rule     string           `json:"rule"`
	Code     string           `json:"code,omitempty"` // names the reason that Now words
	Now      string           `json:"now"`
	Problems []health.Problem `json:"problems"`
	// IfHostLost and IfCrashed are the engine's own predictions; IfSiteLost too, where the platform has several sites with data.
	IfHostLost state.Prediction  `json:"ifHostLost"`
	IfCrashed  state.Prediction  `json:"ifCrashed"`
	IfSiteLost *state.Prediction `json:"ifSiteLost,omitempty"`
	Switchover SwitchoverView    `json:"switchover"`
	// Proofs are the kinds of proof that could show now that the primary is fenced; Protection is each member's.
	Proofs     []ProofView        `json:"proofs"`
	Protection []MemberProtection `json:"protection"`
	// Slots are the user's replication slots on the primary, MoreSlots the number of those that its report does not name.
	Slots     []SlotView               `json:"slots,omitempty"`
	MoreSlots int                      `json:"moreSlots,omitempty"`
	Timings   []Timing                 `json:"timings"`
	Sets      []platform.DurabilitySet `json:"sets"`
}

// SwitchoverView says whether a switchover would be accepted now, and its target.
type SwitchoverView struct {
	Target   string   `json:"target,omitempty"`
	Blockers []string `json:"blockers,omitempty"`
}

// SlotView is one of the user's slots, and what happens to it when another member is promoted.
type SlotView struct {
	health.Slot
	Left bool   `json:"left"` // its consumer must be set up again
	Text string `json:"text"`
}

// Timing is one derived timing of a cluster, with its source.
type Timing struct {
	Name  string        `json:"name"`
	Value time.Duration `json:"value"`
	From  string        `json:"from"`
}
