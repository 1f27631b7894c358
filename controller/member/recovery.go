package member

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Recovery is the reason why a standby's recovery does not ask for more WAL; "" if none is known.
type Recovery string

const (
	Delayed  Recovery = "recovery_min_apply_delay delays its replay, so it does not ask for WAL"
	Paused   Recovery = "its replay is paused, so it does not ask for WAL; run `SELECT pg_wal_replay_resume()` on it to resume"
	Blocked  Recovery = "queries on it delay its replay (max_standby_streaming_delay, max_standby_archive_delay), so it does not ask for WAL"
	Fetching Recovery = "its restore_command fetches WAL from the archive"
)

// RecoveryOf translates the wait event of a standby's startup process (PostgreSQL's documentation, "Wait Events"; RestoreCommand
// exists from 15 on).
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

// How long a standby of an open primary may get no WAL, neither by its stream nor from its archive, before the next repair.
const (
	streamWithin = 15 * time.Second
	// startWithin is for a recovery before it takes sessions, which may spend long on one file.
	startWithin = 10 * time.Minute
	// fetchWithin is for one call of its restore_command, which may read a tape.
	fetchWithin = 10 * time.Minute
)

// lasting is how long a receiver must have been seen before it counts as streaming: a receiver that the primary refuses, because it
// lacks the WAL, shows itself as streaming for a moment each time it starts.
const lasting = 2 * time.Second

// servesLong is how long a clone must take sessions without a break, and stream, before another may be made on the same kind of
// evidence. Replay past the record that crashed the last data shows nothing: the next record may crash the clone just as well.
const servesLong = time.Hour

// Looked is the memory after an observation.
func (m Memory) Looked(g platform.Goal, s Seen, now time.Duration) Memory {
	if !s.Streaming || s.ReceiverPID != m.receiver {
		m.receiverFrom = now
	}
	streams := s.Streaming && now-m.receiverFrom >= lasting
	standby, starting := s.Process == health.ProcessRunning && s.Role == health.RoleStandby, s.starting()
	moved := starting && (s.Mark != m.starting.mark || s.Segment > m.starting.segment) ||
		standby && (s.Position != m.reached || s.Replayed != m.replayed || s.Recovery != "" && s.Recovery != Fetching)
	if streams || moved || m.MovedAt == 0 || g.Kind != platform.GoalReplica || !g.Opened {
		m.MovedAt = now
	}
	if streams {
		m.Restarted, m.Rebuilt, m.RewindFailures = false, false, 0
	}
	switch {
	case !standby:
		m.servesFrom = 0
	case m.servesFrom == 0:
		m.servesFrom = now
	case streams && now-m.servesFrom >= servesLong:
		m.Replaced = false
	}
	if standby {
		m.reached, m.replayed, m.receiver = s.Position, s.Replayed, s.ReceiverPID
	}
	if starting {
		m.starting.segment, m.starting.mark = max(m.starting.segment, s.Segment), s.Mark
	} else if standby || s.Process == health.ProcessEnded { // else it was not seen
		m.starting.segment, m.starting.mark = "", ""
	}
	if standby {
		m.furthest = max(m.furthest, s.Replayed)
	}
	if standby && s.Replayed > m.crashedAt {
		m.Crashes = 0
	}
	if s.Role != health.RoleUnknown {
		m.StartFailures = 0
	}
	return m.keepPace(s, streams, now)
}

// Crashed is the memory after a standby's replay has crashed it at a record; 0 if the position is unknown.
func (m Memory) Crashed(at platform.LSN) Memory {
	if at == 0 {
		at = m.furthest
	}
	if at > m.crashedAt {
		m.Crashes, m.crashedAt = 0, at
	}
	m.Crashes++
	return m
}

// CrashedAt is the position at which replay has crashed the standby; 0 for none.
func (m Memory) CrashedAt() platform.LSN { return m.crashedAt }

