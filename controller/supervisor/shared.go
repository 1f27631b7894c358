package supervisor

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/fencing/guard"
	"mainstay/fencing/process"
	"mainstay/health"
)

// shared is what the parts of one supervisor share. mu guards everything below it; what is copied out of it never changes afterwards.
// Nothing blocks while mu is held: the lease path takes it (L6). The order of locks is arming, mu, those of guards. No method of
// Host is called while mu is held, but Report.
type shared struct {
	o   Options
	log *zap.Logger
	signals
	guards   guards // locks itself
	backends backends
	arming   sync.Mutex // held while the guards are armed or disarmed
	// checksFile is held while the results of checks are written: nothing on the lease path takes it.
	checksFile sync.Mutex

	mu       sync.Mutex
	pg       *postgres.Server // nil until the address is known
	durable  member.Durable
	memory   member.Memory
	told     told
	leasing  leasing
	view     view
	hangs    hangs
	activity activity
	starts   starts
	handles  handles
	slots    slots
	background
	news chan struct{} // closed and replaced when a look has ended or the goal has changed
	// unwritten: pg asks for more than the settings that were last loaded.
	unwritten bool
}

// signals are the channels to the supervisor's loops.
type signals struct {
	kick    chan struct{} // capacity 1: look and decide again
	learned chan struct{} // capacity 1: an answer was taken; for keepResume
	shown   chan struct{} // capacity 1: a check has shown something; for keepChecks
}

// told is what the leaders' answers have said of the member.
type told struct {
	goal   platform.Goal
	from   platform.Age // of the answer that brought the goal
	others Others
}

// background is what the member's slow tasks publish, beside the looks.
type background struct {
	scans      scans
	archiving  archiving
	surveyed   survey
	logged     logged
	inspection inspection
	comparing  comparing
	ordered    ordered
	recheck    recheck
}

// leasing is the lease, and what it rests on (L2, L5).
type leasing struct {
	lease    member.Lease
	promised member.Promised // to a primary
	promises member.Promises // by others, for this primary
	spent    platform.Epoch  // the guards accept no more leases of it
	kept     member.Kept     // for a later process of this run (S6)
	inherits bool            // kept may still be taken up (takeUpResume)
}

// view is what the last look has observed.
type view struct {
	seen     member.Seen
	report   health.Member     // as last composed
	begun    time.Duration     // when that look was
	at       time.Duration     // when it was completed
	loaded   loaded            // which WAL senders have loaded the newest durability set
	sealedAt postgres.Position // read after the seal was confirmed
	shown    *postgres.Status  // on a new connection, by an act; until a look has taken it over
	stale    bool              // an act has changed the stopped data: inspect it again
}

// hangs is how long PostgreSQL has not answered.
type hangs struct {
	looks  stall // unanswered looks
	writes writes
	bounds int // number of the controllers' bounds that the present hang has passed
}

// activity is what the supervisor does, and when it may act next.
type activity struct {
	doing  string
	fault  string // the last act's error
	needs  string
	cancel context.CancelFunc // of the running act; nil for none
	// succeededAt is when the last act that did not fail ended.
	succeededAt time.Duration
	// notBefore delays the next act after a failure. hurryUntil: after a change of goal or an act, looks are frequent until then, because
	// a result is expected soon.
	notBefore, hurryUntil time.Duration
}

// starts are the agent's starts of PostgreSQL.
type starts struct {
	started   *postgres.Process // the last one, until it has answered
	ran       *postgres.Process // once it has answered, until its end was looked into
	ending    *postgres.Process // ended by an act, or about to be
	noArchive bool              // that start was without restore_command, for a foreign timeline
	foreign   string            // the report about that, until it has answered with restore_command
	unstarted unstarted         // starts since PostgreSQL last answered
	short     bool              // when it last ran, a setting was lower than its primary's, or the agent's start had raised one
}

// handles reach the member's processes. Looks replace them; acts and the supervisor use them.
type handles struct {
	tree   *process.Tree   // nil until the data directory exists
	cgroup *process.Cgroup // nil where there is none
	proc   *process.Handle // the postmaster being watched
}

// slots is what was last done about the user's failover slots.
type slots struct {
	tried     string        // the value of synchronized_standby_slots that was last loaded, and into which postmaster
	droppedAt time.Duration // when superseded slots were last dropped here
}

// backends are the server's processes of the kept sessions. An act must not end them: they hold a snapshot only for a moment.
type backends struct{ look, write atomic.Int64 }

func (b *backends) pids() []int { return []int{int(b.look.Load()), int(b.write.Load())} }

// input is everything that the pure core may use; called with mu held.
func (m *shared) input(now time.Duration) member.Input {
	return member.Input{Now: now, Goal: m.told.goal, Durable: m.durable, Seen: m.view.seen, Lease: m.leasing.lease, Memory: m.memory,
		Promised: m.leasing.promised, GuardComplete: m.view.report.Guard.Complete, Spent: m.leasing.spent, Name: m.o.Name}
}

// tell wakes those who wait for news; called with mu held.
func (m *shared) tell() {
	close(m.news)
	m.news = make(chan struct{})
}

// seen is what the last look has observed.
func (m *shared) seen() member.Seen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.seen
}

func (m *shared) paused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told.goal.Paused
}

// address is the member's address: from its goal or, before the first, the stored one. moved: the Server does not have it yet.
func (m *shared) address() (listen string, port int, moved bool) {
	listen, port = m.durable.Listen, m.durable.Port
	if m.told.goal.Port != 0 {
		listen, port = m.told.goal.Listen, m.told.goal.Port
	}
	return listen, port, port != 0 && (m.pg == nil || m.durable.Port != port || m.durable.Listen != listen)
}

func (m *shared) setTree(t *process.Tree) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handles.tree = t
}

// held returns the handles by which acts reach the member's processes: its tree, its cgroup, its postmaster; each may be nil.
func (m *shared) held() (*process.Tree, *process.Cgroup, *process.Handle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handles.tree, m.handles.cgroup, m.handles.proc
}

func (m *shared) acting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.activity.cancel != nil
}

// note keeps an error of a look for the next report.
func (m *shared) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.activity.cancel == nil {
		m.activity.fault = err.Error()
	}
}

// proven stores the values from an act's new connection, so that the next look needs none.
func (m *shared) proven(s postgres.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.shown = &s
}

func (m *shared) takeShown() *postgres.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.view.shown
	m.view.shown = nil
	return s
}

// guardOptions are the parameters of the member's guards; the cgroup, if any, is the member's.
func (m *shared) guardOptions(pg *postgres.Server) guard.Options {
	o := guard.Options{Executable: m.o.Executable, Dir: m.o.Config.GuardDir(m.o.Name), Member: m.o.Name, DataDir: pg.Data}
	if _, cgroup, _ := m.held(); cgroup != nil {
		o.CgroupPath = cgroup.Path()
	}
	return o
}

// setKept writes them to disk, then gives the member a Server that has them.
func (m *shared) setKept(pg *postgres.Server, k postgres.Kept) (*postgres.Server, error) {
	if k == pg.Kept {
		return pg, nil
	}
	if err := statefile.Write(keptPath(m.o.Config, m.o.Name), k); err != nil {
		return nil, err
	}
	next := *pg
	next.Kept = k
	m.mu.Lock()
	m.pg = &next
	m.mu.Unlock()
	return &next, nil
}

func keptPath(cfg config.Agent, name string) string {
	return filepath.Join(cfg.MemberDir(name), "kept.json")
}
