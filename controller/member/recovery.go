package member

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Recovery is what keeps a standby's recovery from asking for more WAL, "" where nothing is known to.
type Recovery string

const (
	Delayed  Recovery = "its replay is held back by recovery_min_apply_delay, and it asks for no WAL meanwhile"
	Paused   Recovery = "its replay is paused, and it asks for no WAL meanwhile; `SELECT pg_wal_replay_resume()` on it goes on"
	Blocked  Recovery = "queries on it hold its replay up (max_standby_streaming_delay, max_standby_archive_delay), and it asks for no WAL meanwhile"
	Fetching Recovery = "its restore_command fetches WAL from the archive"
)

// RecoveryOf translates the wait event of a standby's startup process (PostgreSQL's documentation, "Wait Events"; RestoreCommand is
// there from 15 on).
func RecoveryOf(waitEvent string) Recovery {
	switch waitEvent {
	case "RecoveryApplyDelay":
		return Delayed
	case "RecoveryPause":
		return Paused
	case "RecoveryConflictSnapshot", "RecoveryConflictTablespace", "BufferPin":
		return Blocked
	case "RestoreCommand":
		return Fetching
	}
	return ""
}

// How long a standby may get nothing from an open primary, neither by its stream nor from its archive, before the repair goes on.
const (
	streamWithin = 15 * time.Second
	// fetchWithin is for one call of its restore_command, which may read a tape.
	fetchWithin = 10 * time.Minute
)

// lasting is for how long a receiver must have been seen before it counts as streaming: one whose primary refuses it, for want of the WAL
// that it asks for, shows itself as streaming for a moment each time it is started.
const lasting = 2 * time.Second

// Looked is what is remembered after a look.
func (m Memory) Looked(g platform.Goal, s Seen, now time.Duration) Memory {
	if !s.Streaming || s.ReceiverPID != m.receiver {
		m.receiverFrom = now
	}
	streams := s.Streaming && now-m.receiverFrom >= lasting
	standby := s.Process == health.ProcessRunning && s.Role == health.RoleStandby
	moved := standby && (s.Position != m.reached || s.Replayed != m.replayed || s.Recovery != "" && s.Recovery != Fetching)
	if streams || moved || m.MovedAt == 0 || g.Kind != platform.GoalReplica || !g.Opened {
		m.MovedAt = now
	}
	if streams {
		m.Restarted, m.Rebuilt, m.RewindFailures = false, false, 0
	}
	if standby {
		m.reached, m.replayed, m.receiver = s.Position, s.Replayed, s.ReceiverPID
	}
	if s.Role != health.RoleUnknown {
		m.StartFailures = 0
	}
	return m
}

// stuck: nothing has moved for longer than what its recovery is at may take.
func (in *Input) stuck() bool { return in.Now-in.Memory.MovedAt > in.patience() }

func (in *Input) patience() time.Duration {
	if in.Seen.Recovery == Fetching {
		return fetchWithin
	}
	return streamWithin
}

// Still is for how long a standby that was restarted for it has got nothing; 0 while it gets on, and where it does not run: then it is
// for something else that its data is given up. Its controllers weigh it before they
// agree to a rebuild.
func (in *Input) Still() time.Duration {
	if still := in.Now - in.Memory.MovedAt; in.Memory.Restarted && in.Seen.Role == health.RoleStandby && still > streamWithin {
		return still
	}
	return 0
}

// catchingUp says what a standby that does not stream is at.
func (in *Input) catchingUp() string {
	switch {
	case in.Seen.Recovery != "":
		return string(in.Seen.Recovery)
	case in.Now-in.Memory.MovedAt < time.Second:
		return "it catches up, by replay of what it has or from its archive"
	}
	return "waiting for the stream from " + upstreamName(in.Goal)
}
