package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// TestFrozenSays what a frozen replica still does, for how long, and that commits may wait for it, whether it streams or not. The primary
// is handed over to others only.
func TestFrozenSays(t *testing.T) {
	for _, c := range []struct {
		name    string
		streams bool
		more    platform.LSN // of WAL
		frozen  []string     // by problem
		primary string
	}{
		{"it streams", true, 0, []string{"3 MB of WAL wait for it, on m3; from 10 MB on it receives no more",
			"At the rate so far it receives for another 6m0s"}, "1 sessions wait for an acknowledgement"},
		{"its slot has kept too much", false, 20 << 20, []string{"22 MB on m1 in its slot. That is more than max_slot_wal_keep_size of m1 " +
			"(10 MB): its slot is lost, or may be with any checkpoint there"}, "1 sessions wait for an acknowledgement; the replay of m3 is " +
			"frozen, and its stream has ended: released, it acknowledges again (`mainstay integrity release m3 --reason REASON`)"},
		{"its stream has ended", false, 0, []string{"3 MB of WAL wait for it, 1 MB on m3, which receives nothing, and 2 MB on m1 in its slot",
			"beyond max_slot_wal_keep_size of m1 (10 MB) the slot is lost", "At the rate so far its slot lasts for another 7m0s"},
			"1 sessions wait for an acknowledgement; the replay of m3 is frozen, and its stream has ended: released, it acknowledges again " +
				"(`mainstay integrity release m3 --reason REASON`)"},
	} {
		st := well(t, 1, nil)
		p, r, m := st.members["m1"], st.members["m3"], st.c().Members["m3"]
		st.c().Members["m1"].Excluded, st.c().Members["m1"].DamagedAs = "a lost write", "m1_1"
		m.Freeze = &state.Freeze{As: m.Incarnation, For: "m1_1", Why: "a lost write of m1",
			Since: st.input().Wall.Add(-150 * time.Second).Format(time.RFC3339)}
		r.Frozen = &health.Frozen{Incarnation: m.Incarnation, At: r.Position, Keeps: 10 << 20}
		p.Position, p.SyncWaits = r.Position+3<<20+c.more, 1
		r.Position += 1 << 20
		if !c.streams {
			r.Receiver = nil
		}
		st.later(0)
		st.next()
		st.later(3 * time.Second)
		_, _, d := st.next()
		said := map[string]string{}
		for _, p := range d.Problems {
			said[string(p.Kind)] = p.Evidence
		}
		for _, want := range c.frozen {
			if got := said[string(health.ReplicaFrozen)]; !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", c.name, got, want)
			}
		}
		if got := said[string(health.SyncBlocked)]; got != c.primary {
			t.Errorf("%s: %q", c.name, got)
		}
		want := "against the data of m2: hand over with `mainstay switchover feed`"
		if got := said[string(health.PrimaryCorrupt)]; !strings.Contains(got, want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// TestFrozenAfterAnotherPrimary: to switch over is no advice once that was done.
func TestFrozenAfterAnotherPrimary(t *testing.T) {
	for damaged, want := range map[string]string{"m1_1": "mend the primary or switch over, then `mainstay integrity release m3`",
		"m2_2": "m1 is the primary by now, with other data than that: see whether it has the good page"} {
		st := well(t, 1, nil)
		m := st.c().Members["m3"]
		m.Freeze = &state.Freeze{As: m.Incarnation, For: damaged, Why: "a lost write"}
		st.members["m3"].Frozen = &health.Frozen{Incarnation: m.Incarnation, At: st.members["m3"].Position}
		st.later(time.Second)
		_, _, d := st.next()
		said := ""
		for _, p := range d.Problems {
			if p.Kind == health.ReplicaFrozen {
				said = p.Evidence
			}
		}
		if !strings.Contains(said, want) {
			t.Errorf("for %s: %q", damaged, said)
		}
	}
}

// TestFreezesAtOnce: a page that a comparison has found freezes a replica while the comparison goes on. What it finds later adds to that
// freeze, which freezes nothing anew after the release of all; a page that nobody has seen yet does.
func TestFreezesAtOnce(t *testing.T) {
	st := well(t, 1, nil)
	page := func(block uint32) health.DifferentBlock {
		return health.DifferentBlock{Path: "base/5/7", Block: block, Kind: "lost write", Suspects: []string{"m1"}, Named: true, Settled: true}
	}
	data := map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_3"}
	finds := func(running bool, blocks ...uint32) {
		c := &health.Comparison{By: "m2", Running: running, Complete: !running, Members: []string{"m1", "m2", "m3"}, Incarnations: data}
		for _, b := range blocks {
			c.Damage, c.Differ = append(c.Damage, page(b)), c.Differ+1
		}
		st.members["m2"].Comparison = c
	}
	next := func() *state.FreezeMember {
		t.Helper()
		st.later(100 * time.Millisecond)
		for range 3 { // the verdict is recorded as well
			cmd, _, _ := st.next()
			if cmd == nil {
				return nil
			}
			st.apply(*cmd)
			if cmd.Freeze != nil {
				return cmd.Freeze
			}
		}
		return nil
	}
	one, two := []string{"base/5/7 block 3"}, []string{"base/5/7 block 3", "base/5/7 block 9"}
	finds(true)
	if f := next(); f != nil {
		t.Fatalf("nothing was found yet: %+v", f)
	}
	finds(true, 3)
	first := next()
	if first == nil || first.Further || !slices.Equal(first.Pages, one) {
		t.Fatalf("the first page: %+v", first)
	}
	if f := next(); f != nil {
		t.Errorf("twice: %+v", f)
	}
	finds(false, 3, 9)
	if f := next(); f == nil || !f.Further || f.Member != first.Member {
		t.Errorf("a further page: %+v", f)
	}
	if f := st.c().Members[first.Member].Frozen(); f == nil || !slices.Equal(f.Pages, two) {
		t.Errorf("in force: %+v", f)
	}
	if f := next(); f != nil {
		t.Errorf("twice: %+v", f)
	}
	st.apply(onFeed(state.Command{By: "ann", Freeze: &state.FreezeMember{Release: []string{first.Member}, Reason: "seen"}}))
	if f := next(); f != nil {
		t.Errorf("once all was released: %+v", f)
	}
	finds(true, 3, 9, 11)
	if f := next(); f == nil || !f.Further || len(f.Pages) != 3 {
		t.Errorf("a page that was not released: %+v", f)
	}
}

// TestTwoFrozen: a further page is added to the freeze of each of two replicas, one command after the other. Each is released by itself,
// and none is frozen again for what was released.
func TestTwoFrozen(t *testing.T) {
	st := well(t, 0, nil)
	for _, name := range []string{"m2", "m3"} {
		m := st.c().Members[name]
		m.Freeze = &state.Freeze{As: m.Incarnation, For: "m1_1", Why: "a lost write", Pages: []string{"base/5/7 block 3"}}
		st.members[name].Frozen = &health.Frozen{Incarnation: m.Incarnation, At: st.members[name].Position}
	}
	c := &health.Comparison{By: "m2", Running: true, Members: []string{"m1", "m2", "m3"},
		Incarnations: map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_3"}}
	for _, b := range []uint32{3, 9} {
		c.Damage = append(c.Damage, health.DifferentBlock{Path: "base/5/7", Block: b, Kind: "content", Suspects: []string{"m1"}, Named: true,
			Settled: true})
	}
	st.members["m2"].Comparison = c
	st.later(time.Second)
	for _, want := range []string{"m2", "m3"} {
		cmd := st.commits()
		if cmd.Freeze == nil || cmd.Freeze.Member != want || !cmd.Freeze.Further {
			t.Fatalf("%s: %s", want, body(cmd))
		}
	}
	if cmd, _, _ := st.next(); cmd != nil {
		t.Errorf("again: %s", body(cmd))
	}
	pages := []string{"base/5/7 block 3", "base/5/7 block 9"}
	st.apply(onFeed(state.Command{By: "ann", Freeze: &state.FreezeMember{Release: []string{"m3"}, Reason: "seen"}}))
	if frozen := st.c().Frozen(); !slices.Equal(frozen, []string{"m2"}) || !st.c().Released("m1_1", pages) {
		t.Errorf("one released: %v", frozen)
	}
	if cmd, _, _ := st.next(); cmd != nil && cmd.Freeze != nil {
		t.Errorf("one released: %s", body(cmd))
	}
}
