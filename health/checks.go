package health

import "mainstay/controller/platform"

// Checks are the deep checks that the agent of a member has made, or makes.
type Checks struct {
	// Compare are the comparisons that this member's agent has made; each is about all members that it compared.
	Compare   Checked `json:"compare,omitzero"`
	Structure Checked `json:"structure,omitzero"` // of the present data
	// Found is what the last check of the structure has found, which may be of former data; nil for none.
	Found *StructureFound `json:"found,omitempty"`
}

// FoundBy is what the last check of the structure has found; nil also from an agent of a version that reports none.
func (c *Checks) FoundBy() *StructureFound {
	if c == nil {
		return nil
	}
	return c.Found
}

// Checked is how far the checks of one depth are.
type Checked struct {
	// Running: one has not reached its end. Scheduled: the platform file's schedule asks for it. Waiting is the reason why it does nothing at
	// the moment.
	Running   bool   `json:"running,omitempty"`
	Scheduled bool   `json:"scheduled,omitempty"`
	Percent   int    `json:"percent,omitempty"`
	Waiting   string `json:"waiting,omitempty"`
	// DoneMS is how long ago the last complete one ended, TriedMS how long ago the last one ended that no restart of the agent interrupted; in
	// milliseconds, at least 1; 0: none has. Ended is the reason why the last one ended early.
	DoneMS  int64  `json:"doneMS,omitempty"`
	TriedMS int64  `json:"triedMS,omitempty"`
	Ended   string `json:"ended,omitempty"`
	// Damage says, for people, what the last check of the structure has found; "" for nothing. A comparison's is in Member.Comparison.
	Damage string `json:"damage,omitempty"`
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
	// Member is the member whose data is checked; "" for all members of the cluster. By is the member whose agent makes the present check, or
	// made the last one.
	Member string `json:"member,omitempty"`
	By     string `json:"by,omitempty"`
	Checked
	// Every is the schedule's interval in seconds; 0: it is made only when an operator asks for it.
	EverySeconds float64 `json:"everySeconds,omitempty"`
	// FullSeconds is, of comparisons that the schedule makes incremental, how old the last one of all pages may become, in seconds; 0: each is
	// of all pages.
	FullSeconds float64 `json:"fullSeconds,omitempty"`
	// NextMS is how long until the next one is due, in milliseconds, at least 1; 0: it is due, or there is no schedule. Hold is the reason why
	// none begins although it is due.
	NextMS int64  `json:"nextMS,omitempty"`
	Hold   string `json:"hold,omitempty"`
}
