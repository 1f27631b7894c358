package agent

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process"
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

// supervisor manages one member: one goroutine looks, asks member.Next, and acts. Fields that others read are guarded by mu and only
// ever copied.
type supervisor struct {
	agent   *Agent
	name    string
	runID   string // the agent's
	log     *zap.Logger
	kick    chan struct{} // capacity 1: look and decide again
	learned chan struct{} // capacity 1: an answer was taken; for keepResume

	binding sync.Mutex // held while the guards are armed or disarmed; taken before mu

	mu       sync.Mutex
	pg       *postgres.Server // nil until the address is known
	guards   guards
	goal     platform.Goal
	goalFrom platform.Age // of the answer that brought it
	lease    member.Lease
	durable  member.Durable
	promised member.Promised          // to a primary (L5)
	promises member.Promises          // by others, for this primary (L5)
	peers    map[string]platform.Peer // the agents of the cluster's other members, as a leader last said
	spent    platform.Epoch           // the guards accept no more leases of it
	kept     member.Kept              // for a later process of this run (S6)
	inherits bool                     // kept may still be taken up (takeUpResume)
	loaded   loaded                   // which WAL senders have loaded the newest durability set
	memory   member.Memory
	seen     member.Seen
	report   health.Member // as last composed
	lookedAt time.Duration // when the last look was completed
	looks    stall         // how long looks have not been answered
	writes   writes
	bounds   int // number of the controllers' bounds that the present hang has passed
	doing    string
	fault    string // the last act's error
	needs    string
	others   map[string]platform.LSN // positions of the cluster's members, as the leader last said
	// failoverSlots are the user's on the primary, as the leader last said; droppedAt is when such slots were last dropped here.
	failoverSlots []string
	droppedAt     time.Duration
	unwritten     bool               // inst asks for more than the settings that were last loaded
	slotsTried    string             // the value of synchronized_standby_slots that was last loaded, and into which postmaster
	cancel        context.CancelFunc // of the act under way
	// notBefore delays the next act after a failure. hurryUntil: after a change of goal or an act, looks are frequent until then, because
	// a result is expected soon.
	notBefore, hurryUntil time.Duration

	// Written by the supervisor's goroutine under mu, read by acts: the loop looks while an act runs.
	proc      *process.Handle   // the postmaster being watched
	tree      *process.Tree     // nil until the data directory exists
	cgroup    *process.Cgroup   // nil where there is none
	started   *postgres.Process // of the agent's last start, until it has answered
	ran       *postgres.Process // once it has answered, until its end was looked into
	ending    *postgres.Process // ended by an act, or about to be
	noArchive bool              // that start was without restore_command, for a foreign timeline
	foreign   string            // the report about that, until it has answered with restore_command
	// unstarted tells of starts since PostgreSQL last answered.
	unstarted unstarted
	shown     *postgres.Status  // on a new connection, by an act; until a look has taken it over
	stale     bool              // an act has changed the stopped data: inspect it again
	short     bool              // when it last ran, a setting was lower than its primary's, or the agent's start had raised one
	sealedAt  postgres.Position // read after the seal was confirmed

	// Of the supervisor's goroutine alone.
	looking  chan struct{} // closed when the look under way has ended; nil while there is none
	lookOf   int           // acts, when the newest look was begun
	acts     int           // that have ended and changed what a look shows
	failures int           // acts in a row that failed
	lastAct  member.Kind

	// Of the look under way alone.
	inspected bool // the stopped data was inspected since it stopped
	// inspectedAt is when that was.
	inspectedAt time.Duration
	// waitingFor are the settings that wait for the restart of an adopted server, as read from the postmaster waitingOf.
	waitingOf  int
	waitingFor []string
	reached    reached
	user       userSide
	session    lookSession
	ancestry   struct {
		of      platform.Timeline
		history platform.History
	}

	writer writer // of writeProbeLoop alone

	lookBackend, writeBackend atomic.Int64 // processes of the kept sessions
}

func newSupervisor(a *Agent, name string) (*supervisor, error) {
	d, err := a.home.durable(name)
	if err != nil {
		return nil, err
	}
	m := &supervisor{agent: a, name: name, runID: a.clocks.Run(), log: a.log.With(zap.String("member", name)), kick: make(chan struct{}, 1),
		learned: make(chan struct{}, 1),
		durable: d, kept: member.Kept{Written: a.home.resume(name)}}
	m.inherits = m.kept.Written.Run == m.runID
	m.report = health.Member{Name: name}
	m.promised.Since = a.begun
	return m, nil
}

