package supervisor

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity"
)

// waitsForRestore is the first version whose startup process says by a wait event that its restore_command runs.
const waitsForRestore = 15

// running translates the server's answer about itself.
func (m *observer) running(pg *postgres.Server, goal platform.Goal, d member.Durable, s postgres.Status, g *glance) {
	replayed := s.Replay
	if !s.InRecovery {
		replayed = math.MaxUint64
	}
	m.answered(pg, replayed)
	seen, r := &g.seen, &g.report
	seen.Data, seen.SystemID, seen.Timeline = health.DataPresent, s.SystemID, s.Timeline
	seen.SyncNames, seen.SyncOurs = s.SyncNames, oursFile(pg, d, s.SyncNamesFile)
	seen.Upstream, seen.Application = upstreamOf(pg, goal, s.ConnInfo)
	seen.Slots, seen.Strays = slotsOf(goal, s.Slots)
	r.Slots, r.MoreSlots = userSlots(s.UserSlots), s.MoreUserSlots
	r.Version, r.Connections, r.SyncWaits = s.Version, s.Connections, s.SyncWaits
	r.PendingRestart, r.RemovedAtStart = pg.Unapplied(s)
	r.Unusable = s.Unusable
	r.OldestWAL = s.Oldest
	m.resources(s, r)
	r.Overridden = m.overridden(pg, d, s)
	if err := m.archiveLeft(pg, s); err != nil {
		m.note(err)
	}
	r.Damage = m.readDamage(pg, &s)
	if !s.InRecovery {
		seen.Role, seen.Position, seen.Insert = health.RolePrimary, s.Flush, s.Insert
		m.flushed.note(flushed{s.Flush, s.Timeline, d.Incarnation})
		seen.Unwritten = m.slotsDiffer(pg, goal, s.SyncSlots)
		r.Position, r.PositionKnown, r.Replayed = s.Flush, true, s.Flush
		m.mu.Lock()
		fresh := m.view.loaded.see(goal, m.session.proof, s.Senders, seen.SyncOurs)
		m.hangs.writes.flushed(s.Flush, boottime.Now())
		m.mu.Unlock()
		for _, w := range s.Senders {
			seen.Senders = append(seen.Senders, health.Sender{Name: w.Name, State: w.State, Flush: w.Flush, Sync: w.SyncPriority > 0,
				Fresh: fresh[w.PID]})
			if r.MaxSenders > 0 {
				seen.Senders[len(seen.Senders)-1].Client = clientOf(w)
			}
		}
		r.Senders = seen.Senders
		return
	}
	m.flushed = flushed{}
	seen.Role, seen.Position = health.RoleStandby, max(s.Receive, s.Replay)
	seen.Known, seen.Receiver = s.EndKnown(), s.Receiver != nil
	seen.Streaming = s.Receiver != nil && s.Receiver.Status == "streaming"
	seen.Replayed, seen.Recovery, seen.UpstreamAt = s.Replay, member.RecoveryOf(s.StartupWait), m.upstreamAt(goal)
	if pg.Binaries.Major < waitsForRestore && seen.Recovery == "" && !seen.Receiver {
		fetching, err := pg.Restoring()
		if err != nil {
			m.note(err)
		} else if fetching {
			seen.Recovery = member.Fetching
		}
	}
	seen.Paused, seen.Held, seen.Keeps = s.PauseState == postgres.ReplayPaused, s.Held, pg.SlotsKeep()
	if s.Held { // nothing waits for the restart that ends it
		r.PendingRestart = slices.DeleteFunc(slices.Clone(r.PendingRestart), func(name string) bool {
			return strings.HasPrefix(name, "recovery_target")
		})
	}
	if goal.Kind == platform.GoalReplica && seen.Streaming && s.Timeline == goal.Timeline {
		seen.Superseded = m.superseded(s.UserSlots)
	}
	r.Position, r.PositionKnown, r.Replayed, r.ReplayAgeMS = seen.Position, s.Receive != 0, s.Replay, s.ReplayAgeMS
	if s.Receiver != nil {
		seen.ReceiverPID = s.Receiver.PID
		r.Receiver = &health.Receiver{Streaming: seen.Streaming, From: s.Receiver.Host, AgeMS: s.Receiver.AgeMS}
	}
}

// overridden lists the managed settings that the user's files override. What they said before an act that changed an adopted server's
// settings is old.
func (m *observer) overridden(pg *postgres.Server, d member.Durable, s postgres.Status) []health.Override {
	m.mu.Lock()
	old := d.AlterSystem && (m.activity.cancel != nil || m.session.full <= m.activity.succeededAt)
	m.mu.Unlock()
	if d.SystemID == "" || old {
		return nil
	}
	all, err := pg.Overridden(s.Last, d.AlterSystem)
	if err != nil {
		m.note(err)
	}
	return all
}

