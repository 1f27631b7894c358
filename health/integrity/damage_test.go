package integrity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/integrity/page"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// quick reads suspects again at once: nothing changes the files.
var quick = Again{Every: time.Millisecond}

// expected is what shows a damage. Nothing is left out: a damage that nothing here shows has an empty line.
type expected struct {
	scan    Kind      // of a finding of the damaged directory alone
	zero    bool      // a run of zero pages, which is no finding
	compare page.Kind // with the standby
	side    page.Side
	other   bool // seen by what is not a page: the visibility map against its heap, pg_xact, the control file
}

var shows = map[damage.Kind]expected{
	damage.HeapByte:         {scan: WrongChecksum, compare: page.Broken, side: page.First},
	damage.HeapByteSealed:   {compare: page.Content},
	damage.IndexByte:        {scan: WrongChecksum, compare: page.Broken, side: page.First},
	damage.IndexByteSealed:  {compare: page.Content},
	damage.BadXmin:          {compare: page.Content},
	damage.BadHint:          {compare: page.Hints},
	damage.BadPointer:       {scan: WrongItem, compare: page.Broken, side: page.First},
	damage.BadHeader:        {scan: WrongHeader, compare: page.Broken, side: page.First},
	damage.ZeroedHeap:       {zero: true, compare: page.Zeroed, side: page.First},
	damage.ZeroedIndex:      {zero: true, compare: page.Zeroed, side: page.First},
	damage.ZeroedTOAST:      {zero: true, compare: page.Zeroed, side: page.First},
	damage.LostWrite:        {compare: page.LostWrite, side: page.First},
	damage.FutureLSN:        {scan: AheadOfWAL},
	damage.Truncated:        {compare: page.Missing, side: page.First},
	damage.TruncatedMiddle:  {scan: ShortSegment, compare: page.Missing, side: page.First},
	damage.MissingLast:      {compare: page.Missing, side: page.First},
	damage.MissingMiddle:    {scan: MissingSegment, compare: page.Missing, side: page.First},
	damage.OddEnd:           {scan: OddSize, compare: page.Missing, side: page.First},
	damage.Misdirected:      {scan: WrongChecksum, compare: page.Broken, side: page.First},
	damage.MisdirectedValid: {compare: page.LostWrite, side: page.First}, // the page that is there is older than the one that belongs there
	damage.StaleMap:         {other: true},
	damage.LostCommit:       {other: true},
	damage.ControlBit:       {other: true},
}

// TestDamages strikes a primary's copy with every damage, and looks which check shows it. The scan knows the access methods.
func TestDamages(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin()
		l.loaded()
		kit.Check(t, damage.Resegment(l.primary.Data, 64), damage.Resegment(l.standby.Data, 64))
		whole := kit.Must[damage.Data](t)(damage.Open(l.primary.Data))
		horizon := min(whole.Control.Redo, kit.Must[damage.Data](t)(damage.Open(l.standby.Data)).Control.Redo)
		end := Positions{Redo: horizon + 1<<20, End: horizon + 1<<20}
		o := Options{Again: quick, Rules: l.of, Only: func(r Relation, _ page.Fork) bool { _, ok := l.rules[r]; return ok },
			Positions: ask(end)}
		standby := l.scan(l.standby.Data, o)
		before := l.scan(l.primary.Data, o)
		kit.Check(t, standby.err, before.err)
		l.same(before, standby, horizon)

		struck := slices.Concat(glob(t, l.primary.Data, l.spot.Heap, l.spot.Index, l.spot.TOAST, l.calm.Heap),
			glob(t, l.primary.Data, "pg_xact/", "global/pg_control"))
		o.Only = l.only()
		standby, before = l.scan(l.standby.Data, o), l.scan(l.primary.Data, o)
		for _, d := range damage.All {
			t.Run(string(d.Kind), func(t *testing.T) {
				want, known := shows[d.Kind]
				if !known {
					t.Fatal("nothing says what shows it")
				}
				l := *l
				l.t = t
				defer keep(t, struck)()
				spot := l.spot
				if d.Kind == damage.StaleMap {
					spot = l.calm
				}
				kit.Check(t, d.Do(whole, spot))
				after := l.scan(whole.Dir, o)
				l.shown(d.Kind, want, before, after)
				if after.err == nil {
					l.compared(want, compare(after, standby, horizon))
				}
				if got := l.otherwise(whole.Dir, after, spot); got != want.other {
					t.Errorf("other checks show it: %v", got)
				}
			})
		}
	})
}

