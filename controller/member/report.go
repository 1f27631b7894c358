package member

import (
	"slices"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Notable tells whether an observation of the member shows something that the controllers wait for: then a report leaves at once
// instead of at the next heartbeat. Advancing positions, ages and counts are not notable.
func Notable(last, next *health.Member) bool {
	return last.Process != next.Process || last.Role != next.Role || last.Data != next.Data || len(last.Short) != len(next.Short) ||
		last.Sealed != next.Sealed || last.PositionKnown != next.PositionKnown || last.Closed != next.Closed || last.Needs != next.Needs ||
		last.Opened != next.Opened || last.Settled != next.Settled || last.Loaded != next.Loaded || last.Checkpointed != next.Checkpointed ||
		last.Timeline != next.Timeline || last.Guard.Complete != next.Guard.Complete || last.Clean != next.Clean ||
		last.Streams() != next.Streams() || (last.Frozen == nil) != (next.Frozen == nil) ||
		!slices.EqualFunc(last.Senders, next.Senders, func(a, b health.Sender) bool { return a.Name == b.Name && a.State == b.State }) ||
		last.Replayed != next.Replayed && next.Senders == nil && next.Receiver == nil
}

// ConfirmsSeal tells whether the observed member may be reported sealed for Durable.Sealed. A member whose replay has stopped
// (Seen.Short) cannot be promoted, so its seal would be of no use.
func (in *Input) ConfirmsSeal() bool {
	d := &in.Durable
	return !d.Sealed.IsZero() && d.Sealed == in.Memory.SealConfirmed && in.Goal.Kind == platform.GoalSealed &&
		!in.Seen.Receiver && !in.Seen.Short
}

// Confirm sets the parts of a primary's report that confirm its opening and its durability sets. loaded: it shows the list of the
// goal's newest set; behind: see Kept.Behind.
func (in *Input) Confirm(r *health.Member, loaded, behind bool) {
	g, d, memory := &in.Goal, &in.Durable, &in.Memory
	if in.Seen.Role != health.RolePrimary || g.Kind == platform.GoalReplica {
		return
	}
	r.Checkpointed = memory.Checkpointed
	r.Opened = memory.Opened == d.Epoch && d.Ran == d.Epoch
	if n := len(g.Sets); n > 0 && loaded {
		r.Loaded = g.Sets[n-1].ID
		if memory.Settling.Done && memory.Settling.ID == r.Loaded && !behind {
			r.Settled = r.Loaded
		}
	}
}

// Settle returns Settling after an observation: only an open primary settles durability sets.
func (m Memory) Settle(goal platform.Goal, seen Seen) Settling {
	if seen.Role != health.RolePrimary || goal.Kind != platform.GoalPrimary || m.Opened != goal.Epoch {
		return m.Settling
	}
	return Settle(m.Settling, goal, seen, m.SetCheckpoint)
}