// run is the member's loop, until ctx ends or the member is released. Acts run beside it, one at a time, so that it continues to look
// while one takes long.
func (m *supervisor) run(ctx context.Context) (released bool) {
	defer m.letGo()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var acted chan error // of the act under way; nil when there is none
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
func (m *supervisor) next() member.Act {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := boottime.Now()
	act := member.Next(m.input(now))
	m.setNeeds(act.Needs)
	if _, _, moved := m.address(); act.Kind != member.Release && (m.pg == nil || moved) {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for a controller to confirm its address"}
	} else if now < m.unstarted.until && (act.Kind == member.StartStandby || act.Kind == member.StartPrimary) {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for the pause before the next start to end"}
	} else if act.Kind != member.Nothing && now < m.notBefore {
		act = member.Act{Kind: member.Nothing, Wait: "waiting for the pause after a failure to end"}
	}
	if act.Kind == member.Nothing {
		m.doing = act.Wait
	}
	return act
}

// input is everything that the pure core may use; called with mu held.
func (m *supervisor) input(now time.Duration) member.Input {
	return member.Input{Now: now, Goal: m.goal, Durable: m.durable, Seen: m.seen, Lease: m.lease, Memory: m.memory, Promised: m.promised,
		GuardComplete: m.report.Guard.Complete, Spent: m.spent, Name: m.name}
}

// setNeeds reports at once if the controllers must act first.
func (m *supervisor) setNeeds(needs string) {
	if m.needs != needs {
		m.needs = needs
		wakeup.Signal(m.agent.kick)
	}
}

// begin starts an act. It is cancelled when the goal changes in kind, epoch or upstream.
func (m *supervisor) begin(ctx context.Context, act member.Act) chan error {
	m.lastAct = act.Kind
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.doing, m.cancel = string(act.Kind)+": "+act.Why, cancel
	goal := m.goal
	m.mu.Unlock()
	m.log.Info("act", zap.String("kind", string(act.Kind)), zap.String("why", act.Why), zap.String("goal", string(goal.Kind)),
		zap.String("epoch", goal.Epoch.String()))
	done := make(chan error, 1)
	m.agent.group.Go(func() error {
		defer cancel()
		done <- m.do(ctx, act, goal)
		return nil
	})
	return done
}

// finished records the result of an act. A failure is reported, and retried after a growing pause.
func (m *supervisor) finished(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cancel = nil
	m.hurryUntil = boottime.Now() + hurry
	if err == nil {
		m.failures, m.notBefore, m.fault = 0, 0, m.unstarted.why // a successful act of starting does not prove that PostgreSQL starts
		return
	}
	m.failures++
	m.notBefore = boottime.Now() + min(100*time.Millisecond<<min(m.failures-1, 6), 5*time.Second)
	m.fault = err.Error()
	m.log.Warn("act failed", zap.Error(err), zap.Int("inARow", m.failures))
}

// wants stores a confirmed goal, unless a later one is known.
func (m *supervisor) wants(g platform.Goal, of platform.Age) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of.Before(m.goalFrom) {
		return
	}
	change := member.ChangeOf(&m.goal, &g)
	m.goal, m.goalFrom = g, of
	if change == member.Different {
		if m.cancel != nil {
			m.cancel()
		}
		m.notBefore, m.unstarted.until, m.hurryUntil = 0, 0, boottime.Now()+hurry
	}
	if change != member.Unchanged {
		wakeup.Signal(m.kick)
	}
}

// address is the member's address: from its goal or, before the first, the stored one. moved: the Server does not have it yet.
func (m *supervisor) address() (listen string, port int, moved bool) {
	listen, port = m.durable.Listen, m.durable.Port
	if m.goal.Port != 0 {
		listen, port = m.goal.Listen, m.goal.Port
	}
	return listen, port, port != 0 && (m.pg == nil || m.durable.Port != port || m.durable.Listen != listen)
}

// learnAddress applies the member's address; the next promise that is written stores it. A look calls it: it reads disks, and goals
// arrive on the lease path (L6).
func (m *supervisor) learnAddress() {
	m.mu.Lock()
	listen, port, moved := m.address()
	m.mu.Unlock()
	if !moved {
		return
	}
	pg, err := m.agent.newServer(m.name, listen, port)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.fault = err.Error()
		return
	}
	m.pg, m.durable.Listen, m.durable.Port, m.fault = pg, listen, port, ""
}

// leased applies a leader's grant.
func (m *supervisor) leased(g wire.Grant, end time.Duration) {
	m.mu.Lock()
	m.promises.Grant(boottime.Now(), g.Length)
	m.mu.Unlock()
	m.granted(g.Epoch, end, g.Length)
}

