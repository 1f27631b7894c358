package member

import (
	"fmt"
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
	// startWithin is for a recovery before it takes sessions, which may be at one file for long.
	startWithin = 10 * time.Minute
	// fetchWithin is for one call of its restore_command, which may read a tape.
	fetchWithin = 10 * time.Minute
)

// lasting is for how long a receiver must have been seen before it counts as streaming: one whose primary refuses it, for want of the WAL
// that it asks for, shows itself as streaming for a moment each time it is started.
const lasting = 2 * time.Second

// servesLong is for how long a copy must have taken sessions, without a break, and stream, before another may be made for the same kind of
// evidence. Replay past the record that has ended the last data shows nothing: the next one may end the copy just as well.
const servesLong = time.Hour

// Looked is what is remembered after a look.
func (m Memory) Looked(g platform.Goal, s Seen, now time.Duration) Memory {
	if !s.Streaming || s.ReceiverPID != m.receiver {
		m.receiverFrom = now
	}
	streams := s.Streaming && now-m.receiverFrom >= lasting
	standby, starting := s.Process == health.ProcessRunning && s.Role == health.RoleStandby, s.starting()
	moved := starting && (s.Mark != m.mark || s.Segment > m.segment) || standby && (s.Position != m.reached || s.Replayed != m.replayed || s.Recovery != "" && s.Recovery != Fetching)
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
		m.segment, m.mark = max(m.segment, s.Segment), s.Mark
	} else {
		m.segment, m.mark = "", ""
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
	return m
}

// Crashed is what is remembered after a standby's replay has ended it at a record, 0 where it did not say at which.
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

// CrashedAt is where its replay has ended it, 0 for nowhere.
func (m Memory) CrashedAt() platform.LSN { return m.crashedAt }

// Renewed is what is remembered after a rewind or, if rebuilt, a copy: it begins the life of other data.
func (m Memory) Renewed(rebuilt bool) Memory {
	m.Replaced = m.Replaced || rebuilt && m.unfit() != ""
	m.Crashes, m.furthest, m.crashedAt = 0, 0, 0
	if rebuilt {
		m.RewindFailures, m.StartFailures, m.Restarted, m.Rebuilt = 0, 0, false, true
	}
	return m
}

// unfit says what the data in place has been tried for in vain, "" for nothing.
func (m Memory) unfit() string {
	switch {
	case m.StartFailures >= startsFail:
		return "it did not start as a standby"
	case m.Crashes >= startsFail:
		return fmt.Sprintf("its replay ended it %d times at %s", m.Crashes, m.crashedAt)
	}
	return ""
}

// Doubted tells whether the data in place has failed to start, or its replay has ended it: what it holds may be of use to find out why.
func (m Memory) Doubted() bool { return m.StartFailures > 0 || m.Crashes > 0 }

// Mend is what an operator has to know where PostgreSQL does not come up on data of which a copy was made for that already; "" where
// that was not done.
func (m Memory) Mend() string {
	if !m.Rebuilt && !m.Replaced {
		return ""
	}
	return "its data was copied anew already, which did not help: mend what that names; restart its agent to have it copied once more"
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
// for something else that its data is given up. Its controllers weigh it before they agree to a rebuild.
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

// recovering waits for a standby that takes no sessions yet: its recovery has no bound while it gets on. One that does not is restarted
// once, and then copied anew; sooner where the controllers see that its primary has no more the WAL that it asks for.
func (in *Input) recovering() Act {
	still := in.Now - in.Memory.MovedAt
	since := still.Round(time.Second).String()
	switch {
	case !in.Goal.Opened || still <= streamWithin:
		return in.wait("waiting for its recovery, which gets on, to take sessions")
	case in.Goal.Incarnation != in.Durable.Incarnation:
		return in.act(StopClean, "its recovery has not got on for "+since+": rebuild it")
	case in.Seen.Recovery == Fetching && still <= fetchWithin:
		return in.wait(string(Fetching) + ", for " + since)
	case still > startWithin && !in.Memory.Restarted:
		return in.act(StopClean, "its recovery has not got on for "+since+": restart it")
	case in.Memory.Rebuilt:
		return in.wait("its recovery has not got on for " + since + ", and takes no sessions: see its log; " + in.Memory.Mend())
	}
	return Act{Durable: in.Durable, Needs: "rebuild", Wait: "its recovery has not got on for " + since + ", and takes no sessions: see its log"}
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
