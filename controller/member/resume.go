package member

import (
	"reflect"
	"slices"
	"time"

	"mainstay/controller/platform"
)

// Resume is an agent's record on disk while its member is an open primary. With it a later process of the same run can continue
// although no leader answers (S6). It holds the goal that a leader last confirmed, the length of the lease, and the agents to ask
// for promises. It is valid only while the guards hold a lease of its epoch. Guards do not survive a reboot and exist on one
// machine, so neither a restarted host nor a copy of the disk can continue from it.
type Resume struct {
	Run    string                   `json:"run"` // to which the goal was confirmed (L8)
	Goal   platform.Goal            `json:"goal"`
	Length time.Duration            `json:"length"`
	Peers  map[string]platform.Peer `json:"peers"`
}

// MayResume tells whether a process of that run, which no leader has answered yet, may continue from t. held is the lease that both
// guards hold.
func (t Resume) MayResume(run string, d Durable, held Lease, now time.Duration) bool {
	g := t.Goal
	return t.Run != "" && t.Run == run && g.Kind == platform.GoalPrimary && !g.Paused &&
		g.Epoch == d.Epoch && g.Epoch == d.Ran && d.Closed.Less(g.Epoch) && d.Sealed.IsZero() &&
		g.Epoch == held.Epoch && now < held.End
}

// Behind tells whether a process that continued from t would ask other or fewer members for promises than g requires. Until t is
// renewed, the primary confirms neither g's list nor that its sets have settled: the controllers rely on what it confirmed for
// the members whose promises it needs (L5).
func (t *Resume) Behind(run string, g *platform.Goal) bool {
	same := func(a, b platform.DurabilitySet) bool { return a.ID == b.ID }
	return t.Run != "" && t.Run == run && t.Goal.Epoch == g.Epoch && g.Kind == platform.GoalPrimary &&
		(t.Goal.MembersVersion != g.MembersVersion || !slices.EqualFunc(t.Goal.Sets, g.Sets, same))
}

// Kept is a primary's resume record on disk: Written, and Pending while the write of a newer one is running or has failed. Until that
// write succeeds, the disk may have either.
type Kept struct {
	Written Resume
	Pending *Resume
}

// Next returns the resume record to write for an open primary, nil if the disk has the same. A resume record whose write has failed is
// written first. opened is the epoch whose opening was completed; t is this run's current resume record.
func (k *Kept) Next(opened platform.Epoch, t Resume) *Resume {
	if k.Pending == nil && t.Goal.Kind == platform.GoalPrimary && opened == t.Goal.Epoch && t.Length != 0 && !reflect.DeepEqual(t, k.Written) {
		k.Pending = &t
	}
	return k.Pending
}

// Done notes that t is on disk.
func (k *Kept) Done(t Resume) { k.Written, k.Pending = t, nil }

// Behind tells whether a resume record that may be on disk would ask other or fewer members than g requires (L5).
func (k *Kept) Behind(run string, g *platform.Goal) bool {
	return k.Written.Behind(run, g) || k.Pending != nil && k.Pending.Behind(run, g)
}

// List is the version of the member list that the member confirms: the goal's, if a restart would know it too (L5).
func (k *Kept) List(run string, g *platform.Goal) uint64 {
	list := g.MembersVersion
	if k.Written.Behind(run, g) {
		list = min(list, k.Written.Goal.MembersVersion)
	}
	if k.Pending != nil && k.Pending.Behind(run, g) {
		list = min(list, k.Pending.Goal.MembersVersion)
	}
	return list
}
