package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// adoptable tells whether a running server that the agent did not start could be adopted, and if not, why. The bootstrap uses its
// findings, and so does a member that later joins an adopted cluster. A cluster that was removed and is added again is accepted where
// its members run as the agent started them; they become primary and replicas again as after a restart of the agent.
func (m *observer) adoptable(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable, g *glance) {
	own := m.o.Config.Members[m.o.Name]
	switch {
	case d.SystemID != "":
	case g.seen.Data == health.DataEmpty && own.Adopt:
		g.report.Refusals = []string{"there is nothing to adopt: " + pg.Data + " is empty; correct members." + m.o.Name +
			".data in the agent's file, or delete adopt: true there to have the member cloned"}
	case g.seen.Process != health.ProcessRunning:
	case !own.Adopt && !(notBootstrapped(goal) && pg.StartedByUs()):
		g.report.Refusals = []string{"PostgreSQL runs on " + pg.Data + "; set members." + m.o.Name +
			".adopt: true in the agent's file to adopt it"}
	case g.seen.Role == health.RoleUnknown:
		if g.asked != nil {
			g.seen.Data = health.DataPresent // otherwise it would not run
			g.report.Refusals = []string{
				fmt.Sprintf(
					"PostgreSQL runs on %s, but does not answer: %v; correct members.%s.socket in the agent's file or the port in the platform "+
						"file, or allow %s to connect through the local socket, as itself or with members.%s.superuser.passfile",
					pg.Data, g.asked, m.o.Name, pg.Owner.Name, m.o.Name)}
		}
	default:
		m.adoptChecks(ctx, pg, g)
	}
}

func (m *observer) adoptChecks(ctx context.Context, pg *postgres.Server, g *glance) {
	refusals, _, err := pg.AdoptChecks(ctx)
	if err != nil {
		g.report.Refusals = []string{err.Error()}
		return
	}
	for _, r := range refusals {
		g.report.Refusals = append(g.report.Refusals, r.String())
	}
	if g.seen.Role == health.RolePrimary { // the controllers compare its replicas with it from the start
		if g.report.History, err = pg.ReadHistory(ctx, g.seen.Timeline); err != nil {
			g.report.Refusals = append(g.report.Refusals, err.Error())
		}
	}
	g.report.Adoptable = len(g.report.Refusals) == 0
	g.seen.Adoptable = g.report.Adoptable && m.o.Config.Members[m.o.Name].Adopt
}

// notBootstrapped tells whether the cluster has no primary yet, as far as the controllers have said.
func notBootstrapped(goal platform.Goal) bool {
	return goal.Kind == platform.GoalNone || goal.Kind == platform.GoalObserve
}

// reloadable are the managed settings that a reload changes in a running server; the others wait for its next start.
var reloadable = []string{
	"restart_after_crash", "wal_keep_size", "max_slot_wal_keep_size", "idle_replication_slot_timeout", "wal_retrieve_retry_interval",
	"wal_receiver_timeout", "wal_receiver_status_interval", "primary_conninfo", "primary_slot_name", "synchronous_standby_names",
}

// adopt applies the managed settings to a running server by ALTER SYSTEM and reload. Settings that need a restart wait for the next
// one, and the user's files stay unchanged. The server's own values are on the agent's disk first.
func (m *actor) adopt(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	d.AlterSystem = !pg.StartedByUs() // an agent that lost its state finds its files in force
	var err error
	if d.AlterSystem || pg.Kept == (postgres.Kept{}) {
		if pg, err = m.learnKept(ctx, pg); err != nil {
			return err
		}
	}
	if d.AlterSystem {
		if err := m.sayReplaced(ctx, pg, goal, d); err != nil {
			return err
		}
	}
	s, err := settings(pg, goal, d)
	if err != nil {
		return err
	}
	if err := pg.WriteSettings(ctx, s); err != nil { // for the next start
		return err
	}
	if d.AlterSystem {
		if err := alter(ctx, pg, s, reloadable); err != nil {
			return err
		}
	}
	if err := pg.Reload(ctx); err != nil {
		return err
	}
	if err := pg.RestoreStandbySignal(ctx); err != nil {
		return err
	}
	if err := pg.CopyConfig(ctx); err != nil {
		return err
	}
	if err := m.intoCgroup(); err != nil {
		return err
	}
	d.Rename(goal.Incarnation)
	return m.keepDurable(d)
}

