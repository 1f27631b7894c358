package supervisor

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// scanned is a supervisor of a primary whose files are scanned every second. Its looks ask for nothing but the end of WAL.
func scanned(t *testing.T, pg *postgres.Server, rate int) *Supervisor {
	t.Helper()
	m := supervisorOf(t, pg)
	m.o.Config.Integrity.Every, m.o.Config.Integrity.Rate = time.Second, rate
	m.o.ScanTurn = make(chan struct{}, 1)
	epoch := platform.Epoch{Generation: 1, Number: 1}
	m.durable = member.Durable{Epoch: epoch, Incarnation: "feed-e1_1"}
	m.told.goal = platform.Goal{Kind: platform.GoalPrimary, Epoch: epoch, Opened: true}
	look := func() {
		began := boottime.Now()
		end, err := platform.ParseLSN(valueOf(t, pg, "SELECT pg_current_wal_flush_lsn()::text"))
		check(t, err)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.view.seen = member.Seen{Process: health.ProcessRunning, Role: health.RolePrimary, Position: end}
		m.view.begun = began
		m.tell()
	}
	ctx, cancel := context.WithCancel(m.o.Context)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			look()
			select {
			case <-ctx.Done():
			case <-time.After(soonEvery):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	m.o.Group.Go(func() error { m.scanner.scanLoop(m.o.Context); return nil })
	return m
}

// valueOf is the one value that a query returns.
func valueOf(t *testing.T, pg *postgres.Server, query string) (value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(t, scanOf(ctx, pg, query, &value))
	return value
}

// flip changes a byte of the first page of a file, and back.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 5000)
	check(t, err)
	b[0] ^= 0xff
	_, err = f.WriteAt(b, 5000)
	check(t, err)
}

// complete waits until scans that began from now on have read everything.
func (m *Supervisor) complete(t *testing.T) health.Scan {
	t.Helper()
	for n := range 2 { // the first may have begun before
		m.mu.Lock()
		before := m.scans.ended
		m.mu.Unlock()
		eventually(t, fmt.Sprintf("complete scan %d", n), func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.scans.ended > before
		})
	}
	return *m.Snapshot().Scan
}

// TestScanFinds: damage that no client has read is in the report once a checkpoint has passed, also of a server that has ended, until a
// later scan does not find it.
func TestScanFinds(t *testing.T) {
	pg := runningPrimary(t)
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 100) AS n"))
	check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	file := valueOf(t, pg, "SELECT pg_relation_filepath('public.pages')::text")
	m := scanned(t, pg, 1000)
	if s := m.complete(t); s.Findings+s.Unsettled != 0 || !s.Checksums || s.Verified == 0 || s.Verified > s.Blocks || s.AgeMS < 0 {
		t.Errorf("before: %+v", s)
	}
	if r := m.Snapshot(); r.Damage != "" {
		t.Errorf("before: %s", r.Damage)
	}

	flip(t, filepath.Join(pg.Data, file))
	want := "a scan found damage: " + file + " block 0 (checksum)"
	eventually(t, "the finding", func() bool {
		check(t, sqlOf(t.Context(), pg, "SELECT pg_switch_wal()")) // so that the checkpoint begins behind what was flushed
		check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
		return m.Snapshot().Damage == want
	})
	if r := m.Snapshot(); r.Scan.Findings != 1 {
		t.Errorf("found: %+v", r.Scan)
	}
	m.mu.Lock()
	m.view.report.Damage = "PostgreSQL has read it"
	m.mu.Unlock()
	if r := m.Snapshot(); r.Damage != "PostgreSQL has read it; "+want {
		t.Errorf("with PostgreSQL's own: %s", r.Damage)
	}

	m.mu.Lock()
	m.durable.Incarnation = "feed-e1_2"
	m.mu.Unlock()
	if r := m.Snapshot(); r.Damage != "PostgreSQL has read it" || r.Scan != nil && r.Scan.Complete {
		t.Errorf("of other data: %s, %+v", r.Damage, r.Scan)
	}
	m.mu.Lock()
	m.durable.Incarnation, m.view.report.Damage = "feed-e1_1", ""
	m.mu.Unlock()

	flip(t, filepath.Join(pg.Data, file))
	if s := m.complete(t); s.Findings != 0 || m.Snapshot().Damage != "" {
		t.Errorf("once mended: %+v, %s", s, m.Snapshot().Damage)
	}
}

