package supervisor

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
	"mainstay/health/integrity/structure"
)

// office is a process whose other agents are given.
type office struct {
	idle
	others []compare.Member
	rate   int
}

func (o *office) Others(_ string, _ map[string]platform.Peer, _ []string, rate int) ([]compare.Member, func()) {
	o.rate = rate
	return o.others, func() {}
}

// order tells the member what the leader asks for.
func (m *Supervisor) order(o platform.CheckOrder) {
	m.Learn(Others{Check: o})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell()
}

// kept gives the member a folder, and writes into it what its checks show.
func (m *Supervisor) kept(t *testing.T, dir string) {
	t.Helper()
	m.o.Config.Data = dir
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	m.readChecks()
	m.o.Group.Go(func() error { m.keepChecks(m.o.Context); return nil })
	m.o.Group.Go(func() error { m.checkLoop(m.o.Context); return nil })
}

// TestComparesByOrder: a comparison that the leader asks for begins, pauses and ends as the order says, and is not begun again before the
// leader can have heard of its end.
func TestComparesByOrder(t *testing.T) {
	m := scanned(t, runningPrimary(t), 1000)
	holds := make(chan struct{})
	other := peerOf{ownFiles: ownFiles{comparer: &m.comparer}, holds: holds, other: func(integrity.Block, *page.Summary) {}}
	host := &office{others: []compare.Member{other}}
	m.o.Host = host
	m.kept(t, t.TempDir())
	checks := func() health.Checked { return m.Snapshot().Checks.Compare }
	if c := checks(); c != (health.Checked{}) {
		t.Errorf("before: %+v", c)
	}
	m.order(platform.CheckOrder{Depth: platform.CheckCompare, Hold: true})
	m.order(platform.CheckOrder{Depth: platform.CheckCompare, Rate: 7})
	eventually(t, "the comparison", func() bool { c := checks(); return c.Running && c.Scheduled })
	if host.rate != 7 {
		t.Errorf("at %d MB a second", host.rate)
	}
	m.order(platform.CheckOrder{Depth: platform.CheckCompare, Hold: true})
	close(holds)
	eventually(t, "the pause", func() bool { return checks().Waiting == waitsForOrder && m.Comparison().Paused == waitsForOrder })
	m.order(platform.CheckOrder{Depth: platform.CheckCompare, Share: 30})
	eventually(t, "another share of the hour", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.comparing.order.Share == 30
	})
	m.order(platform.CheckOrder{Depth: platform.CheckCompare})
	eventually(t, "the first look at all pages", func() bool { c := m.Comparison(); return c.Percent == 100 || c.Complete })
	eventually(t, "the end", func() bool {
		check(t, sqlOf(t.Context(), m.Server(), "SELECT pg_switch_wal()"))
		check(t, sqlOf(t.Context(), m.Server(), "CHECKPOINT"))
		return !checks().Running
	})
	if c := checks(); c.DoneMS == 0 || c.TriedMS == 0 || c.Ended != "" || c.Scheduled {
		t.Errorf("afterwards: %+v", c)
	}
	m.mu.Lock()
	again := m.ordered.notBefore > boottime.Now()
	m.ordered.notBefore = 0
	m.mu.Unlock()
	if !again {
		t.Error("it may begin again at once, although the leader cannot have heard")
	}
	eventually(t, "the next", func() bool { return checks().Running })
	m.order(platform.CheckOrder{})
	eventually(t, "the pause without an order", func() bool { return checks().Waiting == waitsForOrder })
	m.mu.Lock()
	m.ordered.at -= 2 * orderGone
	m.mu.Unlock()
	eventually(t, "the end without an order", func() bool { return !checks().Running })
	if c := checks(); !strings.Contains(c.Ended, "no longer asks for it") || c.DoneMS < c.TriedMS {
		t.Errorf("ended: %+v", c)
	}
	if r := m.Snapshot().Comparison; r == nil || !r.Complete {
		t.Errorf("the report has lost the last whole one: %+v", r)
	}
}

// TestStructureByOrder: likewise of a check of the structure. An operator's is not ended by the lack of an order.
func TestStructureByOrder(t *testing.T) {
	pg := runningPrimary(t)
	m := inspecting(t, pg)
	m.kept(t, t.TempDir())
	checks := func() health.Checked { return m.Snapshot().Checks.Structure }
	m.order(platform.CheckOrder{Depth: platform.CheckStructure, Rate: 7})
	eventually(t, "the end", func() bool { c := checks(); return !c.Running && c.DoneMS > 0 })
	if c := checks(); c.TriedMS == 0 || c.Ended != "" {
		t.Errorf("afterwards: %+v", c)
	}
	m.mu.Lock()
	if m.inspection.o.Rate != 7<<20 {
		t.Errorf("at %d bytes a second", m.inspection.o.Rate)
	}
	m.durable.Incarnation = "feed-e1_2"
	m.mu.Unlock()
	if c := checks(); c != (health.Checked{}) {
		t.Errorf("of other data: %+v", c)
	}
	slowly(t, pg)
	check(t, m.Structure.Begin(0, true))
	m.order(platform.CheckOrder{})
	runs := func(want string) func() bool { return func() bool { return valueOf(t, pg, checking) == want } }
	eventually(t, "the check", runs("1"))
	m.mu.Lock()
	m.ordered.at -= 2 * orderGone
	m.mu.Unlock()
	m.obeyOrder()
	if c := checks(); !c.Running || c.Scheduled {
		t.Errorf("an operator's: %+v", c)
	}
	m.Structure.Stop()
	m.mu.Lock()
	m.ordered.notBefore = 0
	m.mu.Unlock()
	m.order(platform.CheckOrder{Depth: platform.CheckStructure})
	eventually(t, "the check by order", func() bool { return checks().Scheduled && runs("1")() })
	m.order(platform.CheckOrder{Depth: platform.CheckStructure, Hold: true})
	eventually(t, "the pause", func() bool { return runs("0")() && checks().Waiting == waitsForOrder })
	m.order(platform.CheckOrder{Depth: platform.CheckStructure})
	eventually(t, "the check again", runs("1"))
}

