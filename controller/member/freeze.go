package member

import (
	"fmt"

	"mainstay/health"
)

// frozen tells whether the present data must not replay.
func frozen(in *Input) bool {
	return in.Goal.Frozen(in.Durable.Incarnation) && in.Seen.Data == health.DataPresent
}

// freeze keeps a replica from replaying. A pause ends with the server, so that a start sets a position instead, beyond which nothing is
// replayed. While it is frozen it is neither pointed anew nor repaired: its startup process would take up no other stream, and its data is
// what is kept.
func freeze(in *Input) Act {
	d, s := in.Durable, in.Seen
	if s.Process == health.ProcessRunning && s.Role == health.RolePrimary {
		return in.act(Kill, "it runs as primary, but its data is a replica's whose replay is frozen")
	}
	if name := in.Goal.Freeze.Incarnation; d.Frozen != name {
		d.Frozen = name // before the pause, so that a later run of the agent knows whose it is
		return in.persist(d, "its replay must be frozen")
	}
	switch {
	case s.Process == health.ProcessEnded:
		return in.act(StartStandby, "its replay is frozen: replay to where its data is consistent, and no further")
	case s.Role != health.RoleStandby:
		return in.wait("waiting for PostgreSQL to answer")
	case !s.Paused:
		return in.act(Freeze, "a comparison spoke against its primary")
	case s.Receiver && s.Keeps > 0 && s.Position > s.Replayed && int64(s.Position-s.Replayed) > s.Keeps:
		return in.act(StopReceiver, fmt.Sprintf("it has received %d MB of WAL since its replay was frozen", s.Keeps>>20))
	}
	if act := in.upkeep(); act.Kind != Nothing {
		return act
	}
	return in.wait("its replay is frozen at " + s.Replayed.String())
}

// thaws tells whether a freeze that is not wanted any more must end.
func thaws(in *Input) bool {
	d, s := in.Durable, in.Seen
	running := s.Process == health.ProcessRunning
	return (d.Frozen != "" || running && s.Held) && (!running || s.Role == health.RoleStandby)
}

// thaw lets a replica replay again. One that holds at a position is restarted without: a resume would promote it.
func thaw(in *Input) Act {
	d, s := in.Durable, in.Seen
	switch running := s.Process == health.ProcessRunning; {
	case running && s.Held:
		return in.act(StopClean, heldWhy)
	case running && s.Paused && (d.Frozen == d.Incarnation || d.Incarnation == ""):
		return in.act(Thaw, "its replay was released")
	}
	d.Frozen = ""
	return in.persist(d, "its replay is not frozen")
}

const heldWhy = "its replay was frozen, and it holds at the position with which it was started: restart it without"

// ReportFrozen is what a report says of the replay that the goal wants paused; nil until PostgreSQL has paused it.
func ReportFrozen(in *Input) *health.Frozen {
	if s := in.Seen; frozen(in) && s.Process == health.ProcessRunning && s.Role == health.RoleStandby && s.Paused {
		return &health.Frozen{Incarnation: in.Durable.Incarnation, At: s.Replayed, Held: s.Held, Keeps: s.Keeps}
	}
	return nil
}