// readDamage is what PostgreSQL has read of damaged pages: which ones, and the counts where its log does not name them.
func (m *observer) readDamage(pg *postgres.Server, s *postgres.Status) (evidence string) {
	m.pages.Follow(pg, s)
	if m.pages.Unnamed != "" {
		evidence = health.ReadPages + m.pages.Unnamed
	}
	var texts []string
	for _, p := range m.pages.Pages {
		texts = append(texts, health.DamagedPage(p, string(integrity.WrongChecksum)))
	}
	return health.JoinDamage(evidence, health.NamePages(health.ReadPages, texts, 0))
}

// sealless says why an adopted server, not yet started by its agent, can be neither sealed nor promoted; "" if it can.
func sealless(d member.Durable, s postgres.Status) string {
	if !d.AlterSystem || s.AlterSystemOff == "" {
		return ""
	}
	return postgres.NoAlterSystem(s.AlterSystemOff) + "; set allow_alter_system = on there and reload"
}

// withoutStreamFor is how long a standby may have no stream before the report quotes its server: a restarted receiver gives the reason
// why the last one ended.
const withoutStreamFor = 5 * time.Second

// withoutStream quotes the reason why a standby does not stream, for example that the primary refuses its password; "" if it streams or
// makes progress without.
func (m *observer) withoutStream(pg *postgres.Server, goal platform.Goal, s postgres.Status) string {
	m.mu.Lock()
	since := boottime.Now() - m.memory.MovedAt
	m.mu.Unlock()
	streams := s.Receiver != nil && s.Receiver.Status == "streaming"
	if goal.Kind != platform.GoalReplica || !goal.Opened || !s.InRecovery || streams || since < withoutStreamFor {
		return ""
	}
	if said := pg.NoStream(); said != "" {
		return health.WithoutStream + said
	}
	return ""
}

// shortage reports the settings that stop a standby's replay, and the settings that the agent's start has raised. The command line of a
// server that the agent has not started holds its user's own values.
func (m *observer) shortage(ctx context.Context, pg *postgres.Server, d member.Durable, s postgres.Status, g *glance) {
	short, err := pg.Shortage(ctx, s)
	if err != nil {
		m.note(err) // reported once more
		return
	}
	g.seen.Short, g.report.Short = len(short) > 0, short
	g.report.ReplayPaused = s.InRecovery && s.Paused && len(short) == 0 // otherwise the server itself has paused it
	if d.SystemID != "" && !d.AlterSystem {
		g.report.Raised = s.Raised
	}
	m.mu.Lock()
	m.starts.short = len(short)+len(g.report.Raised) > 0
	m.mu.Unlock()
}

// oursFile tells whether the value comes from a file that the agent writes.
func oursFile(pg *postgres.Server, d member.Durable, file string) bool {
	if file == filepath.Join(pg.Conf, "mainstay.conf") {
		return true
	}
	return d.AlterSystem && (file == "" || filepath.Base(file) == "postgresql.auto.conf")
}

// upstreamAt is the last known position of the goal's upstream.
func (m *observer) upstreamAt(goal platform.Goal) platform.LSN {
	if goal.Upstream == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told.others.Positions[goal.Upstream.Member]
}

// upstreamOf names the member that a standby's settings point to: the goal's upstream, "?" for another server, "" for none.
func upstreamOf(pg *postgres.Server, goal platform.Goal, conninfo string) (name, application string) {
	if conninfo == "" {
		return "", ""
	}
	if goal.Upstream != nil {
		if want, err := pg.ConnInfo(source(goal), goal.Incarnation, ""); err == nil && postgres.SameStream(want, conninfo) {
			return goal.Upstream.Member, goal.Incarnation
		}
	}
	return "?", applicationOf(conninfo)
}

// applicationOf is the name under which a standby with that primary_conninfo streams, "" for none.
func applicationOf(conninfo string) string {
	_, rest, _ := strings.Cut(conninfo, "application_name=")
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, "'"), " ")
	return strings.TrimSuffix(name, "'")
}

// recovering observes the recovery of a server that takes no sessions yet.
func (m *observer) recovering(ctx context.Context, pg *postgres.Server, goal platform.Goal, g *glance) {
	g.seen.Starting = true
	r, err := pg.Recovering(ctx)
	if err != nil { // the earlier values still show its progress
		m.log.Debug("the progress of its recovery cannot be read", zap.Error(err))
	}
	g.seen.Segment, g.seen.Reached, g.seen.Mark, g.report.Asks = r.Segment, r.Reached, r.Mark, r.Asks
	g.seen.UpstreamAt = m.upstreamAt(goal)
	if r.Restoring {
		g.seen.Recovery = member.Fetching
	}
}
