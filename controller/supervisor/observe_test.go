package supervisor

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// TestObserveHungMember: what an agent reports of a primary whose postmaster hangs, or has no slot left, from memory and at
// the moment of the report.
func TestObserveHungMember(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	t.Cleanup(func() { m.observer.session.end(); m.prober.writer.end() })
	check(t, m.observer.reach(pg))

	m.prober.writeProbe(ctx, pg)
	m.observer.question(ctx, pg)
	if r := m.Snapshot(); r.Stale != 0 || r.WriteStale != 0 || r.WriteError != "" || r.Saturated {
		t.Fatalf("a healthy member: %+v", r)
	}

	freeSlots := takeSlots(t, ctx, pg)
	eventually(t, "that no slot is left", func() bool { m.observer.question(ctx, pg); return m.Snapshot().Saturated })
	m.prober.writeProbe(ctx, pg)
	if r := m.Snapshot(); !r.Saturated || r.Stale != 0 || r.WriteStale != 0 || r.WriteError != "" {
		t.Errorf("saturated, and the kept sessions have theirs: %+v", r)
	}
	m.observer.session.begun = boottime.Now() - 2*sessionLife
	if s, err := m.observer.ask(ctx, pg); s == nil || s.InRecovery || !saturated(err) {
		t.Errorf("a kept session that is due for another, which no slot is left for: %+v, %v", s, err)
	}
	freeSlots()
	eventually(t, "a slot", func() bool { m.observer.question(ctx, pg); return !m.Snapshot().Saturated })

	pid, _, _ := pg.Running()
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "that no new connection is answered", func() bool { m.observer.question(ctx, pg); return m.Snapshot().Stale != 0 })
	first := m.Snapshot().Stale
	m.observer.question(ctx, pg)
	m.prober.writeProbe(ctx, pg)
	if r := m.Snapshot(); r.Stale < first+lookTimeout.Milliseconds()*9/10 || r.WriteStale != 0 || r.WriteError != "" {
		t.Errorf("the count continues over looks that time out, and the sessions it has work: %d ms at first, then %+v", first, r)
	}

	children, err := m.handles.tree.Pids()
	check(t, err)
	for _, child := range children {
		check(t, syscall.Kill(child, syscall.SIGSTOP))
	}
	m.prober.writeProbe(ctx, pg)
	if r := m.Snapshot(); r.WriteStale < lookTimeout.Milliseconds()*9/10 || r.WriteError == "" {
		t.Errorf("all of it hangs: %+v", r)
	}
	for _, child := range children {
		check(t, syscall.Kill(child, syscall.SIGCONT))
	}
	eventually(t, "an answer", func() bool {
		m.observer.question(ctx, pg)
		m.prober.writeProbe(ctx, pg)
		r := m.Snapshot()
		return r.Stale == 0 && r.WriteStale == 0 && r.WriteError == ""
	})

	check(t, sqlOf(ctx, pg, "DROP SCHEMA mainstay CASCADE"))
	m.prober.writeProbe(ctx, pg)
	if r := m.Snapshot(); r.WriteStale != 0 || r.WriteError == "" || r.Saturated {
		t.Errorf("the probe's table was dropped: %+v", r)
	}
}

// TestObserveLeavesAHungLook: a look that hangs in a filesystem keeps the supervisor neither from acting nor from reporting.
func TestObserveLeavesAHungLook(t *testing.T) {
	m := supervisorOf(t, nil)
	hanging := make(chan struct{})
	m.looking = hanging
	begun := time.Now()
	m.observe(t.Context())
	if took := time.Since(begun); took > lookSlow || m.looking == nil {
		t.Errorf("it waited %s for it, or began a second one", took)
	}
	if act := m.meanwhile(member.Act{Kind: member.Kill}); act.Kind != member.Kill {
		t.Error("it must still be able to end the member: ", act)
	}
	epoch := platform.Epoch{Generation: 1, Number: 2}
	closed, promised := member.Act{Kind: member.Persist}, member.Act{Kind: member.Persist}
	closed.Durable.Closed, promised.Durable.Epoch = epoch, epoch
	for _, act := range []member.Act{closed, {Kind: member.StartPrimary}} {
		if got := m.meanwhile(act); got.Kind != member.Nothing || got.Wait == "" {
			t.Error("what it saw is old: ", got)
		}
	}
	if act := m.meanwhile(promised); act.Kind != member.Persist {
		t.Error("a promise needs no look: ", act)
	}
	close(hanging)
	if m.overdue() {
		t.Error("it has ended")
	}
	m.observe(t.Context())
	if act := m.meanwhile(member.Act{Kind: member.StartPrimary}); m.looking != nil || act.Kind != member.StartPrimary {
		t.Error("it looks again: ", act)
	}
	m.acts++ // one has ended since that look was begun
	if act := m.meanwhile(closed); act.Kind != member.Nothing {
		t.Error("the look is of before the act: ", act)
	}
	m.observe(t.Context())
	if act := m.meanwhile(closed); act.Kind != member.Persist {
		t.Error("it has looked since: ", act)
	}
}

