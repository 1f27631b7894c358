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
