package guard

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard/machine"
)

// proto is the version of the protocol; guards of another version are replaced as soon as they are not armed.
const proto = 3

// maxLine bounds a request or reply, newline included.
const maxLine = 16 << 10

// op is the operation of a request.
type op string

const (
	opAttach op = "attach" // become the agent that may extend, disarm and exit; find the peer
	opExtend op = "extend"
	opDisarm op = "disarm"
	opStatus op = "status"
	opExit   op = "exit"  // only while disarmed
	opLeave  op = "leave" // exit once no program runs that would end with it; attaching again cancels it
)

type request struct {
	ID    uint64        `json:"id"`
	Op    op            `json:"op"`
	Epoch string        `json:"epoch,omitempty"` // as platform.Epoch prints it
	End   time.Duration `json:"end,omitempty"`   // reading of CLOCK_BOOTTIME, nanoseconds
}

type reply struct {
	ID     uint64       `json:"id"` // the request's
	Code   machine.Code `json:"code,omitempty"`
	Reason string       `json:"reason,omitempty"`
	Report
}

// Report is one guard's report about itself.
type Report struct {
	Proto    int           `json:"proto"`
	PID      int           `json:"pid"`
	Slot     string        `json:"slot"` // a or b
	Member   string        `json:"member"`
	DataDir  string        `json:"dataDir"`
	Cgroup   string        `json:"cgroup,omitempty"` // the member's; empty if it has none
	State    machine.State `json:"state"`
	Armed    bool          `json:"armed"`
	Epoch    string        `json:"epoch,omitempty"` // the highest it was armed for
	End      time.Duration `json:"end"`             // reading of CLOCK_BOOTTIME; the last one if it is not armed
	Peer     bool          `json:"twin"`            // it watches a running peer
	PeerPID  int           `json:"twinPid,omitempty"`
	Launcher int           `json:"keeper,omitempty"` // pid of guard a's launcher, PostgreSQL's parent; 0 without one
	// Unkeepable: guard a could not start a launcher on this host, nor could another guard.
	Unkeepable bool `json:"unkeepable,omitempty"`

	Locked   bool     `json:"locked"`   // its memory is locked
	Realtime bool     `json:"realtime"` // it runs at real-time priority
	NoOOM    bool     `json:"noOom"`    // the OOM killer spares it
	Missing  []string `json:"missing,omitempty"`

	Kill *Kill `json:"kill,omitempty"` // the last one
}

// Kill records a guard's kill.
type Kill struct {
	Why   string        `json:"why"`
	Epoch string        `json:"epoch"`
	Begun time.Duration `json:"begun"`          // reading of CLOCK_BOOTTIME
	Ended time.Duration `json:"ended"`          // the same, when no process was left; 0 until then
	Left  string        `json:"left,omitempty"` // processes that have not ended yet, and why
}

// RefusedError is returned when a guard refused a request.
type RefusedError struct {
	Member, Slot string
	Code         machine.Code
	Reason       string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("guard %s of %s refused (%s): %s", e.Slot, e.Member, e.Code, e.Reason)
}

// parseEpoch reads what platform.Epoch prints, such as 1.17.
func parseEpoch(s string) (platform.Epoch, error) {
	var e platform.Epoch
	if _, err := fmt.Sscanf(s, "%d.%d", &e.Generation, &e.Number); err != nil || e.String() != s {
		return platform.Epoch{}, fmt.Errorf("%q is not an epoch: want generation and number such as 1.17", s)
	}
	return e, nil
}
