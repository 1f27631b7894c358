package supervisor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity/compare"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

// The tests' shared kit, under short names.
const patience = kit.Patience

var (
	check, eventually = kit.Check, kit.Eventually
	runningPrimary    = pg.Primary
	sqlOf, scanOf     = pg.SQL, pg.Scan
)

// idle is a process that does nothing for its supervisors.
type idle struct{}

func (idle) Report() {}

func (idle) Fair() time.Duration { return 0 }

func (idle) LeaseEnd(uint64, time.Duration) (time.Duration, bool) { return 0, false }

func (idle) Hasten(time.Duration) {}

func (idle) Others(string, map[string]platform.Peer, []string, int) ([]compare.Member, func()) {
	return nil, func() {}
}

func (idle) Watchdog(*platform.Watchdog, string, [2]int) *health.Watchdog { return nil }

// folder is an agent's folder that outlives its processes.
type folder struct {
	mu       sync.Mutex
	full     bool // nothing can be written
	promises map[string]member.Durable
	resumes  map[string]member.Resume
}

func newFolder() *folder {
	return &folder{promises: map[string]member.Durable{}, resumes: map[string]member.Resume{}}
}

func (f *folder) fill(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

// keep puts a value into a map of the folder, unless that is full.
func keep[T any](f *folder, in map[string]T, name string, value T) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return errors.New("the disk is full")
	}
	in[name] = value
	return nil
}

func (f *folder) Durable(name string) (member.Durable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.promises[name], nil
}

func (f *folder) KeepDurable(name string, d member.Durable) error {
	return keep(f, f.promises, name, d)
}

func (f *folder) Resume(name string) member.Resume {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.resumes[name]
}

func (f *folder) KeepResume(name string, r member.Resume) error {
	return keep(f, f.resumes, name, r)
}

func (f *folder) Forget(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.promises, name)
	delete(f.resumes, name)
	return nil
}

// supervisorOf is a supervisor of feed-e1 in a process that does nothing else.
func supervisorOf(t *testing.T, pg *postgres.Server) *Supervisor {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	t.Cleanup(func() {
		cancel()
		check(t, group.Wait())
	})
	o := Options{Name: "feed-e1", Config: config.Agent{Cgroup: "off"}, Log: zap.NewNop(), Context: ctx, Group: group, Host: idle{},
		Home: newFolder()}
	return assemble(&shared{o: o, log: o.Log, pg: pg})
}