// TestScanPauses: what interrupts a scan does not make it begin anew, and nothing is read meanwhile.
func TestScanPauses(t *testing.T) {
	pg := runningPrimary(t)
	check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	m := scanned(t, pg, 10)
	pause := func(paused bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told.goal.Paused = paused
		m.tell()
	}
	running := func() bool { r := m.Snapshot(); return r.Scan != nil && r.Scan.Running }
	eventually(t, "a part of a scan", func() bool { r := m.Snapshot(); return r.Scan != nil && r.Scan.Percent >= 10 })
	for _, percent := range []int{10, 40} {
		pause(true)
		eventually(t, "the end of the scan", func() bool { return !running() && len(m.o.ScanTurn) == 0 })
		if s := m.Snapshot().Scan; s.Percent < percent || s.Percent == 100 || s.Complete {
			t.Fatalf("interrupted: %+v", s)
		}
		pause(false)
		eventually(t, "another part", func() bool { return m.Snapshot().Scan.Percent >= percent+30 })
	}
	eventually(t, "the end", func() bool { return m.Snapshot().Scan.Complete })
	parts := m.Snapshot().Scan.Blocks
	m.mu.Lock()
	before := m.scans.ended
	m.mu.Unlock()
	eventually(t, "a scan without a pause", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.scans.ended > before })
	if whole := m.Snapshot().Scan.Blocks; parts < whole*99/100 || parts > whole*101/100 {
		t.Errorf("%d pages with pauses, %d without", parts, whole)
	}
}

// TestMayScan: only the files of a member that runs as its goal says are read.
func TestMayScan(t *testing.T) {
	epoch := platform.Epoch{Generation: 1, Number: 1}
	for name, c := range map[string]struct {
		edit func(*shared)
		may  bool
	}{
		"a primary":      {func(*shared) {}, true},
		"a replica":      {func(m *shared) { m.told.goal.Kind, m.view.seen.Role = platform.GoalReplica, health.RoleStandby }, true},
		"sealed":         {func(m *shared) { m.told.goal.Kind = platform.GoalSealed }, false},
		"a new epoch":    {func(m *shared) { m.told.goal.Epoch.Number++ }, false},
		"not open yet":   {func(m *shared) { m.told.goal.Opened = false }, false},
		"paused":         {func(m *shared) { m.told.goal.Paused = true }, false},
		"an act":         {func(m *shared) { m.activity.cancel = func() {} }, false},
		"to be rebuilt":  {func(m *shared) { m.activity.needs = "rebuild" }, false},
		"stopped":        {func(m *shared) { m.view.seen.Process = health.ProcessEnded }, false},
		"no answer":      {func(m *shared) { m.view.seen.Role = health.RoleUnknown }, false},
		"without a goal": {func(m *shared) { m.told.goal = platform.Goal{} }, false},
	} {
		m := assemble(&shared{pg: &postgres.Server{}, durable: member.Durable{Epoch: epoch}})
		m.told.goal = platform.Goal{Kind: platform.GoalPrimary, Epoch: epoch, Opened: true}
		m.view.seen = member.Seen{Process: health.ProcessRunning, Role: health.RolePrimary}
		c.edit(m.shared)
		if _, _, may, _ := m.scanner.mayScan(); may != c.may {
			t.Errorf("%s: %t", name, may)
		}
	}
}

// TestScanTurn: of the members of a host one is scanned at a time.
func TestScanTurn(t *testing.T) {
	turn := make(chan struct{}, 1)
	a, b := assemble(&shared{o: Options{ScanTurn: turn}}), assemble(&shared{o: Options{ScanTurn: turn}})
	if !a.scanner.takeTurn() || b.scanner.takeTurn() {
		t.Error("both have the turn")
	}
	<-turn
	if !b.scanner.takeTurn() {
		t.Error("none has the turn")
	}
}

// TestScanNames: a report names a few pages, in an order that does not depend on which scan has found them.
func TestScanNames(t *testing.T) {
	m := assemble(&shared{durable: member.Durable{Incarnation: "m_1"}})
	m.scans.of = "m_1"
	at := func(n uint32) damagedPage {
		return damagedPage{integrity.Block{Relation: integrity.Relation{Space: integrity.DefaultSpace, Database: 5, Node: 7}, Number: n},
			fmt.Sprintf("base/5/7 block %d (checksum)", n)}
	}
	m.scanner.last, m.scanner.pass.found = []damagedPage{at(1), at(3)}, []damagedPage{at(1), at(2)}
	m.scanner.damage()
	want := health.Scanned + "base/5/7 block 1 (checksum), base/5/7 block 2 (checksum), base/5/7 block 3 (checksum)"
	if r := m.scanReport(); r.Damage != want || r.Scan.Findings != 3 {
		t.Errorf("%s, %+v", r.Damage, r.Scan)
	}
	m.scanner.pass.found = append(m.scanner.pass.found, at(4))
	m.scanner.damage()
	if r := m.scanReport(); !strings.HasSuffix(r.Damage, "block 3 (checksum), and 1 more") || r.Scan.Findings != 4 {
		t.Errorf("%s, %+v", r.Damage, r.Scan)
	}
}