// only takes the relations that are struck.
func (l *lab) only() func(Relation, page.Fork) bool {
	var nodes []string
	for _, path := range []string{l.spot.Heap, l.spot.Index, l.spot.TOAST, l.calm.Heap} {
		nodes = append(nodes, filepath.Base(path))
	}
	return func(r Relation, _ page.Fork) bool { return slices.Contains(nodes, fmt.Sprint(r.Node)) }
}

// glob are the files whose paths begin so.
func glob(t *testing.T, dir string, begins ...string) (all []string) {
	t.Helper()
	for _, b := range begins {
		all = append(all, kit.Must[[]string](t)(filepath.Glob(dir+"/"+b+"*"))...)
	}
	return all
}

// keep returns what puts files back as they are now.
func keep(t *testing.T, paths []string) (restore func()) {
	t.Helper()
	content := map[string][]byte{}
	for _, p := range paths {
		content[p] = kit.Must[[]byte](t)(os.ReadFile(p))
	}
	info := kit.Must[os.FileInfo](t)(os.Stat(filepath.Dir(paths[0])))
	return func() {
		for p, c := range content {
			st := info.Sys().(*syscall.Stat_t)
			kit.Check(t, os.WriteFile(p, c, 0o600), os.Chown(p, int(st.Uid), int(st.Gid)))
		}
	}
}

func ask(at Positions) func(context.Context) (Positions, error) {
	return func(context.Context) (Positions, error) { return at, nil }
}

// same: without damage nothing differs, and pages of every access method are equal.
func (l *lab) same(a, b scanned, horizon platform.LSN) {
	l.t.Helper()
	for _, f := range slices.Concat(a.findings, b.findings) {
		l.t.Errorf("without damage: %+v", f)
	}
	equal, left := map[page.Method]int{}, map[string]int{}
	for at, o := range compare(a, b, horizon) {
		switch m := l.rules[at.Relation]; o.Verdict {
		case page.Equal:
			equal[m]++
		case page.Differs:
			l.t.Errorf("without damage: %s (%s): %+v", at, m, o)
		default:
			left[fmt.Sprintf("%s, %s fork, %s", m, at.Fork, o.Kind)]++
			if o.Kind != page.NoRule || at.Fork != page.Visibility && at.Fork != page.FreeSpace {
				l.t.Errorf("not decided: %s (%s): %+v", at, m, o)
			}
		}
	}
	for m := page.Heap; m <= page.Sequence; m++ {
		if equal[m] == 0 {
			l.t.Errorf("no page of %s was compared", m)
		}
	}
	l.t.Logf("equal: %v; not decided: %v", equal, left)
}

// shown: the scan of the damaged directory alone finds what is expected, and nothing else.
func (l *lab) shown(kind damage.Kind, want expected, before, after scanned) {
	l.t.Helper()
	if kind == damage.ControlBit {
		if !errors.Is(after.err, ondisk.ErrChecksum) {
			l.t.Errorf("with a damaged control file: %v", after.err)
		}
		return
	}
	kit.Check(l.t, after.err)
	if want.scan == "" && len(after.findings) > 0 || want.scan != "" && len(after.findings) != 1 {
		l.t.Fatalf("found %+v, want %q", after.findings, want.scan)
	}
	if want.scan != "" {
		f := after.findings[0]
		if f.Kind != want.scan || !f.Settled || f.Reads < defaultReads || f.Detail == "" || f.Path == "" {
			l.t.Errorf("found %+v, want %q", f, want.scan)
		}
		if kind == damage.Misdirected && f.Elsewhere != l.spot.Other+1 {
			l.t.Errorf("%+v does not say that it is block %d", f, l.spot.Other)
		}
		l.t.Logf("%s: %s", f.Block, f.Detail)
	}
	if got := len(after.zeros) > len(before.zeros); got != want.zero {
		l.t.Errorf("runs of zero pages: %v", after.zeros)
	}
}

