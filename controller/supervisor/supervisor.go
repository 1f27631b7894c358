// Package supervisor manages the members of a host: one supervisor a member, the shell of controller/member. It observes the member's
// PostgreSQL, obeys confirmed goals, starts and stops it, hands leases to its guards, and reads its files in the background. On request its
// server checks the structure of its data.
//
// It decides nothing: member.Next says what to do. Goals, grants and promises arrive through the methods of Supervisor, which are on the
// agent's lease path and touch memory and the guards only (L6); observations leave in Snapshot. Every look, act, write probe and scan runs
// in a goroutine of its own, with a deadline. Promises are on disk before an act rests on them (S3). PostgreSQL and the guards outlive it.
package supervisor

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

const (
	// lookEvery is the interval of looks at an idle member, soonEvery at one that waits for something.
	lookEvery = 500 * time.Millisecond
	soonEvery = 25 * time.Millisecond
	hurry     = 3 * time.Second
	// pausedEvery is the interval while the cluster is paused: no session is kept then, so each look is a new connection.
	pausedEvery = 2 * time.Second
	// inspectEvery is how often stopped data that the agent does not manage is inspected again.
	inspectEvery = 2 * time.Second
	// lookTimeout bounds one look; a look that hangs is evidence (Stale), and no second one is begun.
	lookTimeout = 2 * time.Second
)

// Supervisor manages one member: its goroutine (run) looks, asks member.Next, and acts. Looks, acts, write probes and scans run beside
// it, each in a part of their own. What the parts share is in shared; only run's goroutine uses the other fields.
type Supervisor struct {
	*shared
	comparer
	observer  observer // used by one look at a time
	actor     actor    // used by one act at a time
	prober    prober
	scanner   scanner
	surveyor  surveyor
	watcher   logWatcher
	Structure Inspector // checks of the structure of the member's data, which operators ask for

	looking  chan struct{} // closed when the running look has ended; nil while there is none
	lookOf   int           // acts, when the newest look was begun
	acts     int           // that have ended and changed what a look shows
	failures int           // acts in a row that failed
	lastAct  member.Kind
}

// New returns the supervisor of a member. It reads the member's promises from the disk, so it must not run on the lease path. The error
// is that of the disk, or tells of a damaged file.
func New(o Options) (*Supervisor, error) {
	d, err := o.Home.Durable(o.Name)
	if err != nil {
		return nil, err
	}
	m := assemble(&shared{o: o, log: o.Log.With(zap.String("member", o.Name)), durable: d})
	m.leasing.kept = member.Kept{Written: o.Home.Resume(o.Name)}
	m.leasing.inherits = m.leasing.kept.Written.Run == m.o.Run
	m.leasing.promised.Since = o.Begun
	m.readChecks()
	return m, nil
}

// assemble makes the parts of a supervisor around what they share.
func assemble(s *shared) *Supervisor {
	s.kick, s.learned, s.shown, s.news = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	s.view.report.Name = s.o.Name
	byHand := make(chan struct{}, 1)
	return &Supervisor{shared: s, observer: observer{shared: s}, actor: actor{shared: s}, prober: prober{shared: s},
		scanner: scanner{shared: s, byHand: byHand}, surveyor: surveyor{shared: s},
		watcher:   logWatcher{shared: s, scan: func() { wakeup.Signal(byHand) }},
		comparer:  comparer{shared: s, serving: make(chan struct{}, 1), lastCompared: sinceLast{turn: make(chan struct{}, 1)}},
		Structure: Inspector{shared: s, asked: make(chan struct{}, 1)}}
}

// Name is the member's name.
func (m *Supervisor) Name() string { return m.o.Name }

// Goal is the newest confirmed goal; the zero value before the first.
func (m *Supervisor) Goal() platform.Goal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told.goal
}

// Server is the member's PostgreSQL, nil until its address is known.
func (m *Supervisor) Server() *postgres.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pg
}

// GuardPIDs are the processes of both guards, 0 if they were not started.
func (m *Supervisor) GuardPIDs() [2]int { return m.guards.pids() }

