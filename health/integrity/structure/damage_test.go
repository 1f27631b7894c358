package structure

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mainstay/test/damage"
	"mainstay/test/kit"
)

// finds is what shows a damage at this depth. relation is "" for a damage that nothing here shows.
type finds struct {
	relation string
	check    Check
	kind     Kind
	state    State
	since    int // the first version whose extensions find it; 0: all
}

// struck is one damage and where it strikes.
type struck struct {
	name string // "": the damage's kind
	kind damage.Kind
	spot func(*spots) damage.Spot
	want finds
}

type spots struct{ table, still, gin, packed, calm, long damage.Spot }

func inTable(s *spots) damage.Spot  { return s.table }
func inStill(s *spots) damage.Spot  { return s.still }
func inGIN(s *spots) damage.Spot    { return s.gin }
func inPacked(s *spots) damage.Spot { return s.packed }
func inCalm(s *spots) damage.Spot   { return s.calm }
func inLong(s *spots) damage.Spot   { return s.long }

// damages has every damage at least once. What nothing here shows needs a scan of the pages (FutureLSN), or a comparison.
var damages = []struck{
	{kind: damage.HeapByte, spot: inTable, want: finds{"public.t", Heap, BadPage, Corrupt, 0}},
	{kind: damage.HeapByteSealed, spot: inTable},
	{name: "indexed heap byte, valid checksum", kind: damage.HeapByteSealed, spot: inPacked,
		want: finds{"public.packed_v", BTree, MissingEntry, Corrupt, 0}},
	{kind: damage.IndexByte, spot: inTable, want: finds{"public.t_pkey", BTree, BadPage, Corrupt, 0}},
	{kind: damage.IndexByteSealed, spot: inTable, want: finds{"public.t_pkey", BTree, MissingEntry, Corrupt, 0}},
	{kind: damage.BadXmin, spot: inTable, want: finds{"public.t", Heap, BadRow, Corrupt, 0}},
	{kind: damage.BadHint, spot: inTable},
	{kind: damage.BadPointer, spot: inTable, want: finds{"public.t", Heap, BadRow, Corrupt, 0}},
	{kind: damage.BadHeader, spot: inTable, want: finds{"public.t", Heap, BadPage, Corrupt, 0}},
	{kind: damage.ZeroedHeap, spot: inTable},
	{name: "zeroed heap page, all-visible before", kind: damage.ZeroedHeap, spot: inStill, want: finds{"public.t", Map, BadMap, Corrupt, 0}},
	{kind: damage.ZeroedIndex, spot: inTable, want: finds{"public.t_pkey", BTree, BadIndex, Corrupt, 0}},
	{name: "zeroed GIN page", kind: damage.ZeroedIndex, spot: inGIN, want: finds{"public.t_gin", GIN, BadIndex, Corrupt, 18}},
	{kind: damage.ZeroedTOAST, spot: inTable, want: finds{"public.wide", Heap, BadTOAST, Corrupt, 0}},
	{kind: damage.LostWrite, spot: inTable},
	{name: "lost write of a row that has moved", kind: damage.LostWrite, spot: inPacked,
		want: finds{"public.packed_pkey", Unique, Duplicate, Corrupt, 17}},
	{kind: damage.FutureLSN, spot: inTable},
	{kind: damage.Truncated, spot: inTable, want: finds{"public.t", Files, ShortFile, Suspect, 0}},
	{kind: damage.TruncatedMiddle, spot: inLong, want: finds{"public.long", Files, BadFile, Corrupt, 0}},
	{kind: damage.MissingLast, spot: inTable, want: finds{"public.t", Files, MissingFile, Corrupt, 0}},
	{kind: damage.MissingMiddle, spot: inLong, want: finds{"public.long", Files, BadFile, Corrupt, 0}},
	{kind: damage.OddEnd, spot: inTable, want: finds{"public.t", Files, BadFile, Corrupt, 0}},
	{kind: damage.Misdirected, spot: inTable, want: finds{"public.t", Heap, BadPage, Corrupt, 0}},
	{kind: damage.MisdirectedValid, spot: inTable, want: finds{"public.t_pkey", BTree, MissingEntry, Corrupt, 0}},
	{kind: damage.StaleMap, spot: inCalm, want: finds{"public.calm", Map, BadMap, Corrupt, 0}},
	{kind: damage.LostCommit, spot: inTable},
	{kind: damage.ControlBit, spot: inTable}, // the server does not start
}

// TestDamages strikes a server's data with every damage, and looks what a check of the running server finds.
func TestDamages(t *testing.T) {
	for _, d := range damage.All {
		if !slices.ContainsFunc(damages, func(s struck) bool { return s.kind == d.Kind }) {
			t.Errorf("nothing says what shows %s", d.Kind)
		}
	}
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		l.begin(tables, extensions)
		at := l.spots()
		kit.Check(t, l.primary.Stop(testContext(t)))
		found := 0
		for n, s := range damages {
			name := s.name
			if name == "" {
				name = string(s.kind)
			}
			t.Run(name, func(t *testing.T) {
				if l.of(t).strike(s, at, filepath.Join(l.dir, fmt.Sprint(n))) {
					found++
				}
			})
		}
		t.Logf("PostgreSQL %d: %d of %d found", l.programs.Major, found, len(damages))
	})
}