// TestChecksSurvive: what checks have shown outlives the process, and a new copy of the data; what was under way says so, and continues or
// begins anew.
func TestChecksSurvive(t *testing.T) {
	pg := runningPrimary(t)
	dir := t.TempDir()
	first := inspecting(t, pg)
	first.kept(t, dir)
	other := peerOf{ownFiles: ownFiles{comparer: &first.comparer}, other: func(at integrity.Block, s *page.Summary) {
		if at.Number == 0 && s.State == page.Used && at.Fork == page.Main && at.Node == 1259 {
			s.Digest[0] ^= 1
		}
	}}
	eventually(t, "a look", func() bool { first.mu.Lock(); defer first.mu.Unlock(); return first.calm() })
	c := compareUntilEnd(t, first, other)
	check(t, first.Structure.Begin(0, true))
	s := first.inspected(t)
	check(t, first.writeChecks())

	restart := func() *Supervisor {
		next := supervisorOf(t, pg)
		next.durable.Incarnation = "feed-e1_1"
		next.o.Config.Data = dir
		next.readChecks()
		return next
	}
	next := restart()
	if got := next.Comparison(); got == nil || got.Blocks != c.Blocks || got.Differ != c.Differ || !got.Complete || got.AgeMS < 1 {
		t.Errorf("the comparison: %+v, was %+v", got, c)
	}
	if got := next.Structure.Last(); got == nil || got.Blocks != s.Blocks || !got.Complete || got.Checks["btree"] != s.Checks["btree"] {
		t.Errorf("the structure: %+v, was %+v", got, s)
	}
	if got := next.Snapshot().Checks; got.Compare.DoneMS == 0 || got.Structure.DoneMS == 0 || got.Compare.Running || got.Structure.Running {
		t.Errorf("%+v", got)
	}
	next.durable.Incarnation = "feed-e1_2"
	if next.Comparison() == nil || next.Structure.Last() != nil {
		t.Error("a new copy of the data must end the verdict on its structure, and no comparison")
	}

	holds := make(chan struct{})
	order := &platform.CheckOrder{Depth: platform.CheckCompare}
	for _, of := range []*platform.CheckOrder{order, nil} {
		done := make(chan struct{})
		check(t, first.Compare(Comparing{Others: []compare.Member{peerOf{ownFiles: other.ownFiles, holds: holds, other: other.other}},
			Order: of, Done: func() { close(done) }}))
		first.order(*order)
		check(t, first.writeChecks())
		next = restart()
		want := "begins anew"
		if of == nil {
			want = "once more"
		}
		got, checks := next.Comparison(), next.Snapshot().Checks.Compare
		if got.Running || !strings.Contains(got.Ended, want) || checks.TriedMS != 0 || checks.DoneMS == 0 {
			t.Errorf("interrupted: %+v, %+v", got, checks)
		}
		if r := next.Snapshot().Comparison; r == nil || r.Differ != c.Differ {
			t.Errorf("the last whole one is lost: %+v", r)
		}
		first.CancelComparison()
		<-done
	}

	slowly(t, pg)
	check(t, first.Structure.Begin(0, true))
	eventually(t, "the check", func() bool { return valueOf(t, pg, checking) == "1" })
	check(t, first.writeChecks())
	killed := restart()
	if got := killed.Structure.Last(); !got.Running || !strings.Contains(got.Waiting, "continues where it was") ||
		got.Checks["files"].Clean == 0 {
		t.Errorf("killed: %+v", got)
	}
	if i := &killed.inspection; i.o.From == nil || *i.o.From == (structure.Place{}) || !i.o.Install {
		t.Errorf("killed, it continues at %+v", i.o.From)
	}
	first.pause(true)
	eventually(t, "the pause", func() bool { return first.Structure.Last().Waiting == waitsForMember })
	check(t, first.writeChecks())
	before := first.Structure.Last()
	next = restart()
	if got := next.Structure.Last(); !got.Running || !strings.Contains(got.Waiting, "continues where it was") ||
		got.Percent != before.Percent {
		t.Errorf("stopped: %+v", got)
	}
	next.mu.Lock()
	defer next.mu.Unlock()
	if i := &next.inspection; i.o.From == nil || *i.o.From == (structure.Place{}) || !i.o.Install ||
		i.tally.result.Counts[structure.Heap].Clean != before.Checks["heap"].Clean {
		t.Errorf("continues at %+v with %+v", i.o.From, i.tally)
	}
}

