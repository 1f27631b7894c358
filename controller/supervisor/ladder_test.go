package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/test/kit"
)

// ladder is an agent's replica with real servers: its primary is run by the test, which also gives a new incarnation where controllers
// would. Looks and acts are taken in turn.
type ladder struct {
	*testing.T
	ctx     context.Context
	primary *postgres.Server
	m       *Supervisor
	copies  int // incarnations that were given
	acts    map[member.Kind]int
	before  kit.Work // the primary's, before what is counted
}

func newLadder(t *testing.T) *ladder {
	l := &ladder{T: t, primary: runningPrimary(t)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	l.ctx = ctx
	hba := filepath.Join(l.primary.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	check(t, err)
	check(t, os.WriteFile(hba, append([]byte("host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"), rules...), 0o600))
	check(t, l.primary.WriteSettings(ctx, postgres.Settings{WALKeepMB: 16, MaxSlotWALKeepMB: 16}))
	l.sql("ALTER SYSTEM SET full_page_writes = off") // a record alone does not make the page that it changes
	for _, counted := range []string{"log_checkpoints", "log_replication_commands"} {
		l.sql("ALTER SYSTEM SET " + counted + " = on")
	}
	check(t, l.primary.Reload(ctx))
	s, err := l.primary.Status(ctx)
	check(t, err)

	dir, err := os.MkdirTemp("", "msl")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, os.Chmod(dir, 0o755))
	group, run := errgroup.WithContext(ctx)
	own := config.AgentMember{Data: filepath.Join(dir, "pg", "data"), Binaries: os.Getenv("MAINSTAY_PG_BIN")}
	own.Replication.User = "postgres"
	cfg := config.Agent{Data: filepath.Join(dir, "agent"), Cgroup: "off", Members: map[string]config.AgentMember{"feed-e2": own}}
	cfg.Postgres.User, cfg.Quarantine.Limit = l.primary.Owner.Name, 1<<40
	check(t, errors.Join(os.Mkdir(cfg.Data, 0o755), os.Mkdir(filepath.Join(dir, "pg"), 0o755)))
	if os.Geteuid() == 0 {
		check(t, os.Chown(filepath.Join(dir, "pg"), int(l.primary.Owner.UID), int(l.primary.Owner.GID)))
	}
	l.m, err = New(Options{Name: "feed-e2", Config: cfg, Executable: "/nowhere/at/all", // no guards
		Run: "ladder", Log: zap.NewNop(), Context: run, Group: group, Host: idle{}, Home: newFolder(),
		Quarantine: quarantine.New(quarantine.Options{Config: cfg, Log: zap.NewNop()})})
	check(t, err)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, port.Close())
	l.m.told.goal = platform.Goal{Kind: platform.GoalReplica, Cluster: "feed", Epoch: epoch3, Opened: true, Timeline: s.Timeline,
		SystemID: s.SystemID,
		Listen:   "127.0.0.1", Port: port.Addr().(*net.TCPAddr).Port, Incarnation: "feed-e2_1",
		Upstream: &platform.Upstream{Member: "feed-e1", Address: "127.0.0.1", Port: l.primary.Port}}
	t.Cleanup(func() {
		if pg := l.m.pg; pg != nil {
			if pid, _, ok := pg.Running(); ok {
				check(t, syscall.Kill(pid, syscall.SIGQUIT))
				eventually(t, "the end of the replica", func() bool { _, _, ok := pg.Running(); return !ok })
			}
			if t.Failed() {
				log, _ := os.ReadFile(pg.Log)
				t.Logf("%s", log[max(0, len(log)-8000):])
			}
		}
		cancel()
		check(t, group.Wait())
	})
	return l
}

func (l *ladder) sql(statement string) {
	l.Helper()
	check(l.T, sqlOf(l.ctx, l.primary, statement))
}

// begin counts from here on.
func (l *ladder) begin() { l.acts, l.before = map[member.Kind]int{}, kit.WorkOf(l.T, l.primary.Log) }

// until looks and acts until done, and gives other data a name where agree says that the controllers would.
func (l *ladder) until(what string, agree func() bool, done func() bool) {
	l.Helper()
	for !done() {
		if err := l.ctx.Err(); err != nil {
			l.Fatalf("waited in vain for %s: it does %q, needs %q, error %q, acts %v", what, l.m.activity.doing, l.m.activity.needs,
				l.m.activity.fault, l.acts)
		}
		l.m.observer.look(l.ctx)
		act := l.m.next()
		switch {
		case l.m.activity.needs != "" && agree != nil && agree():
			l.copies++
			l.m.told.goal.Incarnation = fmt.Sprintf("feed-e2_%d", 1+l.copies)
		case act.Kind == member.Nothing:
			time.Sleep(soonEvery)
		default:
			l.acts[act.Kind]++
			l.m.finished(l.m.actor.do(l.ctx, act, l.m.told.goal))
		}
	}
}

