package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

// peerOf is a member under another name, with other pages where other says so.
type peerOf struct {
	ownFiles
	other func(at integrity.Block, s *page.Summary)
	holds chan struct{} // nil, or: it reads only once this is closed
}

func (peerOf) Name() string { return "feed-e2" }

func (w peerOf) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, int64, error) {
	if w.holds != nil {
		select {
		case <-w.holds:
		case <-ctx.Done():
			return nil, compare.Where{}, 0, ctx.Err()
		}
	}
	all, at, _, err := w.ownFiles.Read(ctx, extents)
	for n := range all {
		for i := range all[n] {
			block := extents[n].Block
			block.Number += uint32(i)
			w.other(block, &all[n][i])
		}
	}
	return all, at, 100, err
}

// compareUntilEnd compares, while checkpoints are made as the time does that passes in earnest.
func compareUntilEnd(t *testing.T, m *Supervisor, other compare.Member) *health.Comparison {
	t.Helper()
	done := make(chan struct{})
	check(t, m.Compare(Comparing{Others: []compare.Member{other}, Wait: patience, Done: func() { close(done) }}))
	eventually(t, "the comparison to end", func() bool {
		check(t, sqlOf(t.Context(), m.Server(), "SELECT pg_switch_wal()"))
		check(t, sqlOf(t.Context(), m.Server(), "CHECKPOINT"))
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	return m.Comparison()
}

// TestCompare: a running server's files are listed and read by the rules of its catalog, and the report says what a comparison has shown.
func TestCompare(t *testing.T) {
	pg := runningPrimary(t)
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 100) AS n"))
	check(t, sqlOf(t.Context(), pg, "CREATE SEQUENCE public.numbers"))
	check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	file := valueOf(t, pg, "SELECT pg_relation_filepath('public.pages')::text")
	m := scanned(t, pg, 1000)
	eventually(t, "a look", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.calm() })
	if m.Comparison() != nil || m.Snapshot().Comparison != nil {
		t.Error("there is a comparison before the first")
	}
	rules := map[page.Method]int{}
	same := func(integrity.Block, *page.Summary) {}
	c := compareUntilEnd(t, m, peerOf{ownFiles: ownFiles{comparer: &m.comparer}, other: same})
	if !c.Complete || c.Ended != "" || c.Blocks == 0 || c.Equal != c.Blocks || c.Differ != 0 || c.SentBytes == 0 || c.Running || c.AgeMS < 0 {
		t.Errorf("with itself: %+v", c)
	}
	for r, known := range m.catalog(t.Context()) {
		rules[known.Method]++
		if r.Node == 0 || r.Space == 0 || strings.Count(known.Name, ".") < 2 {
			t.Errorf("%+v: %+v", r, known)
		}
	}
	if rules[page.Heap] == 0 || rules[page.BTree] == 0 || rules[page.Sequence] != 1 || rules[page.Unknown] != 0 {
		t.Errorf("access methods: %v", rules)
	}

	calm := func(at integrity.Block, s *page.Summary) {
		if strings.HasSuffix(file, "/"+strings.Split(at.Relation.String(), "/")[2]) && at.Fork == page.Main && at.Number == 1 {
			s.Digest[0] ^= 1
		}
	}
	c = compareUntilEnd(t, m, peerOf{ownFiles: ownFiles{comparer: &m.comparer}, other: calm})
	if c.Differ != 1 || len(c.Damage) != 1 {
		t.Fatalf("with another page: %+v", c)
	}
	if d := c.Damage[0]; d.Path != file || d.Block != 1 || !d.Settled || d.Named || !strings.HasSuffix(d.Relation, ".public.pages") {
		t.Errorf("with another page: %+v", d)
	}
	r := m.Snapshot().Comparison
	if r == nil || r.Differ != 1 || len(r.Damage) != 1 || r.Suspect["feed-e2"] != 1 || m.Snapshot().Damage != "" {
		t.Errorf("in the report: %+v", r)
	}
	m.mu.Lock()
	m.durable.Incarnation = "feed-e1_2"
	m.mu.Unlock()
	if r := m.Snapshot().Comparison; m.Comparison() == nil || r == nil || r.Incarnations["feed-e1"] != "feed-e1_1" {
		t.Errorf("a new copy of the data has ended the comparison of the former: %+v", r) // it says which data it is about
	}
}

