package state

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// maxOperations is how many operations of each cluster are kept.
const maxOperations = 1000

// byMainstay is the By of automatic decisions.
const byMainstay = "mainstay"

// OperationKind names what an operation does.
type OperationKind string

const (
	Bootstrap  OperationKind = "birth"
	Adoption   OperationKind = "adoption"
	Failover   OperationKind = "failover"
	Switchover OperationKind = "switchover"
	Rejoin     OperationKind = "rejoin"
	// Verdict is what became known of a member's data, or an operator's decision about it.
	Verdict OperationKind = "verdict"
	// Mending is the replacement of one damaged page of a replica.
	Mending OperationKind = "mending"
	// Recovery is a new generation of controllers.
	Recovery OperationKind = "recovery"
	// SiteSwitchover moves all clusters and apps to one site.
	SiteSwitchover OperationKind = "site-switchover"
)

// String is the word for people. The log, the API and the metrics have a bootstrap under its first name.
func (k OperationKind) String() string {
	if k == Bootstrap {
		return "bootstrap"
	}
	return string(k)
}

// Beside tells whether operations of that kind concern one member, and run beside changes of the primary.
func (k OperationKind) Beside() bool { return k == Rejoin || k == Verdict || k == Mending }

// Result is how an operation ended.
type Result string

const (
	Running   Result = "running"
	Done      Result = "done"
	Abandoned Result = "abandoned" // the old primary recovered, or a check failed before anything was taken from it
	Failed    Result = "failed"    // superseded by the next operation
)

// Operation is anything with steps that changes the platform, with its reasons, kept for history.
type Operation struct {
	ID      string        `json:"id"`
	Cluster string        `json:"cluster"`
	Kind    OperationKind `json:"kind"`
	Reason  string        `json:"reason"`
	By      string        `json:"by"` // "mainstay", or the operator's name
	From    string        `json:"from,omitempty"`
	To      string        `json:"to,omitempty"`
	// Epoch is the number of the attempt.
	Epoch     platform.Epoch          `json:"epoch"`
	Timeline  platform.Timeline       `json:"timeline,omitempty"`
	Proof     *fencing.Proof          `json:"proof,omitempty"`
	Positions map[string]platform.LSN `json:"positions,omitempty"`
	// NotChosen gives every other member its reason.
	NotChosen map[string]string `json:"notChosen,omitempty"`
	// Loss says which commits may be missing; "" if every acknowledged commit is there.
	Loss string `json:"loss,omitempty"`
	// Prediction is explain's last one before the operation.
	Prediction *Prediction `json:"prediction,omitempty"`
	Steps      []Step      `json:"steps"`
	Result     Result      `json:"result"`
	Outcome    string      `json:"outcome,omitempty"` // one sentence
}

// Step is one recorded moment of an operation.
type Step struct {
	Name string `json:"name"`
	At   string `json:"at"` // RFC 3339 with milliseconds, the leader's wall clock, for people only
	Note string `json:"note,omitempty"`
}

// Prediction is what would happen if the primary died now (explain).
type Prediction struct {
	// Promote is the member that would be promoted, "" for none; Why is the reason in either case.
	Promote string            `json:"promote"`
	Why     string            `json:"why"`
	Proof   fencing.Kind      `json:"proof,omitempty"`
	Loss    string            `json:"loss"` // at most
	About   time.Duration     `json:"about"`
	Others  map[string]string `json:"others,omitempty"` // every other member: why not, and how to change that
}

// operationByID returns the running operation of that id, or nil.
func (c *Cluster) operationByID(id string) *Operation {
	for i := len(c.Operations) - 1; i >= 0; i-- {
		if c.Operations[i].ID == id {
			return &c.Operations[i]
		}
	}
	return nil
}

// runningChange returns the running change of primary, or nil. Rejoins may run at the same time.
func (c *Cluster) runningChange() *Operation {
	for i := len(c.Operations) - 1; i >= 0; i-- {
		if o := &c.Operations[i]; o.Result == Running && !o.Kind.Beside() {
			return o
		}
	}
	return nil
}

func (c *Cluster) begin(o Operation, at string) *Operation {
	if old := c.runningChange(); old != nil && !o.Kind.Beside() {
		old.end(Failed, "superseded by the next operation", at)
	}
	c.HighOperation++
	o.ID = fmt.Sprintf("%s-%d", c.Name, c.HighOperation)
	o.Cluster, o.Result = c.Name, Running
	c.Operations = append(c.Operations, o)
	if over := len(c.Operations) - maxOperations; over > 0 {
		c.Operations = c.Operations[over:]
	}
	op := &c.Operations[len(c.Operations)-1]
	op.step("began", at, o.Reason)
	return op
}

// step adds a step. Other states share the present ones, so they are copied.
func (o *Operation) step(name, at, note string) {
	o.Steps = append(slices.Clip(o.Steps), Step{Name: name, At: at, Note: note})
}

func (o *Operation) end(r Result, outcome, at string) {
	o.Result, o.Outcome = r, outcome
	o.step(string(r), at, outcome)
}