// TestScanDue: a report says when the next scan may begin, also before the first, and that there are none where the file says so.
func TestScanDue(t *testing.T) {
	m := supervisorOf(t, &postgres.Server{})
	m.o.Begun = boottime.Now()
	ctx, cancel := context.WithCancel(t.Context())
	loop := func(every time.Duration) {
		m.o.Config.Integrity.Every = every
		m.o.Group.Go(func() error { m.scanner.scanLoop(ctx); return nil })
		eventually(t, "a word about scans", func() bool { return m.Snapshot().Scan != nil })
	}
	loop(24 * time.Hour)
	if s := m.Snapshot().Scan; s.NextMS > firstScan.Milliseconds() || s.NextMS < (firstScan-patience).Milliseconds() || s.Complete {
		t.Errorf("before the first one: %+v", s)
	}
	m.mu.Lock()
	m.scans.report = health.Scan{Running: true}
	m.mu.Unlock()
	if s := m.Snapshot().Scan; s.NextMS != 0 || !s.Running {
		t.Errorf("while one runs: %+v", s)
	}
	cancel()
	check(t, m.o.Group.Wait())
	m.scans = scans{}
	loop(0)
	if s := m.Snapshot().Scan; !s.Off || s.NextMS > 0 {
		t.Errorf("without scans: %+v", s)
	}
}

// scanReport is what the scans add to a report.
func (m *Supervisor) scanReport() health.Member {
	r := health.Member{Incarnation: m.durable.Incarnation}
	m.scans.publish(&r, boottime.Now())
	return r
}

// asked counts the reports that are asked for.
type asked struct {
	idle
	reports int
}

func (a *asked) Report() { a.reports++ }

// TestManyFindings: damage without end is counted to its end, and asks for no more reports than it names pages; what is not settled is read
// again from its first page on, in whichever order it comes.
func TestManyFindings(t *testing.T) {
	m := supervisorOf(t, &postgres.Server{})
	host := &asked{}
	m.o.Host = host
	m.durable.Incarnation, m.scans.of = "m_1", "m_1"
	m.scanner.pass = pass{of: "m_1", begun: 1, skipped: map[integrity.Reason]int64{}}
	at := func(n int) integrity.Block {
		return integrity.Block{Relation: integrity.Relation{Space: integrity.DefaultSpace, Database: 5, Node: 7}, Number: uint32(n)}
	}
	for n := range keptPages + 50 {
		m.scanner.finding(integrity.Finding{Block: at(n), Path: "base/5/7", Kind: integrity.WrongChecksum, Settled: true})
		m.scanner.finding(integrity.Finding{Block: at(3*keptPages - n), Path: "base/5/7", Kind: integrity.WrongChecksum})
	}
	if host.reports > reportedPages {
		t.Errorf("%d reports", host.reports)
	}
	end := at(4 * keptPages)
	m.scanner.at = &end
	if got := m.scanner.resumeAt(); *got != at(3*keptPages-(keptPages+50)) {
		t.Errorf("the next scan begins behind %s", got)
	}
	m.scanner.finish(scanEnd{}, time.Hour)
	r := m.scanReport()
	if r.Scan.Findings != keptPages+50 || r.Scan.Unsettled != keptPages+50 ||
		!strings.HasSuffix(r.Damage, fmt.Sprintf("and %d more", keptPages+50-3)) {
		t.Errorf("%s, %+v", r.Damage, r.Scan)
	}
}

func TestResumeAt(t *testing.T) {
	block := func(node uint32, fork page.Fork, n uint32) integrity.Block {
		return integrity.Block{Relation: integrity.Relation{Space: integrity.DefaultSpace, Database: 5, Node: node}, Fork: fork, Number: n}
	}
	at := block(9, page.Main, 100)
	for _, c := range []struct {
		unsure []integrity.Block
		want   integrity.Block
	}{
		{nil, at},
		{[]integrity.Block{block(9, page.Main, 40), block(9, page.Main, 30)}, block(9, page.Main, 29)},
		{[]integrity.Block{block(8, page.Visibility, 0)}, block(8, page.FreeSpace, math.MaxUint32)},
		{[]integrity.Block{block(8, page.Main, 0)}, block(7, page.Init, math.MaxUint32)},
		{[]integrity.Block{block(11, page.Main, 131072)}, at},
	} {
		s := scanner{at: &at}
		for _, b := range c.unsure {
			s.unsure.add(b)
		}
		if got := s.resumeAt(); *got != c.want {
			t.Errorf("of %v: %s, want %s", c.unsure, got, c.want)
		}
	}
	if got := (&scanner{}).resumeAt(); got != nil {
		t.Errorf("of nothing: %s", got)
	}
}