// granted hands a lease to the guards first; the member has it only if both accepted it (L2).
func (m *supervisor) granted(epoch platform.Epoch, end, length time.Duration) {
	if end <= boottime.Now() {
		return
	}
	if err := m.hold(epoch, end); err != nil {
		m.log.Warn("the guards did not take the lease", zap.Error(err))
		m.mu.Lock()
		if refused := (*guard.RefusedError)(nil); errors.As(err, &refused) && refused.Code == machine.Expired && m.spent != epoch {
			m.spent = epoch
			wakeup.Signal(m.kick)
		}
		m.mu.Unlock()
		return
	}
	m.mu.Lock()
	fresh := m.lease.Epoch != epoch
	m.lease = m.lease.Renew(epoch, end-length, length)
	m.mu.Unlock()
	if fresh {
		wakeup.Signal(m.kick)
	}
}

// hold arms the guards with a lease, unless the cluster is paused: then guards have no effect (L7).
func (m *supervisor) hold(epoch platform.Epoch, end time.Duration) error {
	m.binding.Lock()
	defer m.binding.Unlock()
	if m.paused() {
		return nil
	}
	if err := barredFrom(m.watched(), boottime.Now(), end, !m.guards.bound(epoch)); err != nil {
		return err
	}
	return m.guards.extend(epoch, end)
}

// disarm makes the guards idle: their processes are, or were, no primary.
func (m *supervisor) disarm() error {
	if err := m.guards.disarm(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent = platform.Epoch{}
	return nil
}

// unbind disarms the guards while the cluster is paused. It reads goal and guards under one lock, so that an older goal never disarms
// guards that a resume has armed.
func (m *supervisor) unbind() error {
	m.binding.Lock()
	defer m.binding.Unlock()
	if !m.paused() || !m.guards.isArmed() {
		return nil
	}
	return m.guards.disarm()
}

func (m *supervisor) paused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goal.Paused
}

// gonePostmaster tells whether the watched postmaster has ended.
func (m *supervisor) gonePostmaster() bool {
	_, _, h := m.held()
	return h != nil && !h.Alive()
}

// since is the time since the last look was completed.
func (m *supervisor) since() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return boottime.Now() - m.lookedAt
}

// untilLook is how long to wait for the next look. A silent stream is reported as soon as it counts as silent.
func (m *supervisor) untilLook() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.goal.Paused {
		return pausedEvery
	}
	if m.report.Streams() {
		silent := health.StreamSilent - time.Duration(m.report.Receiver.AgeMS)*time.Millisecond
		return min(lookEvery, max(soonEvery, m.lookedAt+silent+time.Millisecond-boottime.Now()))
	}
	return lookEvery
}

func (m *supervisor) hurried() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return boottime.Now() < m.hurryUntil
}

// snapshot is the member's part of a report, from memory.
func (m *supervisor) snapshot() health.Member {
	fair := m.agent.fair()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.report
	now := boottime.Now()
	m.stalls(&r, now, fair)
	r.Epoch, r.Closed, r.Incarnation, r.Discarded = m.durable.Epoch, m.durable.Closed, m.durable.Incarnation, m.durable.Discarded
	r.Doing, r.Error, r.Needs = m.doing, cmp.Or(m.fault, r.Error, m.foreign), m.needs
	if m.memory.Crashes > 0 {
		r.CrashedAt = m.memory.CrashedAt()
	} else {
		r.CrashedAt = 0
	}
	if m.needs != "" {
		in := m.input(now)
		r.Still = in.Still().Milliseconds()
	}
	r.MembersVersion, r.PromisedBy = m.kept.List(m.runID, &m.goal), m.promises.By
	if left := m.promised.Until - now; left > 0 {
		r.Promised = left.Milliseconds()
	}
	if left := m.lease.End - now; left > 0 && m.lease.Epoch == m.durable.Epoch {
		r.LeaseLeft = left.Milliseconds()
	}
	return r
}

// letGo closes the handles of processes and guards; both keep running.
func (m *supervisor) letGo() {
	m.session.end()
	if m.proc != nil {
		m.proc.Close()
	}
	m.guards.close()
}

// learn stores the other members' positions and agents, and the primary's failover slots. These maps never change afterwards.
func (m *supervisor) learn(positions map[string]platform.LSN, peers map[string]platform.Peer, slots []string) {
	m.mu.Lock()
	m.others, m.peers, m.failoverSlots = positions, peers, slots
	m.mu.Unlock()
	wakeup.Signal(m.learned)
}
