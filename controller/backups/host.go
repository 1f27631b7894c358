// Package backups is the agent's room for backups: it does the work that the leader asks for (health/backup), archives WAL
// (health/backup/archive), and reports both.
//
// Orders enter with Obey, from a leader's answer, and reports leave by Report: both touch memory only, because they are on the lease path
// (L6). All else runs in the goroutines of Run, one piece of work on a host at a time, and one archive for each cluster. It decides
// nothing: what is due, and which agent does it, is the leader's. It never touches a member's data but by reading, and never says that work
// has ended before that is on disk.
package backups

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/health/backup"
)

// Options are the agent's parameters.
type Options struct {
	Config config.Agent
	Log    *zap.Logger // not nil
	// Server returns a member's PostgreSQL, nil for a member that the agent does not manage, and Seen what the agent last saw of it. Both
	// touch memory only.
	Server func(member string) *postgres.Server
	Seen   func(member string) health.Member
	// News asks for a report at once.
	News func()
}

// Host does the work for backups on one host. mu guards the fields below it and is held for moments only; the others never change.
type Host struct {
	o       Options
	targets []*place // by name
	// adapters are other programs that make backups.
	adapters []*adapter
	news     chan struct{}
	marking  sync.Mutex // one check of a marker at a time; held while the disk is read

	mu      sync.Mutex
	orders  map[string]order // by member
	running *job             // nil for none
	ended   map[string]health.BackupEnded
	lists   map[string]*listed    // by member, while this agent lists its cluster's repository
	archive map[string]*archiving // by member, while this agent archives its cluster's WAL
}

// order is what a leader wants of a member's agent.
type order struct {
	cluster string
	platform.BackupOrder
	since time.Time // when a leader said so last, with its monotonic clock
}

// New opens the targets of the agent's file. It touches no disk but for the credentials of S3; a target that cannot be opened is reported.
func New(o Options) *Host {
	h := &Host{o: o, news: make(chan struct{}, 1), orders: map[string]order{}, ended: map[string]health.BackupEnded{},
		archive: map[string]*archiving{}, lists: map[string]*listed{}, adapters: adaptersOf(o.Config.Backup)}
	for _, name := range slices.Sorted(maps.Keys(o.Config.Backup.Targets)) {
		h.targets = append(h.targets, openPlace(name, o.Config.Backup.Targets[name]))
	}
	return h
}

// Obey takes what a leader wants of a member's agent; the zero order is nothing. The caller never changes it afterwards.
func (h *Host) Obey(member, cluster string, wants platform.BackupOrder) {
	h.mu.Lock()
	h.orders[member] = order{cluster, wants, time.Now()}
	h.mu.Unlock()
	wakeup.Signal(h.news)
}

// Report is what a member's agent says of backups.
func (h *Host) Report(member string) *health.Backups {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &health.Backups{}
	for _, p := range h.targets {
		r.Targets = append(r.Targets, health.BackupTarget{Name: p.Name, Kind: p.kind, Trouble: p.trouble})
	}
	h.reportForeign(member, r)
	if j := h.running; j != nil {
		switch wants := h.orders[member].Job; {
		case j.member == member:
			r.Job = j.progress()
		case wants != nil:
			r.Job = &health.BackupProgress{Number: wants.Number, Step: "waits", Waiting: "the agent works for the backups of " + j.cluster}
		}
	}
	if e, ok := h.ended[member]; ok && h.orders[member].Job != nil && h.orders[member].Job.Number == e.Number {
		r.Ended = &e // until the leader has recorded it, and asks no more
	}
	if a := h.archive[member]; a != nil {
		r.Archive = a.report()
	}
	return r
}

// Able tells whether the agent's file defines where backups can be: a target, or another program.
func (h *Host) Able() bool { return len(h.targets) > 0 || len(h.adapters) > 0 }

// Run does the work until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	if !h.Able() { // nothing can be asked of this agent
		<-ctx.Done()
		return nil
	}
	h.recall()
	if err := backup.Sweep(h.o.Config.Backup.Staging); err != nil {
		h.o.Log.Warn("what an interrupted backup has left could not be removed; the next one tries again", zap.Error(err))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.probe(ctx) })
	group.Go(func() error { return h.work(ctx) })
	group.Go(func() error { return h.archiveAll(ctx) })
	group.Go(func() error { return h.listAll(ctx) })
	return group.Wait()
}

// keptPath is the file with what work has come to, until the leader has recorded it.
func (h *Host) keptPath() string { return filepath.Join(h.o.Config.Data, "backups.json") }

// recall reads what an earlier process had to tell. Where that cannot be read, the work is done again.
func (h *Host) recall() {
	ended := map[string]health.BackupEnded{}
	if err := statefile.Read(h.keptPath(), &ended); err != nil {
		h.o.Log.Warn("the end of work for backups is forgotten, so it is done again", zap.Error(err))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = ended
}

// keep writes how work has ended, and only then reports it.
func (h *Host) keep(member string, e health.BackupEnded) {
	h.mu.Lock()
	all := maps.Clone(h.ended)
	h.mu.Unlock()
	all[member] = e
	if err := statefile.Write(h.keptPath(), all); err != nil {
		h.o.Log.Warn("an agent's restart would do this work again", zap.Error(err))
	}
	h.mu.Lock()
	h.ended = all
	h.mu.Unlock()
	h.o.News()
}
