package supervisor

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// A server keeps running when its data directory is moved away. It has not ended then: the proof `stopped`, and a clone in its
// place, wait for its last process (S1, S4).
func TestDataMovedAwayIsNoEnd(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	look := func() member.Seen {
		g := &glance{}
		m.observer.process(ctx, pg, g)
		return g.seen
	}
	if seen := look(); seen.Process != health.ProcessRunning {
		t.Fatalf("it runs, and is seen %q", seen.Process)
	}
	check(t, os.Rename(pg.Data, pg.Data+".away"))
	if seen := look(); seen.Process != health.ProcessEnding || seen.Data != health.DataEmpty {
		t.Errorf("moved away: process %q, data %q; want %q and %q", seen.Process, seen.Data, health.ProcessEnding, health.DataEmpty)
	}
	eventually(t, "its end", func() bool {
		_ = m.actor.kill() // within its bound, or at the next look, as the agent does
		return look().Process == health.ProcessEnded
	})
}

// An agent that has just been started knows nothing by which it would find such a server where there is no cgroup. As long as
// the guards may be bound to a lease it has not ended.
func TestDataMovedAwayBeforeTheFirstLook(t *testing.T) {
	cfg := config.Agent{Cgroup: "off", Data: t.TempDir()}
	m := assemble(&shared{o: Options{Name: "feed-e1", Config: cfg}})
	pg := &postgres.Server{Data: filepath.Join(cfg.Data, "gone")}
	ended := func() bool {
		g := &glance{}
		m.observer.process(t.Context(), pg, g)
		return g.seen.Process == health.ProcessEnded
	}
	if !ended() {
		t.Errorf("nothing is there, and it has not ended: %s", m.activity.fault)
	}
	check(t, os.MkdirAll(cfg.GuardDir(m.o.Name), 0o700))
	l, err := net.Listen("unix", filepath.Join(cfg.GuardDir(m.o.Name), "guard-b.sock")) // which shows no page
	check(t, err)
	defer l.Close()
	if ended() || !strings.Contains(m.activity.fault, "without its data directory") {
		t.Errorf("it has ended, and a guard listens: %s", m.activity.fault)
	}
}

// The slots of the user's are told of a server that no longer answers too, until it has no data.
func TestSlotsOfAStoppedServer(t *testing.T) {
	s := postgres.Status{MoreUserSlots: 2,
		UserSlots: []postgres.UserSlot{{Name: "cdc", Logical: true, Active: true, Held: 4096, CatalogXmin: 745, WALStatus: "reserved",
			Failover: true}}}
	m := assemble(&shared{o: Options{Name: "feed-e1", Host: idle{}}, log: zap.NewNop()})
	pg, g := &postgres.Server{Data: filepath.Join(t.TempDir(), "gone")}, &glance{}
	m.observer.running(pg, platform.Goal{}, member.Durable{}, s, g)
	want := health.Slot{Name: "cdc", Logical: true, Active: true, Held: 4096, CatalogXmin: 745, WALStatus: "reserved", Failover: true}
	if len(g.report.Slots) != 1 || g.report.Slots[0] != want || g.report.MoreSlots != 2 {
		t.Fatalf("%+v", g.report)
	}
	g = glanceAfter(m.o.Name, "15.1", g.report, g.seen)
	if len(g.report.Slots) != 1 || g.report.MoreSlots != 2 {
		t.Errorf("it does not answer: %+v", g.report)
	}
	check(t, m.observer.inspect(t.Context(), pg, g))
	if g.seen.Data != health.DataEmpty || g.report.Slots != nil || g.report.MoreSlots != 0 {
		t.Errorf("its data is gone: %+v", g.report)
	}
}

// A primary is not reported open while its history cannot be read: with an empty one, members of older timelines would count as diverged
// and be cloned.
func TestOpenedNeedsItsHistory(t *testing.T) {
	dir := t.TempDir()
	owner, err := postgres.OwnerOf(dir)
	check(t, err)
	pg := &postgres.Server{Data: dir, Conf: dir, Owner: owner}
	m := supervisorOf(t, pg)
	in := member.Input{Goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: epoch3}, Seen: member.Seen{Role: health.RolePrimary}}
	in.Durable.Epoch, in.Durable.Ran, in.Memory.Opened = epoch3, epoch3, epoch3
	status := &postgres.Status{Moving: postgres.Moving{Timeline: 5}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	confirmed := func(ctx context.Context) health.Member {
		var g glance
		m.observer.confirm(ctx, pg, in, status, &g)
		return g.report
	}
	if r := confirmed(ctx); r.Opened || r.History != nil || m.activity.fault == "" {
		t.Errorf("without the file: opened %v, history %v, fault %q", r.Opened, r.History, m.activity.fault)
	}
	check(t, os.Mkdir(filepath.Join(dir, "pg_wal"), 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "pg_wal", "00000005.history"), []byte("1\t0/3000028\tno recovery target specified\n"), 0o600))
	late, end := context.WithCancel(ctx)
	end()
	if r := confirmed(late); r.Opened || r.History != nil {
		t.Errorf("at its deadline: opened %v, history %v", r.Opened, r.History)
	}
	if r := confirmed(ctx); !r.Opened || len(r.History) != 1 {
		t.Errorf("with the file: opened %v, history %v", r.Opened, r.History)
	}
}