// learnKept reads the user's own values from a running server.
func (m *actor) learnKept(ctx context.Context, pg *postgres.Server) (*postgres.Server, error) {
	refusals, facts, err := pg.AdoptChecks(ctx)
	if err != nil {
		return nil, err
	}
	if len(refusals) > 0 {
		return nil, fmt.Errorf("adopt %s: %s", m.o.Name, refusals[0])
	}
	return m.setKept(pg, facts.Keep())
}

// raiseKept reads from the control file the settings that the stopped data, or a fresh clone, last ran with.
func (m *actor) raiseKept(ctx context.Context, pg *postgres.Server) (*postgres.Server, error) {
	c, err := pg.ControlData(ctx)
	if err != nil {
		return nil, err
	}
	return m.setKept(pg, pg.Kept.Raise(c))
}

// keepWanted adopts values of the user's files that are higher than those in mainstay.conf. A separate act writes them there with the
// goal's other settings.
func (m *observer) keepWanted(pg *postgres.Server, s postgres.Status) error {
	k := pg.Kept.Want(s.Wanted, s.InForce)
	next, err := m.setKept(pg, k)
	if err != nil || maps.Equal(next.Values(postgres.Settings{}), pg.Values(postgres.Settings{})) {
		return err
	}
	m.mu.Lock()
	m.unwritten = true
	m.mu.Unlock()
	return nil
}

// alter sets some of the managed settings on a server that does not run with the agent's files yet.
func alter(ctx context.Context, pg *postgres.Server, s postgres.Settings, keys []string) error {
	all, values := pg.Values(s), map[string]string{}
	for _, key := range keys {
		if v, ok := all[key]; ok {
			values[key] = v
		}
	}
	return pg.AlterSystem(ctx, values)
}

// alterForPromotion sets the durability set before the first write, and removes delays of replay.
func alterForPromotion(ctx context.Context, pg *postgres.Server, s postgres.Settings) error {
	s.NoReplayDelay = true
	return alter(ctx, pg, s, []string{"synchronous_standby_names", "recovery_min_apply_delay", "max_standby_streaming_delay",
		"max_standby_archive_delay"})
}

// alterSlots sets synchronized_standby_slots, for which the user's subscribers wait, alone and last: earlier minor versions refuse a
// slot that does not exist yet, and neither a durability set nor a promotion may wait for that.
func (m *actor) alterSlots(ctx context.Context, pg *postgres.Server, s postgres.Settings) {
	if pg.Binaries.Major < 17 {
		return
	}
	if err := alter(ctx, pg, s, []string{"synchronized_standby_slots"}); err != nil {
		m.log.Warn("logical consumers may be ahead of the replicas: synchronized_standby_slots is not set", zap.Error(err))
	}
}

// waiting lists the settings that wait for an adopted server's first start by the agent. It asks once for each postmaster.
func (m *observer) waiting(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) []string {
	pid, _, ok := pg.Running()
	if !ok || !d.AlterSystem {
		return nil
	}
	if m.waitingOf == pid {
		return m.waitingFor
	}
	s, err := settings(pg, goal, d)
	if err != nil {
		return nil
	}
	names, err := pg.Waiting(ctx, s)
	if err != nil {
		return nil
	}
	m.waitingOf, m.waitingFor = pid, names
	return names
}

// intoCgroup moves all processes of an adopted member into the cgroup that its guards reach. Later processes start there.
func (m *actor) intoCgroup() error {
	tree, cgroup, _ := m.held()
	if cgroup == nil || tree == nil {
		return nil
	}
	if in, err := cgroup.Pids(); err == nil && len(in) == 0 {
		_, done, err := m.cgroupFD() // created again; see cgroupFD
		if err != nil {
			return err
		}
		done()
	}
	var stay []string
	for range 20 {
		outside, err := tree.Outside()
		if err != nil || len(outside) == 0 {
			return err
		}
		stay = stay[:0]
		for _, pid := range outside {
			if err := cgroup.Add(pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				stay = append(stay, err.Error())
			}
		}
	}
	if len(stay) > 0 {
		m.log.Warn("processes stay outside the member's cgroup until its next restart: " + strings.Join(stay, "; "))
	}
	return nil
}
