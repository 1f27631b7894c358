package supervisor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/controller/statefile"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

const pageSize = 8192

// usedPage is a page with content and that LSN, with its checksum.
func usedPage(block uint32, lsn platform.LSN, fill byte) []byte {
	p := bytes.Repeat([]byte{fill}, pageSize)
	clear(p[:page.HeaderSize])
	binary.LittleEndian.PutUint32(p[4:], uint32(lsn))
	for at, n := range map[int]uint16{12: page.HeaderSize + 4, 14: pageSize - 64, 16: pageSize, 18: pageSize | 4} {
		binary.LittleEndian.PutUint16(p[at:], n)
	}
	binary.LittleEndian.PutUint32(p[page.HeaderSize:], pageSize-64|1<<15|64<<17)
	binary.LittleEndian.PutUint16(p[8:], page.Checksum(p, block))
	return p
}

// TestFits: a donor's page takes the place of another one only where it has all changes up to where the target replays from, and none
// behind. The page that it replaces is not asked.
func TestFits(t *testing.T) {
	l := page.Layout{Size: pageSize, Checksums: true}
	for _, c := range []struct {
		name   string
		change func(a *compare.PageAnswer, c *postgres.Control)
		want   string // "" if it fits
	}{
		{"it does", func(*compare.PageAnswer, *postgres.Control) {}, ""},
		{"changed exactly at the redo position", func(a *compare.PageAnswer, _ *postgres.Control) { a.Page = usedPage(3, 100, 1) }, ""},
		{"changed since", func(a *compare.PageAnswer, _ *postgres.Control) { a.Page = usedPage(3, 101, 1) }, "would replay from 0/64 on: the"},
		{"not written out that far", func(a *compare.PageAnswer, _ *postgres.Control) { a.Redo = 99 }, "run CHECKPOINT on feed-e1"},
		{"of another block", func(a *compare.PageAnswer, _ *postgres.Control) { a.Page = usedPage(4, 50, 1) }, "is damaged itself: its checksum"},
		{"zeroed", func(a *compare.PageAnswer, _ *postgres.Control) { a.Page = make([]byte, pageSize) }, "it has no content"},
		{"short", func(a *compare.PageAnswer, _ *postgres.Control) { a.Page = a.Page[:100] }, "it has no content"},
		{"another cluster", func(a *compare.PageAnswer, _ *postgres.Control) { a.SystemID = "8" }, "is not alike"},
		{"without checksums", func(a *compare.PageAnswer, _ *postgres.Control) { a.Checksums = false }, "is not alike"},
		{"another history", func(_ *compare.PageAnswer, c *postgres.Control) { c.Timeline = 2 }, "of timelines 1 and 2"},
	} {
		a := compare.PageAnswer{Page: usedPage(3, 50, 1)}
		a.SystemID, a.Timeline, a.PageSize, a.Checksums, a.Redo = "7", 1, pageSize, true, 100
		control := postgres.Control{SystemID: "7", Timeline: 1, Redo: 100}
		c.change(&a, &control)
		err := fits("feed-e1", "feed-e2", a, control, l, 3)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// giver is another member's agent.
type giver struct {
	compare.Member
	gives compare.PageAnswer
	err   error
}

// withGiver is an agent whose only peer that is.
type withGiver struct {
	idle
	giver *giver
}

func (h withGiver) Others(string, map[string]platform.Peer, []string, int) ([]compare.Member, func()) {
	return []compare.Member{h.giver}, func() {}
}

func (g *giver) Page(context.Context, integrity.Block) (compare.PageAnswer, error) {
	return g.gives, g.err
}

// patientServer is a stopped server with a relation, and its supervisor's actor.
type patientServer struct {
	mender
	pg    *postgres.Server
	giver *giver
	goal  platform.Goal
	at    integrity.Block
	old   []byte
}

func stoppedServer(t *testing.T) *patientServer {
	t.Helper()
	pg := runningPrimary(t)
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.t AS SELECT n, repeat('x', 100) FROM generate_series(1, 1000) AS n"))
	check(t, sqlOf(t.Context(), pg, "VACUUM public.t"))
	check(t, sqlOf(t.Context(), pg, "CHECKPOINT"))
	var path string
	check(t, scanOf(t.Context(), pg, "SELECT pg_relation_filepath('public.t')", &path))
	check(t, pg.StopFast(t.Context()))
	eventually(t, "its end", func() bool { _, _, runs := pg.Running(); return !runs })
	m := supervisorOf(t, pg)
	m.o.Config = config.Agent{Cgroup: "off", Data: t.TempDir(), Quarantine: config.Quarantine{Limit: 1 << 30}}
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	m.o.Quarantine = quarantine.New(quarantine.Options{Config: m.o.Config, Log: zap.NewNop()})
	p := &patientServer{mender: mender{&m.actor}, pg: pg, giver: &giver{}}
	m.o.Host = withGiver{giver: p.giver}
	m.told.others.Peers = map[string]platform.Peer{"feed-e2": {Host: "db-e2", Address: "db-e2:7411"}}
	m.durable.Incarnation = "feed-e1_1"
	p.goal = platform.Goal{Cluster: "feed"}
	p.goal.Mend = &platform.Mend{Number: 7, Incarnation: "feed-e1_1", Page: path + " block 1", From: "feed-e2"}
	var err error
	p.at, err = compare.BlockOf(p.goal.Mend.Page)
	check(t, err)
	c, err := pg.ControlData(t.Context())
	check(t, err)
	p.giver.gives.Where = compare.Where{Redo: c.Redo, Data: compare.Data{SystemID: c.SystemID, Timeline: c.Timeline, PageSize: pageSize,
		Checksums: c.Checksums}}
	p.old = p.now(t)
	p.giver.gives.Page = usedPage(1, c.Redo, 'y')
	return p
}

func (p *patientServer) now(t *testing.T) []byte {
	t.Helper()
	s, err := integrity.OpenStopped(p.pg.Data)
	check(t, err)
	defer s.Close()
	b, err := s.Page(p.at)
	check(t, err)
	return b
}

// TestMend: the donor's page is in place, the old one in the quarantine; once more is no change. What does not fit changes nothing.
func TestMend(t *testing.T) {
	p := stoppedServer(t)
	p.giver.err = errors.New("no route to host")
	check(t, p.mend(t.Context(), p.pg, p.goal))
	if d := p.durable.Mended; d == nil || d.Done || d.Number != 7 ||
		!strings.Contains(d.Detail, "nothing was changed: the page of feed-e2: no route") || !bytes.Equal(p.now(t), p.old) {
		t.Fatalf("without a donor: %+v", d)
	}
	p.giver.err = nil
	check(t, p.mend(t.Context(), p.pg, p.goal))
	d := p.durable.Mended
	if !d.Done || d.Kept == "" || !bytes.Equal(p.now(t), p.giver.gives.Page) {
		t.Fatalf("mended: %+v", d)
	}
	pieces, err := p.o.Quarantine.(*quarantine.Host).List()
	check(t, err)
	if len(pieces) != 1 || pieces[0].ID != d.Kept || pieces[0].How != "mending" || pieces[0].Problem != "" {
		t.Fatalf("kept: %+v", pieces)
	}
	files, err := filepath.Glob(filepath.Join(pieces[0].Place, "base_*"))
	if check(t, err); len(files) != 1 {
		t.Fatalf("kept: %q", files)
	}
	was, err := os.ReadFile(files[0])
	if check(t, err); !bytes.Equal(was, p.old) {
		t.Error("the old page was not kept")
	}
	check(t, p.mend(t.Context(), p.pg, p.goal))
	if d := p.durable.Mended; !d.Done || !strings.Contains(d.Detail, "already") || d.Kept != "" {
		t.Errorf("once more: %+v", d)
	}
	p.goal.Mend.Page = strings.Replace(p.goal.Mend.Page, " block 1", "_vm block 0", 1)
	check(t, p.mend(t.Context(), p.pg, p.goal))
	path, _, _ := strings.Cut(p.goal.Mend.Page, " ")
	if d := p.durable.Mended; !d.Done || d.Kept == "" {
		t.Errorf("its map: %+v", d)
	}
	if _, err := os.Stat(filepath.Join(p.pg.Data, path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its map is there: %v", err)
	}
	p.goal.Mend.Page = "base/5/16384/../../../x block 0"
	check(t, p.mend(t.Context(), p.pg, p.goal))
	if d := p.durable.Mended; d.Done || !strings.Contains(d.Detail, "is no page") {
		t.Errorf("a path that is none: %+v", d)
	}
}

// TestMendingIsInterrupted at each step: before a start the old page or the new one is in place, never a part of each, and data that has
// taken the place of the mended one is left alone.
func TestMendingIsInterrupted(t *testing.T) {
	p := stoppedServer(t)
	fresh := p.giver.gives.Page
	part := append(bytes.Clone(fresh[:4096]), p.old[4096:]...)
	other := usedPage(1, 1, 'z')
	for _, c := range []struct {
		name      string
		now, want []byte
	}{
		{"nothing was written", p.old, p.old},
		{"a part was written", part, fresh},
		{"all was written", fresh, fresh},
		{"the data was replaced", other, other},
	} {
		s, err := integrity.OpenStopped(p.pg.Data)
		check(t, err)
		check(t, s.Replace(p.at, c.now))
		check(t, s.Close())
		check(t, statefile.Write(p.mendingPath(), mending{Page: p.goal.Mend.Page, Old: p.old, New: fresh}))
		check(t, p.settleMending(p.pg))
		if !bytes.Equal(p.now(t), c.want) {
			t.Errorf("%s: another page is in place", c.name)
		}
		if _, err := os.Stat(p.mendingPath()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is not over: %v", c.name, err)
		}
	}
	check(t, p.settleMending(p.pg)) // nothing is under way
	check(t, os.WriteFile(p.mendingPath(), []byte("{"), 0o600))
	check(t, p.settleMending(p.pg)) // it must not keep the member from its start
}

// TestMendedIsComparedAgain once the replica streams, while the operation runs.
func TestMendedIsComparedAgain(t *testing.T) {
	m := assemble(&shared{o: Options{Log: zap.NewNop(), Host: idle{}}, log: zap.NewNop()})
	m.durable.Mended = &health.Mended{Number: 7, Page: "base/5/7 block 1", Done: true}
	m.told.goal.Mend = &platform.Mend{Number: 7}
	if of, _ := m.toCompare(); of != "" {
		t.Errorf("before it streams: %q", of)
	}
	m.view.report.Receiver = &health.Receiver{Streaming: true}
	of, pages := m.toCompare()
	if of != "mended 7" || len(pages) != 1 {
		t.Errorf("%q, %q", of, pages)
	}
	m.recheck = recheck{of, []health.FrozenPage{{Page: pages[0], Same: true}}}
	if r := m.Snapshot(); r.Mended.Compared == nil || !r.Mended.Compared.Same || m.durable.Mended.Compared != nil {
		t.Errorf("reported: %+v", r.Mended)
	}
	if m.told.goal.Mend = nil; true {
		if of, _ := m.toCompare(); of != "" {
			t.Errorf("after the operation: %q", of)
		}
	}
}

// TestPace: pages are compared again at once, also where others were a moment ago; a pause comes before the next attempt at the same ones.
func TestPace(t *testing.T) {
	var p pace
	for n, c := range []struct {
		of   string
		at   time.Duration
		want bool
	}{{"mended 7", time.Hour, true}, {"mended 7", time.Hour + time.Second, false}, {"mended 8", time.Hour + 2*time.Second, true},
		{"mended 8", time.Hour + 3*time.Second, false}, {"mended 8", time.Hour + 2*time.Second + againEvery, true}} {
		if got := p.begins(c.of, c.at); got != c.want {
			t.Errorf("%d, %s: %v", n, c.of, got)
		}
	}
}

// TestChosen: a relation is named by its path, or by a name that no other one ends with. A shared one is found in every database's catalog
// and is one all the same.
func TestChosen(t *testing.T) {
	all := []postgres.CatalogRelation{
		{Space: 1664, Node: 1260, Kind: "r", Name: "template1.pg_catalog.pg_authid"},
		{Space: 1663, Database: 1, Node: 1259, Kind: "r", Name: "template1.pg_catalog.pg_class"},
		{Space: 1664, Node: 1260, Kind: "r", Name: "postgres.pg_catalog.pg_authid"},
		{Space: 1663, Database: 5, Node: 1259, Kind: "r", Name: "postgres.pg_catalog.pg_class"},
		{Space: 1663, Database: 5, Node: 16385, Kind: "r", Name: "postgres.public.orders"},
		{Space: 1663, Database: 5, Node: 16390, Kind: "i", Name: "postgres.public.orders_pkey"},
		{Space: 16400, Database: 5, Node: 16401, Kind: "t", Name: "postgres.pg_toast.pg_toast_16385"},
	}
	for _, c := range []struct {
		named string
		node  uint32
		wrong string
	}{
		{"orders", 16385, ""},
		{"public.orders", 16385, ""},
		{"postgres.public.orders", 16385, ""},
		{"base/5/16385", 16385, ""},
		{"base/1/16385", 0, "no relation base/1/16385 is known"},
		{"pg_tblspc/16400/PG_15_202209061/5/16401", 16401, ""},
		{"global/1260", 1260, ""},
		{"pg_authid", 1260, ""},
		{"postgres.pg_catalog.pg_authid", 1260, ""},
		{"pg_class", 0, "pg_class is ambiguous (template1.pg_catalog.pg_class, postgres.pg_catalog.pg_class)"},
		{"base/5/1259", 1259, ""},
		{"ders", 0, "no relation ders is known"},
		{"", 0, "no relation  is known"},
		{"base/5/16390", 0, "postgres.public.orders_pkey is an index: run REINDEX INDEX on the primary"},
		{"base/5/99999999999", 0, "is no page"},
	} {
		r, err := chosen(all, c.named)
		if c.wrong == "" && (err != nil || r.Node != c.node) || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%q: %+v, %v", c.named, r, err)
		}
	}
}
