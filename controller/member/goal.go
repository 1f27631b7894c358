package member

import (
	"slices"

	"mainstay/controller/platform"
)

// Change is the effect of a newly confirmed goal on the running act.
type Change int

const (
	Unchanged Change = iota // nothing that an act depends on has changed
	Detail                  // a detail has changed: decide again, and let the act finish
	Different               // another kind, epoch, upstream or way to stop: the running act is no longer wanted
)

// ChangeOf compares the goal in force with the one that replaces it.
func ChangeOf(old, next *platform.Goal) Change {
	switch {
	case old.Kind != next.Kind || old.Epoch != next.Epoch || old.Clean != next.Clean || !sameUpstream(old, next):
		return Different
	case len(old.Sets) != len(next.Sets) || old.Opened != next.Opened || old.Incarnation != next.Incarnation || old.Paused != next.Paused ||
		old.Checkpoint != next.Checkpoint || old.Damaged != next.Damaged || old.Damage != next.Damage ||
		old.Verify != next.Verify || !sameFreeze(old.Freeze, next.Freeze) ||
		(old.Mend == nil) != (next.Mend == nil) || old.Mend != nil && *old.Mend != *next.Mend:
		return Detail
	}
	return Unchanged
}

func sameUpstream(a, b *platform.Goal) bool {
	if a.Upstream == nil || b.Upstream == nil {
		return a.Upstream == b.Upstream
	}
	return *a.Upstream == *b.Upstream
}

func sameFreeze(a, b *platform.Freeze) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Incarnation == b.Incarnation && slices.Equal(a.Pages, b.Pages)
}