// streams: it has for a while.
func (l *ladder) streams() bool {
	return l.m.view.report.Streams() && !l.m.memory.Rebuilt && !l.m.memory.Restarted
}

// took says what acts there were, and what they cost the primary: each copy a checkpoint, and nothing else.
func (l *ladder) took(what string, copies, starts int) {
	l.Helper()
	l.cost(what, copies, 0, starts)
}

func (l *ladder) cost(what string, copies, rewinds, starts int) {
	l.Helper()
	cost, want := kit.WorkOf(l.T, l.primary.Log).Since(l.before), kit.Work{Forced: copies, Backups: copies}
	if l.acts[member.Clone] != copies || l.acts[member.StartStandby] != starts || l.acts[member.Rewind] != rewinds || cost != want {
		l.Errorf("%s: it cost the primary %+v, acts %v; want %d copies, %d rewinds and %d starts", what, cost, l.acts, copies, rewinds, starts)
	}
}

func (l *ladder) stop() {
	l.Helper()
	check(l.T, l.m.pg.StopFast(l.ctx))
	eventually(l.T, "the end of the replica", func() bool { _, _, ok := l.m.pg.Running(); return !ok })
}

// long passes time: nothing has moved for as long.
func (l *ladder) long(d time.Duration) {
	l.m.actor.recall(func(r *member.Memory) { r.MovedAt = min(r.MovedAt, boottime.Now()-d) })
}