// TestFoundIsReported: what a comparison has found is in the report while it goes on, beside what the last one has found; a restart of the
// agent forgets none of it, and a page that was mended meanwhile is evidence no more.
func TestFoundIsReported(t *testing.T) {
	m := supervisorOf(t, &postgres.Server{Data: t.TempDir()})
	m.o.Config.Data = t.TempDir()
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	data := map[string]string{"feed-e1": "feed-e1_1", "feed-e2": "feed-e2_2"}
	found := func(running bool, blocks ...uint32) *health.Comparison {
		c := &health.Comparison{By: m.o.Name, Running: running, Complete: !running, Incarnations: data, Differ: int64(len(blocks))}
		for _, b := range blocks {
			c.Damage = append(c.Damage, health.DifferentBlock{Path: "base/5/7", Block: b, Kind: "lost write", Suspects: []string{"feed-e2"},
				Named: true, Settled: true})
		}
		return c
	}
	says := func(m *Supervisor) (blocks []uint32) {
		for _, d := range m.Snapshot().Comparison.Damage {
			blocks = append(blocks, d.Block)
		}
		return blocks
	}
	m.compared(found(false, 1))
	m.comparing.cancel = func() {}
	m.compared(found(true))
	if got := says(m); !slices.Equal(got, []uint32{1}) {
		t.Errorf("one that has found nothing yet hides the last one: %v", got)
	}
	m.compared(found(true, 2))
	if got := says(m); !slices.Equal(got, []uint32{2, 1}) || !m.Snapshot().Comparison.Running {
		t.Errorf("while it runs: %v", got)
	}
	select {
	case <-m.shown:
	default:
		t.Error("what it has found is not kept")
	}
	check(t, m.writeChecks())
	next := supervisorOf(t, &postgres.Server{Data: t.TempDir()})
	next.o.Config.Data = m.o.Config.Data
	next.readChecks()
	if got := says(next); !slices.Equal(got, []uint32{2, 1}) || next.Snapshot().Comparison.Running {
		t.Errorf("after a restart: %v", got)
	}
	m.dropEvidence("feed-e2", "base/5/7 block 2")
	m.compared(found(true, 2, 3))
	m.compared(found(false, 2, 3))
	if got := says(m); !slices.Equal(got, []uint32{3}) {
		t.Errorf("at its end, without what was mended: %v", got)
	}
}

