package agent

import (
	"cmp"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/fencing/process"
	"mainstay/health"
)

// glance is the result of one look, before it is published.
type glance struct {
	seen   member.Seen
	report health.Member
	asked  error // why PostgreSQL did not answer, if it runs
}

// glanceAfter starts a look with the values that stay valid while the server does not answer. Its slots stay too, even when it is
// stopped: when another member takes over, the report names the slots that the dead primary had.
func glanceAfter(name, version string, last health.Member, seen member.Seen) *glance {
	g := &glance{report: health.Member{Name: name, Data: last.Data, SystemID: last.SystemID, Version: version, Timeline: last.Timeline,
		Slots: last.Slots, MoreSlots: last.MoreSlots}}
	g.seen.Data, g.seen.SystemID, g.seen.Timeline = seen.Data, seen.SystemID, seen.Timeline
	return g
}

// look observes the member, within lookTimeout, and publishes the result. A notable change is reported at once.
func (m *supervisor) look(ctx context.Context) {
	m.learnAddress()
	m.mu.Lock()
	pg := m.pg
	if pg == nil {
		m.looks = stall{} // there is nothing to look at
	}
	m.mu.Unlock()
	if pg == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m.takeUpResume(ctx, pg)
	m.mu.Lock()
	goal, d, last, seen := m.goal, m.durable, m.report, m.seen
	m.mu.Unlock()
	g := glanceAfter(m.name, pg.Binaries.Version, last, seen)
	m.process(ctx, pg, g)
	var status *postgres.Status
	fault := ""
	switch g.seen.Process {
	case health.ProcessRunning:
		s, err := m.ask(ctx, pg)
		g.report.Saturated = m.session.isSaturated(boottime.Now())
		m.answer(err)
		fault = m.session.fault
		if status = s; s != nil {
			fault = cmp.Or(fault, sealless(d, *s), m.withoutStream(pg, goal, *s))
			m.running(pg, goal, d, *s, g)
			m.shortage(ctx, pg, d, *s, g)
			g.report.PendingRestart = append(slices.Clone(g.report.PendingRestart), m.waiting(ctx, pg, goal, d)...)
		} else {
			g.asked = err
			if errors.Is(err, postgres.ErrStarting) {
				m.recovering(ctx, pg, g)
			}
		}
		m.inspected = false
	case health.ProcessEnded:
		m.ended(ctx, pg, goal, d, seen, g)
	}
	m.adoptable(ctx, pg, goal, d, g)
	if len(g.report.Refusals) == 0 { // else they say it
		g.report.Error = fault
	}
	g.report.Data, g.report.Process, g.report.Role = g.seen.Data, g.seen.Process, g.seen.Role
	g.report.SystemID, g.report.Timeline = g.seen.SystemID, g.seen.Timeline
	m.lookAtUserSide(ctx, pg, d, status != nil)
	m.mu.Lock()
	g.seen.Unwritten = g.seen.Unwritten || m.unwritten
	m.mu.Unlock()
	m.guard(ctx, pg, g)
	m.mu.Lock()
	memory := m.memory
	m.mu.Unlock()
	memory.Settling = memory.Settle(goal, g.seen)
	m.confirm(ctx, pg, member.Input{Goal: goal, Durable: d, Seen: g.seen, Memory: memory}, status, g)
	m.publish(g, goal, memory.Settling, last)
}

// process determines whether PostgreSQL runs, and watches for its end.
func (m *supervisor) process(ctx context.Context, pg *postgres.Server, g *glance) {
	if _, err := os.Stat(pg.Data); err != nil {
		m.withoutData(ctx, pg, err, g)
		return
	}
	if err := m.reach(pg); err != nil {
		m.note(err)
		return
	}
	switch pid, _, err := pg.Postmaster(); {
	case err == nil:
		g.seen.Process = health.ProcessRunning
		m.watch(ctx, pid)
		return
	case !errors.Is(err, postgres.ErrNotRunning):
		m.note(err) // unknown, so it has not ended
		return
	}
	left, err := m.tree.Pids()
	m.withoutPostmaster(left, err, g)
	// A postmaster that the agent has just started, and that has no pid file yet, has not ended.
	if p := m.starting(); p != nil && g.seen.Process != health.ProcessRunning {
		select {
		case <-p.Done():
		default:
			g.seen.Process = health.ProcessRunning
		}
	}
}