// Start manages the member until ctx ends, or until it is released, which calls released. It is called once.
func (m *Supervisor) Start(ctx context.Context, released func()) {
	ctx, cancel := context.WithCancel(ctx)
	m.o.Group.Go(func() error { m.prober.writeProbeLoop(ctx); return nil })
	m.o.Group.Go(func() error { m.keepResume(ctx); return nil })
	m.o.Group.Go(func() error { m.scanner.scanLoop(ctx); return nil })
	m.o.Group.Go(func() error { m.surveyor.surveyLoop(ctx); return nil })
	m.o.Group.Go(func() error { m.watcher.watchLoop(ctx); return nil })
	m.o.Group.Go(func() error { m.checkLoop(ctx); return nil })
	m.o.Group.Go(func() error { m.followWAL(ctx); return nil })
	m.o.Group.Go(func() error { m.keepChecks(ctx); return nil })
	m.o.Group.Go(func() error {
		m.Structure.inspectLoop(ctx)
		if err := m.writeChecks(); err != nil {
			m.log.Warn("a check of the structure begins anew after this", zap.Error(err))
		}
		return nil
	})
	m.o.Group.Go(func() error { compareFrozen(ctx, m); return nil })
	m.o.Group.Go(func() error {
		defer cancel()
		if m.run(ctx) {
			released()
		}
		return nil
	})
}

// run is the member's loop, until ctx ends or the member is released. Acts run beside it, one at a time, so that it continues to look
// while one takes long.
func (m *Supervisor) run(ctx context.Context) (released bool) {
	defer m.letGo()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var acted chan error // of the running act; nil when there is none
	for {
		look := true
		select {
		case <-ctx.Done():
			if acted != nil {
				<-acted
			}
			if m.looking != nil {
				<-m.looking
			}
			return false
		case err := <-acted:
			acted = nil
			m.finished(err)
			if err == nil && m.lastAct == member.Release {
				if m.looking != nil {
					<-m.looking
				}
				m.endGuards()
				return true
			}
			if look = m.lastAct != member.Persist; look {
				m.acts++
			}
		case <-timer.C:
		case <-m.looking: // the overdue look has ended
			m.looking, look = nil, m.lookOf != m.acts
		case <-m.kick:
			look = m.gonePostmaster() // a new goal or lease changes nothing that a look would show
		}
		if look || m.since() > soonEvery {
			m.observe(ctx)
		}
		pause := m.untilLook()
		if acted == nil {
			act := m.meanwhile(m.next())
			if act.Kind != member.Nothing {
				acted = m.begin(ctx, act)
			}
			if act.Kind == member.Nothing && act.Wait != "" && m.hurried() {
				pause = soonEvery
			}
		}
		timer.Reset(pause)
	}
}

// next asks the pure core, and records what the member waits for.
func (m *Supervisor) next() member.Act {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := boottime.Now()
	act := member.Next(m.input(now))
	m.setNeeds(act.Needs)
	if _, _, moved := m.address(); act.Kind != member.Release && (m.pg == nil || moved) {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for a controller to confirm its address"}
	} else if now < m.starts.unstarted.until && (act.Kind == member.StartStandby || act.Kind == member.StartPrimary) {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for the pause before the next start to end"}
	} else if act.Kind != member.Nothing && now < m.activity.notBefore {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for the pause after a failure to end"}
	}
	if act.Kind == member.Nothing {
		m.activity.doing = act.Wait
	}
	return act
}

// setNeeds reports at once if the controllers must act first.
func (m *Supervisor) setNeeds(needs string) {
	if m.activity.needs != needs {
		m.activity.needs = needs
		m.o.Host.Report()
	}
}

// begin starts an act. It is cancelled when the goal changes in kind, epoch or upstream.
func (m *Supervisor) begin(ctx context.Context, act member.Act) chan error {
	m.lastAct = act.Kind
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.activity.doing, m.activity.cancel = string(act.Kind)+": "+act.Why, cancel
	goal := m.told.goal
	m.mu.Unlock()
	m.log.Info("act", zap.String("kind", string(act.Kind)), zap.String("why", act.Why), zap.String("goal", string(goal.Kind)),
		zap.String("epoch", goal.Epoch.String()))
	done := make(chan error, 1)
	m.o.Group.Go(func() error {
		defer cancel()
		done <- m.actor.do(ctx, act, goal)
		return nil
	})
	return done
}

// finished records the result of an act. A failure is reported, and retried after a growing pause.
func (m *Supervisor) finished(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.activity.cancel = nil
	m.activity.hurryUntil = boottime.Now() + hurry
	if err == nil {
		m.failures, m.activity.notBefore, m.activity.succeededAt = 0, 0, boottime.Now()
		m.activity.fault = m.starts.unstarted.why // a successful act of starting does not prove that PostgreSQL starts
		return
	}
	m.failures++
	m.activity.notBefore = boottime.Now() + min(100*time.Millisecond<<min(m.failures-1, 6), 5*time.Second)
	m.activity.fault = err.Error()
	m.log.Warn("act failed", zap.Error(err), zap.Int("failures", m.failures))
}