// TestCompareIncremental: the agent keeps what the next comparison rests on, and reads the member's WAL for it; the first has nothing to
// rest on, and a full one is made where the last is too old.
func TestCompareIncremental(t *testing.T) {
	pg := runningPrimary(t)
	m := scanned(t, pg, 1000)
	m.o.Config.Data = t.TempDir()
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	eventually(t, "a look", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.calm() })
	other := peerOf{ownFiles: ownFiles{comparer: &m.comparer}, other: func(integrity.Block, *page.Summary) {}}
	run := func(oldest time.Duration) *health.Comparison {
		t.Helper()
		done := make(chan struct{})
		check(t, m.Compare(Comparing{Others: []compare.Member{other}, Done: func() { close(done) }, Incremental: true, Oldest: oldest}))
		<-done
		return m.Comparison()
	}
	if c := run(0); !c.Complete || c.Incremental || !strings.Contains(c.FullBecause, "no earlier comparison is known") {
		t.Errorf("the first: %+v", c)
	}
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 1000) AS n"))
	check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	if c := run(time.Hour); !c.Complete || !c.Incremental || c.Blocks < 20 || c.Unread < c.Blocks || c.UnreadMS == 0 || c.WALBytes < 20*8192 {
		t.Errorf("the next: %+v", c)
	}
	if c := run(time.Nanosecond); c.Incremental || c.FullBecause != "" {
		t.Errorf("where the last full one is too old: %+v", c)
	}
	again := func() { m.lastCompared = sinceLast{turn: make(chan struct{}, 1)} } // another run of the agent
	again()
	if c := run(0); !c.Incremental {
		t.Errorf("after a restart of the agent: %+v", c)
	}
	check(t, os.WriteFile(m.basePath(), []byte("{"), 0o600))
	again()
	if c := run(0); c.Incremental || c.FullBecause == "" {
		t.Errorf("with a damaged file: %+v", c)
	}
	if c := run(0); !c.Incremental {
		t.Errorf("once it is written again: %+v", c)
	}
	m.newBase(t.Context(), nil, true)
	if c := run(0); c.Incremental {
		t.Errorf("without what it could rest on: %+v", c)
	}

	// WAL is followed: the server may remove it, and what it has named is known still, also after a restart.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.followWAL(ctx) }()
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.more AS SELECT n, repeat('x', 200) FROM generate_series(1, 9000) AS n"))
	for range 3 {
		check(t, sqlOf(t.Context(), pg, "SELECT pg_switch_wal()"))
		check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	}
	end, err := platform.ParseLSN(valueOf(t, pg, "SELECT pg_current_wal_flush_lsn()::text"))
	check(t, err)
	read := func() (to platform.LSN) {
		s, leave, err := m.sinceTurn(t.Context())
		check(t, err)
		defer leave()
		return s.known.Read
	}
	eventually(t, "the WAL to be read", func() bool { return read() >= end })
	cancel()
	<-ended
	again()
	if to := read(); to < end {
		t.Errorf("it was kept that WAL was read to %s, not to %s", to, end)
	}
	segment := filepath.Join(pg.Data, "pg_wal", valueOf(t, pg, "SELECT pg_walfile_name('"+end.String()+"')"))
	entries, err := os.ReadDir(filepath.Dir(segment))
	check(t, err)
	for _, e := range entries {
		if !e.IsDir() && e.Name() < filepath.Base(segment) {
			check(t, os.Remove(filepath.Join(filepath.Dir(segment), e.Name())))
		}
	}
	if c := run(0); !c.Incremental || c.Blocks < 200 || c.Unread < c.Blocks {
		t.Errorf("without the WAL that was read: %+v", c)
	}
	reads := make(chan struct{})
	go func() {
		for range reads {
		}
	}()
	defer close(reads)
	p := walPace{rate: 1 << 20, reads: reads}
	begun := time.Now()
	for range 3 {
		check(t, p.wait(t.Context(), 100<<10))
	}
	if took := time.Since(begun); took < 150*time.Millisecond {
		t.Errorf("200 kB at 1 MB a second took %s", took)
	}
}

// TestCompareStops: a comparison can be cancelled, there is one at a time, and none of a member that is being changed. No scan runs while
// pages are read for one.
func TestCompareStops(t *testing.T) {
	pg := runningPrimary(t)
	m := scanned(t, pg, 1000)
	m.complete(t)
	holds := make(chan struct{})
	other := peerOf{ownFiles: ownFiles{comparer: &m.comparer}, holds: holds, other: func(integrity.Block, *page.Summary) {}}
	done := make(chan struct{})
	check(t, m.Compare(Comparing{Others: []compare.Member{other}, Done: func() { close(done) }}))
	if err := m.Compare(Comparing{Others: []compare.Member{other}, Done: func() {}}); err == nil ||
		!strings.Contains(err.Error(), "integrity check feed-e1 --stop") {
		t.Errorf("a second one: %v", err)
	}
	eventually(t, "pages to be read", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.comparing.readUntil > 0
	})
	if _, _, may, _ := m.scanner.mayScan(); may {
		t.Error("a scan may run beside it")
	}
	if c := m.Comparison(); c == nil || !c.Running {
		t.Errorf("while it runs: %+v", c)
	}
	if !m.CancelComparison() {
		t.Error("it cannot be cancelled")
	}
	<-done
	if c := m.Comparison(); c.Running || c.Complete || c.Ended != "it was cancelled" {
		t.Errorf("once cancelled: %+v", c)
	}
	if m.CancelComparison() {
		t.Error("it can be cancelled twice")
	}
	if err := m.Compare(Comparing{Done: func() {}}); !errors.Is(err, compare.ErrOneMember) {
		t.Errorf("with no other: %v", err)
	}

	m.mu.Lock()
	m.told.goal.Paused = true
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, list := m.CompareList(ctx, "feed-e2")
	_, where := m.CompareWhere(ctx, "feed-e2")
	_, _, read := m.CompareRead(ctx, "feed-e2", 0, nil)
	for _, err := range []error{list, where, read, m.Compare(Comparing{Others: []compare.Member{other}, Done: func() {}}), m.ScanNow()} {
		if !errors.Is(err, ErrNotCalm) {
			t.Errorf("while paused: %v", err)
		}
	}
}