// compared: the comparison with the standby shows the expected kind only.
func (l *lab) compared(want expected, outcomes map[Block]page.Outcome) {
	l.t.Helper()
	found := 0
	for at, o := range outcomes {
		if o.Verdict != page.Differs {
			continue
		}
		if found++; o.Kind != want.compare || o.Side != want.side {
			l.t.Errorf("%s: %+v", at, o)
		}
	}
	if len(outcomes) > 0 && (found > 0) != (want.compare != page.None) {
		l.t.Errorf("%d differences", found)
	}
}

// otherwise looks at what is no comparison of pages: maps, transactions, and the control file by what the scan said.
func (l *lab) otherwise(dir string, after scanned, spot damage.Spot) bool {
	l.t.Helper()
	if after.err != nil {
		return true
	}
	d := kit.Must[damage.Data](l.t)(damage.Open(dir))
	if spot.Heap == l.calm.Heap {
		heap := kit.Must[[]byte](l.t)(d.Page(spot.Heap, spot.Block))
		vm := kit.Must[[]byte](l.t)(d.Page(spot.Heap+"_vm", d.Layout.MapBlock(spot.Block)))
		visible, _ := d.Layout.MapBits(vm, spot.Block)
		return visible && !page.HeaderOf(heap).AllVisible()
	}
	differ, standby := 0, l.transactions(l.standby.Data)
	for n, p := range l.transactions(dir) {
		differ += len(page.CompareTransactions(p, standby[n], n*d.Layout.TransactionsPerPage(), l.oldest, l.spot.XID+4))
	}
	return differ > 0
}

func (l *lab) transactions(dir string) map[uint32][]byte {
	l.t.Helper()
	all := map[uint32][]byte{}
	kit.Check(l.t, (&Scanner{Dir: dir}).Transactions(testContext(l.t), Options{}, 0, math.MaxUint32, func(n uint32, p []byte) error {
		all[n] = slices.Clone(p)
		return nil
	}))
	if len(all) == 0 {
		l.t.Error("pg_xact has no page")
	}
	return all
}

var badBlock = regexp.MustCompile(`checksum verification failed in file "([^"]*)", block (\d+)`)

// TestSecondOpinion: pg_checksums finds the same wrong pages, in a directory with everything, and scans as many blocks.
func TestSecondOpinion(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin()
		l.loaded()
		dir := l.primary.Data
		clean := l.scan(dir, Options{Again: quick})
		kit.Check(t, clean.err)
		out := kit.Must[string](t)(l.primary.Checksums(testContext(t)))
		all := clean.Blocks + clean.Skipped[Unlogged].Blocks
		counted := regexp.MustCompile(fmt.Sprintf(`Blocks scanned: +%d\n`, all)).MatchString(out)
		if len(clean.findings) > 0 || clean.Skipped[Unlogged].Blocks == 0 || !counted {
			t.Errorf("%+v; pg_checksums: %s", clean, out)
		}
		r := rand.New(rand.NewPCG(11, 12))
		catalogue := kit.Must[*Catalogue](t)((&Scanner{Dir: dir}).Catalogue(testContext(t)))
		d := kit.Must[damage.Data](t)(damage.Open(dir))
		want := map[string]bool{}
		for range 40 {
			f := catalogue.Files[r.IntN(len(catalogue.Files))]
			if f.Size == 0 {
				continue
			}
			block := r.Uint32N(uint32(f.Size / 8192))
			if p := kit.Must[[]byte](t)(d.Page(f.Path, block)); d.Layout.Check(p, block).State == page.Zero {
				continue // pg_checksums passes a page by that only seems to be new
			}
			kit.Check(t, d.Edit(f.Path, block, false, func(p []byte) { p[4000+r.IntN(4000)] ^= 1 << r.IntN(8) }))
			want[fmt.Sprintf("%s %d", f.Path, block)] = true
		}
		got := map[string]bool{}
		for _, f := range l.scan(dir, Options{Again: quick}).findings {
			got[fmt.Sprintf("%s %d", f.Path, f.Number)] = true
		}
		second := map[string]bool{}
		out, err := l.primary.Checksums(testContext(t))
		for _, m := range badBlock.FindAllStringSubmatch(out, -1) {
			second[strings.TrimPrefix(strings.TrimPrefix(m[1], dir), "/")+" "+m[2]] = true
		}
		if err == nil || fmt.Sprint(got) != fmt.Sprint(second) || len(got) < 20 {
			t.Errorf("found %v\npg_checksums %v\nchanged %v", got, second, want)
		}
	})
}