// Renewed is the memory after a rewind or, if rebuilt, a clone: it is of new data. A rewind counts as one in vain until the member streams:
// pg_rewind before 16 finds nothing to do where the data was promoted and killed before its first checkpoint, and would be run for ever.
func (m Memory) Renewed(rebuilt bool) Memory {
	m.Replaced = m.Replaced || rebuilt && m.unfit() != ""
	m.Crashes, m.furthest, m.crashedAt = 0, 0, 0
	m.RewindFailures++
	if rebuilt {
		m.RewindFailures, m.StartFailures, m.Restarted, m.Rebuilt = 0, 0, false, true
	}
	return m
}

// unfit says why the present data is not usable; "" if it is not known to be.
func (m Memory) unfit() string {
	switch {
	case m.StartFailures >= startsFail:
		return "it did not start as a standby"
	case m.Crashes >= startsFail:
		return fmt.Sprintf("its replay crashed it %d times at %s", m.Crashes, m.crashedAt)
	}
	return ""
}

// Doubted tells whether the present data has failed to start, or its replay has crashed it. Such data may show the cause.
func (m Memory) Doubted() bool { return m.StartFailures > 0 || m.Crashes > 0 }

// Mend is advice for the operator when PostgreSQL does not start although its data was already cloned again for that reason; "" if
// it was not.
func (m Memory) Mend() string {
	if !m.Rebuilt && !m.Replaced {
		return ""
	}
	return "a new clone of its data did not help: repair the cause named there, or restart its agent for another clone"
}

// stuck tells whether nothing has moved for longer than its recovery may take.
func (in *Input) stuck() bool { return in.Now-in.Memory.MovedAt > in.patience() }

func (in *Input) patience() time.Duration {
	if in.Memory.fetching(in.Seen, in.Now) {
		return fetchWithin
	}
	return streamWithin
}

// Still is how long a standby has made no progress, not even after a restart. It is 0 while it makes progress or does not run: then its
// data is given up for another reason. The controllers consider it before they agree to a rebuild.
func (in *Input) Still() time.Duration {
	still := in.Now - in.Memory.MovedAt
	if still > streamWithin && (in.Seen.starting() || in.Memory.Restarted && in.Seen.Role == health.RoleStandby) {
		return still
	}
	return 0
}

func (s *Seen) starting() bool {
	return s.Process == health.ProcessRunning && s.Starting && s.Role == health.RoleUnknown
}

// recovering waits for a standby that takes no sessions yet, without a bound while its recovery makes progress. Without progress it is
// restarted once and then cloned again, sooner if the controllers see that the primary no longer has the WAL that it asks for.
func (in *Input) recovering() Act {
	still := in.Now - in.Memory.MovedAt
	since := still.Round(time.Second).String()
	switch {
	case !in.Goal.Opened || still <= streamWithin:
		wait := "waiting for its recovery, which makes progress, to take sessions"
		if c := in.Memory.CatchUp(in.Goal, in.Seen, in.Now); c != nil && c.LeftKnown {
			wait = c.String() + "; it takes no sessions yet, and its recovery makes progress"
		}
		return in.wait(wait)
	case in.Goal.Incarnation != in.Durable.Incarnation:
		return in.act(StopClean, "its recovery has made no progress for "+since+": rebuild it")
	case in.Memory.fetching(in.Seen, in.Now) && still <= fetchWithin:
		return in.wait(in.catchingUp())
	case still > startWithin && !in.Memory.Restarted:
		return in.act(StopClean, "its recovery has made no progress for "+since+": restart it")
	case in.Memory.Rebuilt:
		return in.wait("its recovery has made no progress for " + since + " and takes no sessions: see its log; " + in.Memory.Mend())
	}
	return Act{Durable: in.Durable, Needs: "rebuild",
		Wait: "its recovery has made no progress for " + since + " and takes no sessions: see its log"}
}

// catchingUp says what a standby that does not stream is doing.
func (in *Input) catchingUp() string {
	still := in.Now - in.Memory.MovedAt
	switch c := in.Memory.CatchUp(in.Goal, in.Seen, in.Now); {
	case c != nil && still <= streamWithin:
		return c.String()
	case c != nil:
		return c.String() + "; " + string(Fetching) + ", for " + still.Round(time.Second).String()
	case in.Seen.Recovery != "":
		return string(in.Seen.Recovery)
	}
	return "waiting for the stream from " + upstreamName(&in.Goal)
}
