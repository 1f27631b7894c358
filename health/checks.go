package health

import "mainstay/controller/platform"

// Checks are the deep checks that the agent of a member has made, or makes.
type Checks struct {
	// Compare are the comparisons that this member's agent has made; each is about all members that it compared.
	Compare   Checked `json:"compare,omitzero"`
	Structure Checked `json:"structure,omitzero"` // of the present data
}

// Checked is how far the checks of one depth are.
type Checked struct {
	// Running: one is not at its end. Scheduled: the platform file's schedule asks for it. Waiting is why it does not work at the moment.
	Running   bool   `json:"running,omitempty"`
	Scheduled bool   `json:"scheduled,omitempty"`
	Percent   int    `json:"percent,omitempty"`
	Waiting   string `json:"waiting,omitempty"`
	// DoneMS is how long ago the last one ended that has looked at everything, TriedMS how long ago the last one ended that was not
	// interrupted by a restart of the agent; in milliseconds, at least 1; 0: none has. Ended is why the last one ended early.
	DoneMS  int64  `json:"doneMS,omitempty"`
	TriedMS int64  `json:"triedMS,omitempty"`
	Ended   string `json:"ended,omitempty"`
}

// Of are the checks of a depth; the zero value also from an agent of a version that reports none.
func (c *Checks) Of(d platform.CheckDepth) Checked {
	switch {
	case c == nil:
	case d == platform.CheckCompare:
		return c.Compare
	case d == platform.CheckStructure:
		return c.Structure
	}
	return Checked{}
}

// PlannedCheck is when a depth was checked last, and when it is due.
type PlannedCheck struct {
	Depth platform.CheckDepth `json:"depth"`
	// Member is whose data it is about; "" for all members of the cluster. By is the member whose agent makes it now, or has made the last.
	Member string `json:"member,omitempty"`
	By     string `json:"by,omitempty"`
	Checked
	// Every is the schedule's interval in seconds; 0: it is made only when an operator asks for it.
	EverySeconds float64 `json:"everySeconds,omitempty"`
	// NextMS is how long until the next one is due, in milliseconds, at least 1; 0: it is due, or there is no schedule. Hold is why none
	// begins although it is due.
	NextMS int64  `json:"nextMS,omitempty"`
	Hold   string `json:"hold,omitempty"`
}
