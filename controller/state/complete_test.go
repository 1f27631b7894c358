package state

import (
	"testing"

	"mainstay/controller/platform"
)

// Any of the sets in force may be the one that the primary has loaded: what fences it, and what shows that a member holds every
// acknowledged commit, holds for each of them (S1, S2).
func TestSetsInForce(t *testing.T) {
	set := func(acks int, names ...string) platform.DurabilitySet {
		return platform.DurabilitySet{Acks: acks, Names: names}
	}
	one, two, wide := set(1, "a_1", "b_2"), set(2, "a_1", "b_2", "c_3"), set(1, "a_1", "b_2", "c_3")
	for _, c := range []struct {
		name             string
		sets             []platform.DurabilitySet
		sealed           []string // incarnations; a trailing ? is of unknown position
		fenced, complete bool
	}{
		{"no set", nil, []string{"a_1", "b_2"}, false, true},
		{"one of two", []platform.DurabilitySet{one}, []string{"a_1"}, false, false},
		{"both of two", []platform.DurabilitySet{one}, []string{"a_1", "b_2"}, true, true},
		{"two of three with acks 2", []platform.DurabilitySet{two}, []string{"b_2", "c_3"}, true, true},
		{"one of three with acks 2", []platform.DurabilitySet{two}, []string{"c_3"}, false, false},
		{"the older one is not sealed", []platform.DurabilitySet{wide, one}, []string{"a_1", "b_2"}, false, false},
		{"the newer one is not sealed", []platform.DurabilitySet{one, wide}, []string{"a_1", "b_2"}, false, false},
		{"both are", []platform.DurabilitySet{wide, one}, []string{"a_1", "b_2", "c_3"}, true, true},
		{"one in between is not", []platform.DurabilitySet{one, wide, one}, []string{"a_1", "b_2"}, false, false},
		{"an older one is asynchronous", []platform.DurabilitySet{set(0), one}, []string{"a_1", "b_2"}, false, true},
		{"a newer one is asynchronous", []platform.DurabilitySet{one, set(0)}, []string{"a_1", "b_2"}, false, true},
		{"another incarnation", []platform.DurabilitySet{one}, []string{"a_1", "b_7"}, false, false},
		{"an unknown position", []platform.DurabilitySet{one}, []string{"a_1", "b_2?"}, true, false},
		{"more than is needed", []platform.DurabilitySet{one}, []string{"a_1", "b_2", "c_3?"}, true, true},
	} {
		var sealed []Sealed
		for _, name := range c.sealed {
			known := name[len(name)-1] != '?'
			if !known {
				name = name[:len(name)-1]
			}
			sealed = append(sealed, Sealed{Member: name[:1], Incarnation: name, Timeline: 1, Position: 100, Known: known})
		}
		if got := QuorumSealed(c.sets, sealed); got != c.fenced {
			t.Errorf("%s: fenced is %v", c.name, got)
		}
		if err := Complete(c.sets, sealed); (err == nil) != c.complete {
			t.Errorf("%s: complete: %v", c.name, err)
		}
	}
}