// TestCrossed: what hangs is reported when it has hung for as long as the controllers wait, not at the heartbeat after that.
func TestCrossed(t *testing.T) {
	m := supervisorOf(t, nil)
	m.told.goal = platform.Goal{Kind: platform.GoalPrimary, Lease: platform.DefaultLease}
	suspect, stuck := platform.Suspect(platform.DefaultLease), platform.Stuck(platform.DefaultLease)
	m.hangs.looks.begin(time.Second)
	for _, at := range []struct {
		age     time.Duration
		fair    time.Duration // since when the agent has had its turns
		crossed bool
	}{
		{age: suspect}, {suspect + 50*time.Millisecond, 0, true}, {age: suspect + 150*time.Millisecond}, {age: stuck},
		{stuck + 50*time.Millisecond, 0, true}, {age: time.Minute}, {time.Minute, 2 * time.Second, false}, {time.Minute, time.Minute, false},
		{time.Minute + 50*time.Millisecond, 0, true},
	} {
		now := time.Second + at.age
		got, next := m.Crossed(now, at.fair)
		if got != at.crossed {
			t.Errorf("after %s, turns since %s: crossed is %v", at.age, at.fair, got)
		}
		if age := now - max(time.Second, at.fair); (next != 0) != (age > 0 && age <= stuck) {
			t.Errorf("after %s, turns since %s: the next bound is in %s", at.age, at.fair, next)
		}
	}
	m.hangs.looks, m.hangs.writes.stall = stall{}, stall{}
	m.hangs.writes.stall.begin(time.Second)
	early, next := m.Crossed(time.Second+suspect-30*time.Millisecond, 0)
	if late, _ := m.Crossed(time.Second+suspect-30*time.Millisecond+next, 0); early || !late || next > 31*time.Millisecond {
		t.Errorf("a commit that hangs is news once, after the bound: %v, %v after %s", early, late, next)
	}
	m.told.goal.Kind = platform.GoalReplica
	if crossed, _ := m.Crossed(time.Minute, 0); crossed {
		t.Error("no controller waits for a replica's")
	}
}

// question is what a look asks PostgreSQL.
func (m *observer) question(ctx context.Context, pg *postgres.Server) {
	m.mu.Lock()
	m.hangs.looks.begin(boottime.Now())
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := m.ask(ctx, pg)
	m.answer(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.report.Saturated = m.session.isSaturated(boottime.Now())
}

// takeSlots takes every connection slot, the reserved ones as well.
func takeSlots(t *testing.T, ctx context.Context, pg *postgres.Server) (free func()) {
	t.Helper()
	db, err := pgdial.Open(pg.Local())
	check(t, err)
	var held []*sql.Conn
	for err == nil {
		var c *sql.Conn
		if c, err = db.Conn(ctx); err == nil {
			held = append(held, c)
		}
	}
	if !saturated(err) {
		t.Fatal(err)
	}
	return func() {
		for _, c := range held {
			c.Close()
		}
		db.Close()
	}
}

// TestReadDamageKeepsItsKey: a page that PostgreSQL reads again is no new evidence, another one is, and so are counts without a name.
func TestReadDamageKeepsItsKey(t *testing.T) {
	pg := &postgres.Server{Data: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	m := supervisorOf(t, pg)
	read := func(n int64, line string) string {
		f, err := os.OpenFile(pg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		check(t, err)
		_, err = f.WriteString(line)
		check(t, err)
		check(t, f.Close())
		s := postgres.Status{Damaged: n, Damage: fmt.Sprintf("%d in database feed, the last at %d UTC", n, n)}
		m.observer.readDamage(pg, &s)
		return m.observer.readDamage(pg, &s)
	}
	const line = "2026-11-30 02:45:36 UTC [%d] ERROR:  invalid page in block %d of relation base/16393/16420\n"
	first := read(1, fmt.Sprintf(line, 71, 3))
	if want := health.ReadPages + "base/16393/16420 block 3 (checksum)"; first != want {
		t.Errorf("%q, want %q", first, want)
	}
	if again := read(2, fmt.Sprintf(line, 72, 3)); !health.KnownDamage(again, first) {
		t.Errorf("read again: %q", again)
	}
	other := read(3, fmt.Sprintf(line, 73, 4))
	if health.KnownDamage(other, first) {
		t.Errorf("another page: %q", other)
	}
	if counted := read(4, "FEHLER:  ungültige Seite in Block 3 von Relation base/16393/16420\n"); health.KnownDamage(counted, other) {
		t.Errorf("a read that the log does not name: %q", counted)
	}
}
