package health

import "testing"

// TestStructureSays names the damaged relations by their checks, and counts those that are not listed.
func TestStructureSays(t *testing.T) {
	for _, c := range []struct {
		s    Structure
		want string
	}{
		{Structure{Checks: map[string]StructureCounts{"btree": {Clean: 3, Unverified: 2}}}, ""},
		{Structure{Checks: map[string]StructureCounts{"btree": {Corrupt: 1}, "files": {Suspect: 1}},
			Damage: []StructureDamage{{Database: "feed", Relation: "public.a", Check: "btree"}, {Database: "feed", Check: "files"}}},
			"feed.public.a (btree), feed (files)"},
		{Structure{Checks: map[string]StructureCounts{"heap": {Corrupt: 200}},
			Damage: []StructureDamage{{Database: "feed", Relation: "public.a", Check: "heap"}}}, "feed.public.a (heap), and 199 more"},
		{Structure{Checks: map[string]StructureCounts{"heap": {Corrupt: 2}}}, "2 relations"},
	} {
		if got := c.s.Says(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestStructureAgainst: what a check has found beyond doubt is evidence about that data, and what WAL does not carry is that copy's own. A
// check says that it has not found something only where it has looked at all, to its end, and lists all that it has found.
func TestStructureAgainst(t *testing.T) {
	damaged := func(check string, suspect bool, kinds ...string) StructureDamage {
		d := StructureDamage{Database: "d", Relation: "public.t", Node: 7, Check: check, Suspect: suspect}
		for _, k := range kinds {
			d.Evidence = append(d.Evidence, StructureFinding{Kind: k})
		}
		return d
	}
	whole := Structure{Complete: true, Checks: map[string]StructureCounts{"heap": {Clean: 3, Corrupt: 1}},
		Damage: []StructureDamage{damaged("heap", false, "row")}}
	for _, c := range []struct {
		name     string
		change   func(*Structure)
		want     string // the evidence
		own      bool
		complete bool
	}{
		{"a row", func(*Structure) {}, "d.public.t (heap: row)", false, true},
		{"a page", func(s *Structure) { s.Damage = []StructureDamage{damaged("heap", false, "page")} }, "d.public.t (heap: page)", true, true},
		{"a page among rows", func(s *Structure) { s.Damage = []StructureDamage{damaged("heap", false, "row", "page")} },
			"d.public.t (heap: page)", true, true},
		{"a missing file", func(s *Structure) { s.Damage = []StructureDamage{damaged("files", false, "missing file")} },
			"d.public.t (files: missing file)", true, true},
		{"an innocent explanation", func(s *Structure) {
			s.Damage, s.Checks = []StructureDamage{damaged("files", true, "shorter")}, map[string]StructureCounts{"heap": {Clean: 3, Suspect: 1}}
		}, "", false, true},
		{"it runs yet", func(s *Structure) { s.Complete = false }, "d.public.t (heap: row)", false, false},
		{"it has looked at files only", func(s *Structure) { s.Checks = map[string]StructureCounts{"files": {Clean: 3, Corrupt: 1}} },
			"d.public.t (heap: row)", false, false},
		{"more than it lists", func(s *Structure) { s.Checks = map[string]StructureCounts{"heap": {Clean: 3, Corrupt: 2}} },
			"d.public.t (heap: row)", false, false},
	} {
		s := whole
		c.change(&s)
		f := s.Against("m2_2")
		text := ""
		if len(f.Damage) > 0 {
			text = f.Damage[0].String()
		}
		if f.Incarnation != "m2_2" || f.Complete != c.complete || text != c.want || c.own != (len(f.Damage) > 0 && f.Damage[0].Own) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	if whole.Against("") != nil || (*Structure)(nil).Against("m2_2") != nil {
		t.Error("of no data")
	}
	file := RelationFile{Name: "d.public.t", Node: 7, Check: "heap"}
	for path, want := range map[string]bool{"base/5/7": true, "base/5/7_vm": true, "base/5/77": false, "pg_tblspc/9/*/5/7": true} {
		if got := file.In(DifferentBlock{Path: path, Relation: "d.public.t"}); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if file.In(DifferentBlock{Path: "base/6/7", Relation: "e.public.t"}) {
		t.Error("a file of another database")
	}
}