// spots changes what damage will strike, and finds where that is.
func (l *lab) spots() *spots {
	l.t.Helper()
	s := &spots{}
	s.table = damage.Spot{Heap: l.path(l.primary, "'t'"), Index: l.path(l.primary, "'t_pkey'"), Block: 1, Other: 2,
		TOAST: l.path(l.primary, "(SELECT reltoastrelid FROM pg_class WHERE relname = 'wide')")}
	s.still = s.table
	s.still.Block = 5 // which nothing changes after VACUUM
	s.gin = s.table
	s.gin.Index = l.path(l.primary, "'t_gin'")
	s.packed = damage.Spot{Heap: l.path(l.primary, "'packed'"), Index: l.path(l.primary, "'packed_pkey'"), Block: 1, Other: 2}
	s.long = damage.Spot{Heap: l.path(l.primary, "'long'")}
	s.calm = damage.Spot{Heap: l.path(l.primary, "'calm'"),
		Block: uint32(l.number(l.primary, "SELECT (ctid::text::point)[0]::int FROM calm WHERE id = 200"))}
	l.sql(l.primary, "UPDATE calm SET v = 'changed' WHERE id = 200", "CHECKPOINT")
	d := kit.Must[damage.Data](l.t)(damage.Open(l.primary.Data))
	s.table.Old = kit.Must[[]byte](l.t)(d.Page(s.table.Heap, 1))
	s.packed.Old = kit.Must[[]byte](l.t)(d.Page(s.packed.Heap, 1))
	for range 8 { // a byte of pg_xact has four transactions: one at least has committed ones only
		l.sql(l.primary, "INSERT INTO calm VALUES (0)")
	}
	s.table.XID = uint32(l.number(l.primary, "SELECT pg_current_xact_id()")) - 4
	for _, table := range []string{"t", "packed"} {
		l.sql(l.primary, fmt.Sprintf("UPDATE %s SET v = v || 'x' WHERE id = (SELECT id FROM %[1]s WHERE ctid = '(1,3)')", table))
	}
	if moved := l.sql(l.primary, "SELECT ctid FROM packed WHERE v LIKE '%x'"); strings.HasPrefix(moved, "(1,") {
		l.t.Fatalf("the updated row is at %s", moved)
	}
	l.sql(l.primary, "CHECKPOINT")
	return s
}

// strike damages a copy, checks it, and tells whether that is found.
func (l *lab) strike(s struck, at *spots, dir string) (found bool) {
	l.t.Helper()
	ctx := testContext(l.t)
	copied := kit.Must[*damage.Server](l.t)(l.primary.Copy(ctx, dir))
	defer os.RemoveAll(dir)
	d := kit.Must[damage.Data](l.t)(damage.Open(copied.Data))
	if s.spot(at).Heap == at.long.Heap {
		l.lengthen(d, at.long.Heap)
	}
	n := slices.IndexFunc(damage.All, func(d damage.Damage) bool { return d.Kind == s.kind })
	kit.Check(l.t, damage.All[n].Do(d, s.spot(at)))
	if s.kind == damage.ControlBit {
		if err := copied.Start(ctx); err == nil {
			kit.Check(l.t, copied.Kill(ctx))
			l.t.Error("the server starts with a damaged control file")
		}
		return false
	}
	l.start(copied)
	out := l.run(ctx, copied, quick)
	kit.Check(l.t, out.err, copied.Kill(ctx))
	if s.want.since > l.programs.Major {
		s.want = finds{}
	}
	for _, v := range out.wrong() {
		l.t.Logf("%s %s: %s: %s", v.State, v.Relation, v.Check, v.Findings)
		if v.Relation == s.want.relation && v.Check == s.want.check && v.State == s.want.state && v.Findings[0].Kind == s.want.kind {
			found = true
		} else if v.State == Corrupt && !related(v.Relation, s.want.relation) {
			l.t.Errorf("wrong about %s", v.Relation)
		}
	}
	if want := s.want.relation != ""; found != want || !want && len(out.wrong()) > 0 {
		l.t.Errorf("found is %v: %+v, want %+v", found, out.wrong(), s.want)
	}
	return found
}

// related: a damaged row or TOAST value also concerns its table's indexes and its table.
func related(found, wanted string) bool {
	table := func(s string) string {
		for _, suffix := range []string{"_pkey", "_v", "_gin"} {
			s = strings.TrimSuffix(s, suffix)
		}
		return s
	}
	return wanted != "" && table(found) == table(wanted) || wanted == "public.wide" && strings.HasPrefix(found, "pg_toast.")
}

// lengthen gives a table three segments of pages that were never used.
func (l *lab) lengthen(d damage.Data, heap string) {
	l.t.Helper()
	full := int64(d.Segment) * int64(d.Layout.Size)
	for path, size := range map[string]int64{heap: full, heap + ".1": full, heap + ".2": int64(d.Layout.Size)} {
		path = filepath.Join(d.Dir, path)
		f := kit.Must[*os.File](l.t)(os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600))
		kit.Check(l.t, f.Truncate(size), f.Close(), os.Chown(path, int(l.owner.UID), int(l.owner.GID)))
	}
}
