// Package agent is the process on each host, with its path of reports. The host's members are controller/supervisor's, its app servers
// controller/apps', and what repairs discard is controller/quarantine's.
//
// It makes no decisions. Nothing on its lease path (reporter.go) touches a filesystem or a database (L6). Reports go to every
// controller; goals and grants arrive only in the leader's answers to them (L1, L8), and are handed to the member's supervisor. It never
// imports raft, state or decide.
package agent

import (
	"context"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/apps"
	"mainstay/controller/backups"
	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/quarantine"
	"mainstay/controller/supervisor"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

// Options are the program's parameters for the agent, beside its file.
type Options struct {
	Version    string
	Executable string // the mainstay binary, to start guards from; "" is the running one
	Logger     *zap.Logger
	// Reload requests that certificates are read again; nil for never.
	Reload <-chan struct{}
}

// Agent is one host's agent. mu guards the fields below it; those above it never change, or lock themselves. Nothing blocks while mu is
// held: the lease path takes it (L6).
type Agent struct {
	cfg  config.Agent
	opts Options
	log  *zap.Logger
	tls  *identity.Store
	home home
	lifetime
	watchdog   hostWatchdog
	pressure   pressure
	apps       apps.Host // begun by Run
	quarantine *quarantine.Host
	backups    *backups.Host
	signals
	relaySlots chan struct{} // one for each connection relayed for others
	bonding    sync.Mutex    // one change of the bond at a time; taken before mu, and held while the disk is written

	mu        sync.Mutex
	members   map[string]*supervisor.Supervisor
	unmanaged map[string]string // members that cannot be managed, and why
	bond      bond              // the platform it obeys
	contact
	clocks         *member.Clocks // numbers and clocks of reports
	heartbeatEvery time.Duration
	pulse          pulse // of this process
}

// lifetime is how long this process lives, and since when.
type lifetime struct {
	bootID string
	begun  time.Duration   // when this process began
	ctx    context.Context // of Run; supervisors live as long
	group  *errgroup.Group // of Run; it owns them
}

// signals are the channels to the agent's loops.
type signals struct {
	kick       chan struct{} // capacity 1: report at once
	inStep     chan struct{} // capacity 1: a leader has just answered
	scanTurn   chan struct{} // capacity 1: filled while a member's files are scanned
	wake       chan struct{} // capacity 1: a new version is known
	named      chan string   // capacity 1: a leader that the agent's file does not list; report to it as well
	relays     chan relay    // capacity 1: a way to a leader
	newMembers chan string   // members that an answer has named, to adoptMembers
}

func newSignals() signals {
	return signals{kick: make(chan struct{}, 1), inStep: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		scanTurn: make(chan struct{}, 1), named: make(chan string, 1),
		relays: make(chan relay, 1), newMembers: make(chan string, 16)}
}

// contact is what the agent knows of the leader. Agent.mu guards it.
type contact struct {
	leader        string             // name of the controller that answered last
	leaderAddress string             // its address
	heard         time.Duration      // CLOCK_BOOTTIME of its last answer
	runs          []string           // see health.Report
	spoke         time.Duration      // when it last had goals: it speaks for its host; 0: not yet
	direct        time.Duration      // when a controller last answered without a relay
	alarm         string             // the leader's last one
	answered      uint64             // the highest number of a report that a leader has answered
	news          chan struct{}      // closed and replaced at each answer
	version       string             // GET /v1/wake answers once the leader's version differs
	holding       context.CancelFunc // ends the request that waits there
}

// Run runs the agent until ctx ends. PostgreSQL, the guards and app servers live on without it.
func Run(ctx context.Context, cfg config.Agent, o Options) error {
	a, err := open(cfg, o)
	if err != nil {
		return err
	}
	defer a.home.close()
	group, ctx := errgroup.WithContext(ctx)
	a.ctx, a.group = ctx, group
	for _, s := range a.home.sweep(ctx, cfg) {
		a.log.Warn("swept", zap.String("member", s.Member), zap.Ints("killed", s.Killed), zap.Error(s.Err))
	}
	for _, name := range a.home.known() {
		a.supervisor(name)
	}
	for name := range cfg.Members {
		a.supervisor(name)
	}
	a.apps.Start(ctx, group, apps.Options{Config: cfg, Log: a.log, TLS: a.tls, Boot: a.bootID, Begun: a.begun,
		Report: func() { wakeup.Signal(a.kick) }})
	group.Go(func() error { return a.watchItself(ctx) })
	group.Go(func() error { return a.report(ctx) })
	group.Go(func() error { return a.adoptMembers(ctx) })
	group.Go(func() error { return a.waitForWake(ctx) })
	group.Go(func() error { return newAPI(a).serve(ctx) })
	group.Go(func() error { return a.reload(ctx) })
	group.Go(func() error { return a.quarantine.Run(ctx) })
	group.Go(func() error { return a.backups.Run(ctx) })
	group.Go(func() error { return a.keepWatchdog(ctx) })
	group.Go(func() error { return a.pressure.watch(ctx, a.log) })
	group.Go(func() error { return a.tls.Remind(ctx, certificateEnds(a.log)) })
	a.log.Info("agent runs", zap.String("host", cfg.Host), zap.Int("members", len(a.list())), zap.Int("instances", a.apps.Len()),
		zap.String("version", o.Version))
	return group.Wait()
}

func open(cfg config.Agent, o Options) (*Agent, error) {
	store, err := identity.Load(identity.Files(cfg.TLS))
	if err != nil {
		return nil, err
	}
	if id := store.ID(); id.Role != identity.RoleAgent || id.Name != cfg.Host {
		return nil,
			fmt.Errorf("%s is the certificate of %s %s, this is agent %s; run `mainstay cert issue --role agent --name %s --address ADDRESS`",
				cfg.TLS.Cert, id.Role, id.Name, cfg.Host, cfg.Host)
	}
	if o.Executable == "" {
		if o.Executable, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	h, err := openHome(cfg.Data, o.Logger)
	if err != nil {
		return nil, err
	}
	boot := boottime.BootID()
	run, err := h.run(boot)
	if err != nil {
		h.close()
		return nil, err
	}
	bond, err := h.bond()
	if err != nil {
		h.close()
		return nil, err
	}
	a := &Agent{
		cfg: cfg, opts: o, log: o.Logger, tls: store, home: h, bond: bond,
		lifetime: lifetime{bootID: boot, begun: boottime.Now()},
		members:  map[string]*supervisor.Supervisor{}, unmanaged: map[string]string{}, clocks: member.NewClocks(run.Run, uint64(boottime.Now())),
		signals: newSignals(), contact: contact{news: make(chan struct{}), direct: boottime.Now(), runs: append(run.Earlier, run.Run)},
		relaySlots: make(chan struct{}, maxRelays), heartbeatEvery: platform.Heartbeat(platform.DefaultLease),
	}
	a.quarantine = quarantine.New(quarantine.Options{Config: cfg, Log: a.log, Server: a.serverOf})
	a.backups = backups.New(backups.Options{Config: cfg, Log: a.log, Server: a.serverOf, Seen: a.seen,
		News: func() { wakeup.Signal(a.kick) }})
	return a, nil
}

// seen is what the agent last saw of a member; the zero value if it does not manage it.
func (a *Agent) seen(member string) health.Member {
	if m := a.lookUp(member); m != nil {
		return m.Snapshot()
	}
	return health.Member{}
}

// supervisor returns the supervisor of a member and starts a new one if needed; it is nil, with a log line, if that fails. It reads the
// disk, so it must not run on the lease path; only Run, and later adoptMembers, call it.
func (a *Agent) supervisor(name string) *supervisor.Supervisor {
	if m := a.lookUp(name); m != nil {
		return m
	}
	m, err := a.newSupervisor(name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.unmanaged[name] != err.Error() {
			a.log.Error("member cannot be managed", zap.String("member", name), zap.Error(err))
		}
		a.unmanaged[name] = err.Error()
		return nil
	}
	delete(a.unmanaged, name)
	a.members[name] = m
	m.Start(a.ctx, func() { a.forget(name) })
	return m
}

// adoptMember queues a member that this agent does not manage yet, or could not start to manage. It never blocks: if the queue is full,
// the next answer names the member again.
func (a *Agent) adoptMember(name string) {
	select {
	case a.newMembers <- name:
	default:
	}
}

// adoptMembers starts to manage members that leaders' answers name. Answers arrive on the lease path, and this reads the disk (L6), so
// it runs apart; the answer to the next report brings the goal again.
func (a *Agent) adoptMembers(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-a.newMembers:
			if a.supervisor(name) != nil {
				wakeup.Signal(a.kick)
			}
		}
	}
}