// withoutData is a look while the data directory is missing or unreadable. A server keeps running when its directory is moved away, so
// the last process has ended only if none is left; the proof `stopped` rests on that.
func (m *supervisor) withoutData(ctx context.Context, pg *postgres.Server, why error, g *glance) {
	g.seen.Data = health.DataUnknown
	if errors.Is(why, os.ErrNotExist) {
		g.seen.Data = health.DataEmpty
	} else {
		m.note(why)
	}
	left, err := m.leftBehind(ctx, pg)
	m.withoutPostmaster(left, err, g)
}

// withoutPostmaster counts the member as ended once none of its processes is left.
func (m *supervisor) withoutPostmaster(left []int, err error, g *glance) {
	switch {
	case err != nil:
		m.note(err)
	case len(left) > 0:
		g.seen.Process = health.ProcessEnding
	default:
		g.seen.Process = health.ProcessEnded
	}
}

// leftBehind lists the member's processes when no data directory identifies them.
func (m *supervisor) leftBehind(ctx context.Context, pg *postgres.Server) ([]int, error) {
	m.makeCgroup(pg)
	tree, cgroup, postmaster := m.held()
	switch {
	case postmaster != nil && postmaster.Alive():
		return []int{postmaster.PID()}, nil
	case tree != nil: // it follows the directory to wherever that was moved
		return tree.Pids()
	case cgroup != nil:
		return cgroup.Pids()
	}
	return nil, m.guards.owing(ctx, m.agent.cfg.GuardDir(m.name))
}

// watch kicks the supervisor as soon as the postmaster ends, even one that an earlier agent started.
func (m *supervisor) watch(ctx context.Context, pid int) {
	if m.proc != nil && m.proc.PID() == pid && m.proc.Alive() {
		return
	}
	h, err := process.Watch(pid)
	if err != nil {
		return
	}
	m.mu.Lock()
	old := m.proc
	m.proc = h
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	run := m.agent.ctx
	m.agent.group.Go(func() error {
		select {
		case <-h.Done():
			wakeup.Signal(m.kick)
		case <-run.Done():
		}
		return nil
	})
}