// TestDamagedChecksFile: every check can be made again, so a file that cannot be read stops nothing.
func TestDamagedChecksFile(t *testing.T) {
	m := supervisorOf(t, nil)
	m.o.Config.Data = t.TempDir()
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	check(t, os.WriteFile(checksPath(m.o.Config, m.o.Name), []byte("{"), 0o600))
	m.readChecks()
	if m.Comparison() != nil || m.Structure.Last() != nil {
		t.Error("something was read")
	}
	check(t, m.writeChecks())
	m.readChecks()
}

// TestRests: a check works in its share of each hour since it began, and only while the order for it stands.
func TestRests(t *testing.T) {
	m := supervisorOf(t, nil)
	of := platform.CheckOrder{Depth: platform.CheckCompare, Share: 25}
	for _, c := range []struct {
		order platform.CheckOrder
		now   time.Duration
		want  string
	}{
		{of, 0, ""}, {of, 14 * time.Minute, ""}, {of, 15 * time.Minute, "continues in 45m0s"}, {of, 59 * time.Minute, "continues in 1m0s"},
		{of, time.Hour, ""}, {of, 75 * time.Minute, "25% of each hour"}, {platform.CheckOrder{Depth: platform.CheckStructure}, 0, waitsForOrder},
		{platform.CheckOrder{}, 0, waitsForOrder}, {platform.CheckOrder{Depth: platform.CheckCompare, Hold: true}, 0, waitsForOrder},
	} {
		m.ordered.now = c.order
		if got := m.rests(of, time.Hour, time.Hour+c.now); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v after %s: %q", c.order, c.now, got)
		}
	}
	whole := platform.CheckOrder{Depth: platform.CheckCompare}
	m.ordered.now = whole
	if got := m.rests(whole, 0, 59*time.Minute); got != "" {
		t.Errorf("without a share: %q", got)
	}
}

// TestOneComparison: a member is in one comparison at a time, until that ends or asks nothing for long.
func TestOneComparison(t *testing.T) {
	m := supervisorOf(t, nil)
	c := &m.comparing
	check(t, c.take("feed-e1", "feed-e2", 0))
	check(t, c.take("feed-e1", "feed-e2", compare.HeldFor-1))
	for _, by := range []string{"feed-e3", "feed-e1"} {
		if err := c.take("feed-e1", by, 2*compare.HeldFor-2); err == nil || !strings.Contains(err.Error(), "check feed-e2 --stop") {
			t.Errorf("by %s: %v", by, err)
		}
	}
	m.CompareEnd("feed-e3")
	if err := c.take("feed-e1", "feed-e3", compare.HeldFor); err == nil {
		t.Error("a comparison was ended by another")
	}
	m.CompareEnd("feed-e2")
	check(t, c.take("feed-e1", "feed-e3", compare.HeldFor))
	check(t, c.take("feed-e1", "feed-e2", 2*compare.HeldFor))
	m.CompareEnd("feed-e2")
	_, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.cancel = cancel
	if err := c.take("feed-e1", "feed-e3", 0); err == nil || !strings.Contains(err.Error(), "check feed-e1 --stop") {
		t.Errorf("while its own agent compares: %v", err)
	}
	check(t, c.take("feed-e1", "feed-e1", 0))
}

// TestFoundByStructure: a report says what a check of the structure has found, of the data that it is about.
func TestFoundByStructure(t *testing.T) {
	m := assemble(&shared{o: Options{Log: zap.NewNop(), Host: idle{}}, log: zap.NewNop()})
	m.inspection.of, m.inspection.known = "feed-e1_1", &health.Structure{Complete: true,
		Checks: map[string]health.StructureCounts{"btree": {Corrupt: 1}},
		Damage: []health.StructureDamage{{Database: "feed", Relation: "public.a", Check: "btree"}}}
	for incarnation, want := range map[string]string{"feed-e1_1": "feed.public.a (btree)", "feed-e1_2": ""} {
		m.durable.Incarnation = incarnation
		if got := m.checks(time.Hour).Structure.Damage; got != want {
			t.Errorf("%s: %q, want %q", incarnation, got, want)
		}
		if f := m.checks(time.Hour).Found; f == nil || f.Incarnation != "feed-e1_1" || len(f.Damage) != 1 {
			t.Errorf("%s: for the controllers: %+v", incarnation, f) // the data may descend from that
		}
	}
	for _, kind := range []structure.Kind{structure.BadPage, structure.MissingFile, structure.BadFile} {
		if !slices.Contains(health.OwnKinds, string(kind)) {
			t.Errorf("%s is carried by WAL", kind)
		}
	}
	if len(health.OwnKinds) != 3 {
		t.Errorf("%q", health.OwnKinds)
	}
}
