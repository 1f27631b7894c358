package member

import "mainstay/controller/platform"

// Change is what a newly confirmed goal means for the act under way.
type Change int

const (
	Unchanged Change = iota // the goal says nothing new that an act depends on
	Detail                  // a detail has changed: think again, and let the act go on
	Different               // another kind, epoch, upstream or way to stop: the act under way is not wanted any more
)

// ChangeOf compares the goal in force with the one that replaces it.
func ChangeOf(old, next *platform.Goal) Change {
	switch {
	case old.Kind != next.Kind || old.Epoch != next.Epoch || old.Clean != next.Clean || !sameUpstream(old, next):
		return Different
	case len(old.Sets) != len(next.Sets) || old.Opened != next.Opened || old.Incarnation != next.Incarnation || old.Paused != next.Paused ||
		old.Checkpoint != next.Checkpoint:
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