// running translates the server's answer about itself.
func (m *supervisor) running(pg *postgres.Server, goal platform.Goal, d member.Durable, s postgres.Status, g *glance) {
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
	r.Version, r.Connections, r.PendingRestart, r.SyncWaits = s.Version, s.Connections, s.PendingRestart, s.SyncWaits
	r.OldestWAL = s.Oldest
	if !s.InRecovery {
		seen.Role, seen.Position, seen.Insert = health.RolePrimary, s.Flush, s.Insert
		seen.Unwritten = m.slotsDiffer(pg, goal, s.SyncSlots)
		r.Position, r.PositionKnown, r.Replayed = s.Flush, true, s.Flush
		m.mu.Lock()
		fresh := m.loaded.see(goal, m.session.proof, s.Senders, seen.SyncOurs)
		m.writes.flushed(s.Flush, boottime.Now())
		m.mu.Unlock()
		for _, w := range s.Senders {
			seen.Senders = append(seen.Senders, health.Sender{Name: w.Name, State: w.State, Flush: w.Flush, Sync: w.SyncPriority > 0,
				Fresh: fresh[w.PID]})
		}
		r.Senders = seen.Senders
		return
	}
	seen.Role, seen.Position = health.RoleStandby, max(s.Receive, s.Replay)
	seen.Known, seen.Receiver = s.EndKnown(), s.Receiver != nil
	seen.Streaming = s.Receiver != nil && s.Receiver.Status == "streaming"
	seen.Replayed, seen.Recovery = s.Replay, member.RecoveryOf(s.StartupWait)
	if goal.Kind == platform.GoalReplica && seen.Streaming && s.Timeline == goal.Timeline {
		seen.Superseded = m.superseded(s.UserSlots)
	}
	r.Position, r.PositionKnown, r.Replayed = seen.Position, s.Receive != 0, s.Replay
	if s.Receiver != nil {
		seen.ReceiverPID = s.Receiver.PID
		r.Receiver = &health.Receiver{Streaming: seen.Streaming, From: s.Receiver.Host, AgeMS: s.Receiver.AgeMS}
	}
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
func (m *supervisor) withoutStream(pg *postgres.Server, goal platform.Goal, s postgres.Status) string {
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
func (m *supervisor) shortage(ctx context.Context, pg *postgres.Server, d member.Durable, s postgres.Status, g *glance) {
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
	m.short = len(short)+len(g.report.Raised) > 0
	m.mu.Unlock()
}

// oursFile tells whether the value comes from a file that the agent writes.
func oursFile(pg *postgres.Server, d member.Durable, file string) bool {
	if file == filepath.Join(pg.Conf, "mainstay.conf") {
		return true
	}
	return d.AlterSystem && (file == "" || filepath.Base(file) == "postgresql.auto.conf")
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

// ended inspects the data of a stopped member, once after each stop. A crash is reported before that, so that the next epoch need not
// wait for it.
func (m *supervisor) ended(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable, before member.Seen, g *glance) {
	m.neverAnswered(ctx, pg)
	m.crashed(pg, goal)
	if m.inspected && before.Process == health.ProcessEnded && !m.mayHaveChanged(goal, before) {
		was := before
		was.Process = health.ProcessEnded
		g.seen = was
		m.mu.Lock()
		g.report = m.report
		m.mu.Unlock()
		return
	}
	if goal.Kind == platform.GoalPrimary && d.Closed.Less(d.Ran) && g.seen.Data != health.DataUnknown {
		return
	}
	if err := m.inspect(ctx, pg, g); err != nil {
		m.note(err)
		g.seen.Data = health.DataUnknown
		return
	}
	m.inspected, m.inspectedAt = true, boottime.Now()
}

// mayHaveChanged tells whether it is time to inspect stopped data again that the agent does not manage: its user may change or replace
// it.
func (m *supervisor) mayHaveChanged(goal platform.Goal, before member.Seen) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ours := before.Data == health.DataPresent && goal.Kind != platform.GoalObserve && (goal.SystemID == "" || before.SystemID == goal.SystemID)
	return !ours && m.cancel == nil && boottime.Now()-m.inspectedAt > inspectEvery
}

// recovering observes the recovery of a server that takes no sessions yet.
func (m *supervisor) recovering(ctx context.Context, pg *postgres.Server, g *glance) {
	g.seen.Starting = true
	r, err := pg.Recovering(ctx)
	if err != nil { // the earlier values still show its progress
		m.log.Debug("the progress of its recovery cannot be read", zap.Error(err))
	}
	g.seen.Segment, g.seen.Mark, g.report.Asks = r.Segment, r.Mark, r.Asks
	if r.Restoring {
		g.seen.Recovery = member.Fetching
	}
}

func (m *supervisor) inspect(ctx context.Context, pg *postgres.Server, g *glance) error {
	data, err := pg.InspectData(ctx)
	if errors.Is(err, postgres.ErrCorruptControl) {
		g.seen.Data, g.seen.Corrupt, g.report.Corrupt = health.DataPresent, err.Error(), err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	switch data.State {
	case postgres.DataAbsent, postgres.DataEmpty:
		g.seen.Data, g.seen.SystemID, g.seen.Timeline = health.DataEmpty, "", 0
		g.report.Slots, g.report.MoreSlots = nil, 0
		m.setTree(nil) // the directory will be created again
		return nil
	case postgres.DataForeign:
		g.seen.Data, g.seen.SystemID = health.DataForeign, ""
		g.report.Slots, g.report.MoreSlots = nil, 0
		m.setTree(nil) // its replacement is another directory
		return nil
	}
	c := data.Control
	g.seen.Data, g.seen.SystemID, g.seen.Timeline, g.seen.Clean = health.DataPresent, c.SystemID, c.Timeline, c.Clean() && !data.Rewinding
	// A new clone has its source's control file until it is started as a standby.
	_, copied := os.Stat(filepath.Join(pg.Data, "backup_label"))
	g.seen.Copied = copied == nil
	g.seen.AsPrimary = !strings.Contains(c.State, "recovery") && !g.seen.Copied
	g.seen.Shutdown = c.Checkpoint
	if c.Clean() && g.seen.AsPrimary {
		g.report.Clean, g.report.Shutdown = true, c.Checkpoint
	}
	end, err := pg.EndOfWAL(ctx)
	if err == nil && end.Timeline != 0 {
		g.seen.Timeline = max(g.seen.Timeline, end.Timeline)
	}
	if err == nil && end.Known {
		g.seen.End, g.seen.Position = end.LSN, end.LSN
	}
	g.report.Position, g.report.PositionKnown = g.seen.End, g.seen.End != 0
	return nil
}

// guard keeps the guards running wherever there is data, and reports what protects the member.
func (m *supervisor) guard(ctx context.Context, pg *postgres.Server, g *glance) {
	m.mu.Lock()
	told := m.goalFrom.Index // read before they are disarmed and asked
	m.mu.Unlock()
	var fault error
	outside, postmaster := 0, 0
	if m.tree != nil && g.seen.Data == health.DataPresent {
		fault = m.guards.ensure(ctx, m.guardOptions(pg))
		if h := m.proc; h != nil && h.Alive() {
			postmaster = h.PID()
		}
		if m.cgroup != nil && g.seen.Process == health.ProcessRunning {
			outside = m.outside(postmaster)
			g.seen.Outside = outside > 0
		}
		fault = errors.Join(fault, m.unbind())
	}
	g.report.Guard = m.guards.check(fault, outside, postmaster)
	g.report.Guard.Told = told
	m.underWatchdog(&g.report.Guard)
	if m.cgroup == nil {
		g.report.Guard.Missing = append(g.report.Guard.Missing, "a cgroup: a process that detaches itself from the tree escapes the guards")
	}
	g.report.Guard.Missing = append(g.report.Guard.Missing, m.unmasked()...)
	g.report.Guard.Missing = append(g.report.Guard.Missing, unswept()...)
}

// confirm sets the parts of a report that depend on the goal and the memory: seals, openings, durability sets.
func (m *supervisor) confirm(ctx context.Context, pg *postgres.Server, in member.Input, s *postgres.Status, g *glance) {
	r := &g.report
	r.Sealed, r.Opened, r.Loaded, r.Settled, r.Checkpointed = platform.Epoch{}, false, 0, 0, platform.Epoch{}
	if s == nil {
		return
	}
	if in.ConfirmsSeal() {
		at := m.sealedPosition(ctx, pg)
		r.Sealed, r.Position, r.PositionKnown = in.Durable.Sealed, max(at.LSN, g.seen.Position), at.Known
	}
	n := len(in.Goal.Sets)
	in.Confirm(r, n > 0 && s.SyncNames == member.SyncNames(in.Goal.Sets[n-1]), m.behind(in.Goal))
	if r.Opened {
		var err error
		if r.History, err = m.history(ctx, pg, s.Timeline); err != nil { // without it, members of older timelines would count as diverged
			m.note(err)
			r.Opened = false
		}
	}
}

// history is the ancestry of the timeline that an open primary writes. It is read once.
func (m *supervisor) history(ctx context.Context, pg *postgres.Server, t platform.Timeline) (platform.History, error) {
	if m.ancestry.of == t {
		return m.ancestry.history, nil
	}
	h, err := pg.ReadHistory(ctx, t)
	if err == nil {
		m.ancestry.of, m.ancestry.history = t, h
	}
	return h, err
}

// sealedPosition is the position read after the seal. While it is not known it is read again.
func (m *supervisor) sealedPosition(ctx context.Context, pg *postgres.Server) postgres.Position {
	m.mu.Lock()
	at := m.sealedAt
	m.mu.Unlock()
	if at.Known {
		return at
	}
	p, err := pg.Position(ctx)
	if err != nil {
		return at
	}
	m.mu.Lock()
	m.sealedAt = p
	m.mu.Unlock()
	return p
}

// publish stores a look's result for readers. Changes that others wait for are reported at once.
func (m *supervisor) publish(g *glance, goal platform.Goal, settling member.Settling, last health.Member) {
	m.mu.Lock()
	m.seen, m.report = g.seen, g.report
	m.memory = m.memory.Looked(goal, g.seen, boottime.Now()) // an act may have changed it since
	m.memory.Settling = settling
	m.lookedAt = boottime.Now()
	if g.seen.Process != health.ProcessRunning {
		m.looks = stall{} // PostgreSQL was not asked
	}
	m.mu.Unlock()
	if member.Notable(&last, &g.report) {
		wakeup.Signal(m.agent.kick)
	}
}

// note keeps an error of a look for the next report.
func (m *supervisor) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel == nil {
		m.fault = err.Error()
	}
}