// TestLadder: what a replica's repair takes, with real servers: one copy where its WAL is gone, none for a foreign timeline, one for a
// record at which its replay ends, and no other for a record soon after. No checkpoint is forced beyond that of each copy.
func TestLadder(t *testing.T) {
	l := newLadder(t)
	slot := []string{postgres.SlotName("feed-e2")} // which its primary keeps
	check(t, l.primary.EnsureSlots(l.ctx, slot, nil))
	l.begin()
	l.until("the first copy", nil, l.streams)
	l.took("the first copy", 1, 1)

	t.Run("its WAL is gone", func(t *testing.T) {
		l.stop()
		dir, disk := filepath.Join(l.m.pg.Data, "pg_wal"), filepath.Join(filepath.Dir(l.m.pg.Data), "disk")
		check(t, errors.Join(os.Rename(dir, disk), os.Symlink(disk, dir))) // its WAL lies on a disk of its own
		wal, err := filepath.Glob(filepath.Join(l.m.pg.Data, "pg_wal", "0*"))
		check(t, err)
		for _, path := range wal {
			check(t, os.Remove(path))
		}
		l.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
		for range 4 {
			l.sql("CREATE TABLE public.x AS SELECT 1")
			l.sql("DROP TABLE public.x")
			l.sql("SELECT pg_switch_wal()")
			l.sql("CHECKPOINT")
		}
		check(t, l.primary.EnsureSlots(l.ctx, slot, nil))
		l.begin()
		gone := func() bool { // as its controllers judge
			s, err := l.primary.Status(l.ctx)
			check(t, err)
			return l.m.view.report.Asks != 0 && s.Oldest > l.m.view.report.Asks
		}
		l.until("what it asks for", nil, func() bool { return l.m.view.report.Asks != 0 })
		l.took("while it waits", 0, 1)
		l.long(20 * time.Second)
		l.until("the copy", gone, l.streams)
		l.took("for want of WAL", 1, 2)
		if to, err := os.Readlink(dir); err != nil || to != disk {
			t.Errorf("pg_wal leads to %q (%v), no longer to %s", to, err, disk)
		}
	})

	t.Run("a foreign timeline in its archive", func(t *testing.T) {
		archive := filepath.Join(filepath.Dir(l.m.pg.Data), "archive")
		check(t, os.Mkdir(archive, 0o755))
		check(t, os.WriteFile(filepath.Join(archive, "00000002.history"), []byte("1\t0/1000000\tno recovery target specified\n"), 0o644))
		f, err := os.OpenFile(filepath.Join(l.m.pg.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteString("\nrestore_command = 'cp " + archive + "/%f %p'\n")
		check(t, errors.Join(err, f.Close()))
		l.stop()
		l.begin()
		l.until("its stream", func() bool { return true }, func() bool { return l.acts[member.StartStandby] > 0 && l.streams() })
		l.took("for a foreign timeline", 0, 2)
		if l.m.starts.foreign == "" || !strings.Contains(l.m.starts.foreign, "00000002.history") {
			t.Errorf("it says %q", l.m.starts.foreign)
		}
		if l.m.memory.Doubted() {
			t.Errorf("its data is doubted: %+v", l.m.memory)
		}
		check(t, os.Remove(filepath.Join(archive, "00000002.history")))
	})

	t.Run("its password is refused", func(t *testing.T) {
		hba := filepath.Join(l.primary.Data, "pg_hba.conf")
		rules, err := os.ReadFile(hba)
		check(t, err)
		check(t, os.WriteFile(hba, append([]byte("host replication postgres 127.0.0.1/32 scram-sha-256\n"), rules...), 0o600))
		check(t, l.primary.Reload(l.ctx))
		l.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
		l.begin()
		l.until("the end of its stream", nil, func() bool { return !l.m.view.report.Streams() })
		l.long(withoutStreamFor)
		l.until("the primary's words", nil, func() bool { return strings.Contains(l.m.view.report.Error, "no password supplied") })
		l.took("for a refusal", 0, 0)
		check(t, os.WriteFile(hba, rules, 0o600))
		check(t, l.primary.Reload(l.ctx))
		l.until("its stream", nil, func() bool { return l.streams() && l.m.view.report.Error == "" })
		l.took("for a refusal that has ended", 0, 0)
	})

	t.Run("others have all WAL senders, and its archive fails", func(t *testing.T) {
		l.stop()
		conf := filepath.Join(l.m.pg.Data, "postgresql.conf")
		before, err := os.ReadFile(conf)
		check(t, err)
		check(t, os.WriteFile(conf, append(before[:len(before):len(before)], "\narchive_mode = always\narchive_command = false\n"...), 0o600))
		var receivers []*exec.Cmd
		status := func() postgres.Status {
			s, err := l.primary.Status(l.ctx)
			check(t, err)
			return s
		}
		limit := status().Demanded["max_wal_senders"]
		for range limit {
			cmd := exec.Command(filepath.Join(l.primary.Binaries.Dir, "pg_receivewal"), "-D", t.TempDir(), "--no-loop", "-U", "postgres",
				"-h", "127.0.0.1", "-p", strconv.Itoa(l.primary.Port))
			check(t, cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			receivers = append(receivers, cmd)
		}
		eventually(t, "the receivers", func() bool { return len(status().Senders) == limit })
		l.begin()
		l.until("its start", nil, func() bool { return l.acts[member.StartStandby] > 0 })
		l.long(withoutStreamFor)
		l.until("the primary's words", nil, func() bool { return strings.Contains(l.m.view.report.Error, "max_wal_senders") })
		var g glance
		supervisorOf(t, l.primary).observer.running(l.primary, platform.Goal{}, member.Durable{}, status(), &g)
		if r := g.report; r.MaxSenders != limit || len(r.Senders) != limit || r.Senders[0].Name != "pg_receivewal" ||
			!strings.HasPrefix(r.Senders[0].Client, "process ") || !strings.HasSuffix(r.Senders[0].Client, ", from 127.0.0.1") {
			t.Errorf("the primary says %d, %+v", r.MaxSenders, r.Senders)
		}
		check(t, receivers[0].Process.Kill())
		l.until("its stream", nil, func() bool { return l.streams() && l.m.view.report.Error == "" })
		l.took("for want of a sender", 0, 1)
		g = glance{}
		check(t, receivers[1].Process.Kill())
		eventually(t, "a free sender", func() bool { return len(status().Senders) < limit })
		supervisorOf(t, l.primary).observer.running(l.primary, platform.Goal{}, member.Durable{}, status(), &g)
		if r := g.report; r.MaxSenders != 0 || r.Senders[0].Client != "" {
			t.Errorf("with one free: %d, %+v", r.MaxSenders, r.Senders[0])
		}

		for range 2 { // a file is for the archive once the next one begins
			l.sql("CREATE TABLE public.x AS SELECT 1")
			l.sql("DROP TABLE public.x")
			l.sql("SELECT pg_switch_wal()")
		}
		l.until("its archiver's failure", nil, func() bool {
			a := l.m.view.report.Archiver
			return a != nil && a.Failed != "" && a.Waiting > 0 && a.Kept > 0
		})
		check(t, os.WriteFile(conf, before, 0o600))
	})

	crashes := func(table string) {
		l.sql("CREATE TABLE public." + table + " AS SELECT 1 AS n")
		l.sql("CHECKPOINT")
		s, err := l.primary.Status(l.ctx)
		check(t, err)
		l.until("the replay", nil, func() bool { return l.m.view.report.Replayed >= s.Flush })
		l.stop()
		var file string
		check(t, scanOf(l.ctx, l.primary, "SELECT pg_relation_filepath('public."+table+"')", &file))
		check(t, os.Remove(filepath.Join(l.m.pg.Data, file)))
		l.sql("INSERT INTO public." + table + " VALUES (2)")
		l.begin()
	}
	t.Run("a record that ends its replay", func(t *testing.T) {
		crashes("y")
		l.until("the copy", func() bool { return l.m.memory.Crashes >= 3 }, func() bool { return l.acts[member.Clone] > 0 && l.streams() })
		l.took("for a record", 1, 4)
	})
	t.Run("one more, soon after", func(t *testing.T) {
		crashes("z")
		l.until("a word", func() bool { return true }, func() bool { return l.acts[member.StartStandby] >= 5 })
		l.took("for the next record", 0, 5)
		if !strings.Contains(l.m.activity.fault, "a new clone of its data did not help") {
			t.Errorf("it says %q", l.m.activity.fault)
		}
	})
}