// forget removes a released member from the reports; its promises are already off the disk.
func (a *Agent) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.members, name)
	a.log.Info("released a member that was removed from the platform; its PostgreSQL and its data are unchanged",
		zap.String("member", name))
}

func (a *Agent) list() []*supervisor.Supervisor {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []*supervisor.Supervisor
	for _, m := range a.members {
		all = append(all, m)
	}
	return all
}

// reload reads the certificates again on request; other changes of the file need a restart of the agent, which leaves PostgreSQL
// running.
func (a *Agent) reload(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.opts.Reload:
			ended, err := a.tls.Reload()
			if err != nil {
				a.log.Error("certificates not reloaded; the agent keeps the present ones", zap.Error(err))
				continue
			}
			a.log.Info("certificates reloaded; changed addresses and folders need a restart of the agent, which does not touch PostgreSQL",
				zap.Int("connectionsEnded", ended))
		}
	}
}

// reportOf composes a report from memory alone (L6).
func (a *Agent) reportOf(number uint64, run string) health.Report {
	bond := a.obeyed()
	r := health.Report{Host: a.cfg.Host, Address: a.cfg.Advertise, BootID: a.bootID, RunID: run, Number: number, Platform: bond.PlatformID}
	if bond.Generation > 1 {
		r.Generation, r.Mark = bond.Generation, bond.Mark
	}
	if !a.speaks() {
		r.Runs = a.runs
	}
	if a.tls.ExpiresSoon(time.Now()) {
		r.CertificateEnds = a.tls.Expiry().UTC().Format(time.RFC3339)
	}
	for _, m := range a.list() {
		s := m.Snapshot()
		if a.backups.Able() {
			s.Backups = a.backups.Report(s.Name)
		}
		r.Members = append(r.Members, s)
	}
	r.Instances = a.apps.Report()
	r.Unmanaged = a.cannot()
	r.Pressure = a.pressure.Load()
	return r
}

// speaks: a leader has just answered this run as the one that speaks for the host. Another run may speak only after a longer silence, of
// ten heartbeats and of the default lease at least.
func (a *Agent) speaks() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spoke != 0 && boottime.Now()-a.spoke < max(platform.DefaultLease/2, 3*a.heartbeatEvery)
}

// cannot names the members that cannot be managed, and why.
func (a *Agent) cannot() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.unmanaged)
}

// certificateEnds warns each day, from 60 days before the certificate expires.
func certificateEnds(log *zap.Logger) func(ends time.Time) {
	return func(ends time.Time) {
		log.Warn("the certificate expires; the agent keeps running, but issue a new one with `mainstay cert issue`, copy it here, then reload",
			zap.Time("ends", ends))
	}
}
