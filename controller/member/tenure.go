package member

import (
	"slices"
	"time"

	"mainstay/controller/platform"
)

// Tenure is what an agent keeps on disk while its member is an open primary, so that a later process of the same run can go
// on where it ended though no leader answers (S6): the goal that a leader confirmed last, and the length of the lease. It is
// worth something only beside guards that hold a lease of its epoch. Those live no longer than a boot, and on one machine:
// neither a restarted host nor a copy of the disk can go on from it.
type Tenure struct {
	Run    string        `json:"run"` // to which the goal was confirmed (L8)
	Goal   platform.Goal `json:"goal"`
	Length time.Duration `json:"length"`
}

// GoesOn tells whether a process of that run, which no leader has answered yet, may go on from t. d is what is promised on
// disk, held the lease that both guards hold.
func (t Tenure) GoesOn(run string, d Durable, held Lease, now time.Duration) bool {
	g := t.Goal
	return t.Run != "" && t.Run == run && g.Kind == platform.GoalPrimary && !g.Paused &&
		g.Epoch == d.Epoch && g.Epoch == d.Ran && d.Closed.Less(g.Epoch) && d.Sealed.IsZero() &&
		g.Epoch == held.Epoch && now < held.End
}

// Behind tells whether a process that went on from t would ask fewer, or others, to vouch for the primary than g wants
// asked. As long as it is, the primary confirms neither g's list nor that its sets have settled: what was confirmed is what
// the controllers take for granted of whom it must ask (L5).
func (t Tenure) Behind(run string, g platform.Goal) bool {
	same := func(a, b platform.Set) bool { return a.ID == b.ID }
	return t.Run != "" && t.Run == run && t.Goal.Epoch == g.Epoch && g.Kind == platform.GoalPrimary &&
		(t.Goal.List != g.List || !slices.EqualFunc(t.Goal.Sets, g.Sets, same))
}