// TestScanToVerify: a replica whose primary's data is damaged is scanned at once, and says for whose sake; again soon if something was left
// open.
func TestScanToVerify(t *testing.T) {
	pg := runningPrimary(t) // a replica's files are read alike
	m := supervisorOf(t, pg)
	m.o.Config.Integrity.Every, m.o.Config.Integrity.Rate = 24*time.Hour, 1000
	m.o.ScanTurn, m.o.Begun = make(chan struct{}, 1), boottime.Now()
	epoch := platform.Epoch{Generation: 1, Number: 1}
	m.durable.Epoch = epoch
	m.told.goal = platform.Goal{Kind: platform.GoalReplica, Epoch: epoch, Opened: true}
	m.view.seen.Process, m.view.seen.Role = health.ProcessRunning, health.RolePrimary
	m.o.Group.Go(func() error { m.scanner.scanLoop(m.o.Context); return nil })
	eventually(t, "the first scan to be planned", func() bool { s := m.Snapshot().Scan; return s != nil && s.NextMS > 0 })
	goal := m.told.goal
	goal.Verify = "m1_1"
	m.Wants(goal, platform.Age{Generation: 1, Index: 9})
	eventually(t, "a scan for the sake of m1_1", func() bool {
		s := m.Snapshot().Scan
		return s.Complete && s.For == "m1_1" && s.Blocks > 0
	})
	for _, c := range []struct {
		scan health.Scan
		open bool
	}{
		{health.Scan{Complete: true, Checksums: true, For: "m1_1"}, false},
		{health.Scan{Complete: true, Checksums: true, For: "m1_1", Changing: 1}, true},
		{health.Scan{Complete: true, Checksums: true, For: "m1_1", Unsettled: 1}, true},
		{health.Scan{Complete: true, Checksums: true, For: "m1_1", Unsettled: 1, Findings: 1}, false},
		{health.Scan{Complete: true, Checksums: true, For: "m1_0", Changing: 1}, false},
		{health.Scan{Complete: true, For: "m1_1"}, false},
	} {
		m.mu.Lock()
		m.scans.report = c.scan
		m.mu.Unlock()
		if m.scanner.leftOpen() != c.open {
			t.Errorf("left open %v: %+v", !c.open, c.scan)
		}
	}
}

// TestScanNow: a scan is due as soon as one is asked for, also where none is due by itself.
func TestScanNow(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	m.o.Config.Integrity.Every, m.o.Config.Integrity.Rate = 0, 1000
	m.o.ScanTurn = make(chan struct{}, 1)
	epoch := platform.Epoch{Generation: 1, Number: 1}
	m.durable.Epoch = epoch
	m.told.goal = platform.Goal{Kind: platform.GoalPrimary, Epoch: epoch, Opened: true}
	m.view.seen.Process, m.view.seen.Role = health.ProcessRunning, health.RolePrimary
	m.o.Group.Go(func() error { m.scanner.scanLoop(m.o.Context); return nil })
	check(t, m.ScanNow())
	eventually(t, "a scan", func() bool {
		s := m.Snapshot().Scan
		return s != nil && s.Complete && s.Blocks > 0
	})
}