// Wants stores a confirmed goal of a leader's answer, unless that of a later answer is known. A different goal cancels the running act.
func (m *Supervisor) Wants(g platform.Goal, of platform.Age) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of.Before(m.told.from) {
		return
	}
	change := member.ChangeOf(&m.told.goal, &g)
	again := leads(m.told.goal.Kind) && leads(g.Kind)
	m.told.goal, m.told.from = g, of
	if change == member.Different {
		if m.activity.cancel != nil {
			m.activity.cancel()
		}
		m.activity.notBefore, m.activity.hurryUntil = 0, boottime.Now()+hurry
		if !again || m.starts.unstarted.times < 2 { // each restart in place has an epoch of its own: their pauses grow all the same
			m.starts.unstarted.until = 0
		}
	}
	if change != member.Unchanged {
		m.tell()
		wakeup.Signal(m.kick)
	}
}

// leads tells the goals of a primary, and of one that is stopped before its restart in place.
func leads(k platform.GoalKind) bool { return k == platform.GoalPrimary || k == platform.GoalStopped }

// gonePostmaster tells whether the watched postmaster has ended.
func (m *Supervisor) gonePostmaster() bool {
	_, _, h := m.held()
	return h != nil && !h.Alive()
}

// since is the time since the last look was completed.
func (m *Supervisor) since() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return boottime.Now() - m.view.at
}

// untilLook is how long to wait for the next look. A silent stream is reported as soon as it counts as silent.
func (m *Supervisor) untilLook() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told.goal.Paused {
		return pausedEvery
	}
	if m.view.report.Streams() {
		silent := health.StreamSilent - time.Duration(m.view.report.Receiver.AgeMS)*time.Millisecond
		return min(lookEvery, max(soonEvery, m.view.at+silent+time.Millisecond-boottime.Now()))
	}
	return lookEvery
}

func (m *Supervisor) hurried() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return boottime.Now() < m.activity.hurryUntil
}

// Snapshot is the member's part of a report, from memory: how long each hang has lasted counts to this moment.
func (m *Supervisor) Snapshot() health.Member {
	fair := m.o.Host.Fair()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.view.report
	now := boottime.Now()
	m.stalls(&r, now, fair)
	r.Epoch, r.Closed, r.Incarnation, r.Discarded = m.durable.Epoch, m.durable.Closed, m.durable.Incarnation, m.durable.Discarded
	r.Lineage, r.Mended = m.durable.Lineage, m.durable.Mended
	m.scans.publish(&r, now)
	m.logged.publish(&r, now)
	m.comparing.publish(&r, now)
	r.Checks = m.checks(now)
	of, _ := m.toCompare()
	m.recheck.publish(&r, of)
	r.Doing, r.Error, r.Needs = m.activity.doing, cmp.Or(m.activity.fault, r.Error, m.starts.foreign), m.activity.needs
	if m.memory.Crashes > 0 {
		r.CrashedAt = m.memory.CrashedAt()
	} else {
		r.CrashedAt = 0
	}
	r.CatchUp = m.memory.CatchUp(m.told.goal, m.view.seen, now)
	if m.activity.needs != "" {
		in := m.input(now)
		r.Still = in.Still().Milliseconds()
	}
	r.MembersVersion, r.PromisedBy = m.leasing.kept.List(m.o.Run, &m.told.goal), m.leasing.promises.By
	if left := m.leasing.promised.Until - now; left > 0 {
		r.Promised = left.Milliseconds()
	}
	if left := m.leasing.lease.End - now; left > 0 && m.leasing.lease.Epoch == m.durable.Epoch {
		r.LeaseLeft = left.Milliseconds()
	}
	return r
}

// letGo closes the handles of processes and guards; both keep running.
func (m *Supervisor) letGo() {
	m.observer.session.end()
	if m.handles.proc != nil {
		m.handles.proc.Close()
	}
	m.guards.close()
}

// Others is what a leader's answer says of the other members of a cluster.
type Others struct {
	Positions map[string]platform.LSN
	Peers     map[string]platform.Peer // their agents
	// Slots are the primary's failover slots, and Tablespaces those outside of its data directory.
	Slots       []string
	Tablespaces []health.Tablespace
	// Check is the deep check that this member's agent shall make.
	Check platform.CheckOrder
	// Archived is up to where the primary has archived its WAL. 0, from a primary that does not run, is no news.
	Archived platform.LSN
	// KeptFrom is where the WAL begins that is kept for the archive.
	KeptFrom platform.LSN
}

// Learn stores what a leader's answer says of the other members. The caller never changes it afterwards.
func (m *Supervisor) Learn(of Others) {
	m.mu.Lock()
	of.Archived = cmp.Or(of.Archived, m.told.others.Archived)
	m.told.others = of
	m.mu.Unlock()
	wakeup.Signal(m.learned)
}
