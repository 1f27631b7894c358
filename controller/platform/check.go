package platform

import "time"

// CheckDepth is a kind of deep check of members' data that a platform file may schedule.
type CheckDepth string

// The depths. See deploy/guide/runbook.md for what each proves.
const (
	CheckCompare   CheckDepth = "compare"   // all members with each other, block by block
	CheckStructure CheckDepth = "structure" // the meaning of the pages of one member, by PostgreSQL's own functions
)

// CheckSchedule is when a cluster's deep checks are made (integrity).
type CheckSchedule struct {
	Compare   CheckPlan `json:"compare,omitzero"`
	Structure CheckPlan `json:"structure,omitzero"`
}

// CheckPlan is how often one depth is checked, and how fast. The zero value is never.
type CheckPlan struct {
	// Every is the time from the end of one check to the beginning of the next, 1 s to 8760 h; 0: never.
	Every time.Duration `json:"every,omitempty"`
	// Rate is how many MB of each member are read in a second, at most, 1 to 1000; 0: as in the file of each agent, which is the limit anyway.
	Rate int `json:"rate,omitempty"`
	// Share is the percentage of each hour in which a check works, 1 to 100; 0 stands for 100.
	Share int `json:"share,omitempty"`
	// Full is how old the last full comparison may become: those before that are incremental. More than Every, up to 8760 h; 0: every one is
	// full. Only of comparisons.
	Full time.Duration `json:"full,omitempty"`
}

// Plan is that of a depth.
func (s *CheckSchedule) Plan(d CheckDepth) CheckPlan {
	switch {
	case s == nil:
	case d == CheckCompare:
		return s.Compare
	case d == CheckStructure:
		return s.Structure
	}
	return CheckPlan{}
}

// CheckOrder asks the agent of a member for a check that is due; once the order is withdrawn, the check ends. The zero value asks for none.
type CheckOrder struct {
	Depth CheckDepth `json:"depth,omitempty"`
	Rate  int        `json:"rate,omitempty"`  // as in CheckPlan
	Share int        `json:"share,omitempty"` // as in CheckPlan
	// Full as in CheckPlan. An agent of an earlier version does not know it, and makes every comparison full.
	Full time.Duration `json:"full,omitempty"`
	// Hold: the check pauses, because the cluster is being changed.
	Hold bool `json:"hold,omitempty"`
}
