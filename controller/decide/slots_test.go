package decide

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func logical(name string) health.Slot {
	return health.Slot{Name: name, Logical: true, Active: true, Held: 4096, CatalogXmin: 745, WALStatus: "reserved"}
}

func failoverSlot(name string, synced bool) health.Slot {
	s := logical(name)
	s.Failover, s.Synced, s.Active = true, synced, !synced
	return s
}

func TestSlotFates(t *testing.T) {
	physical := health.Slot{Name: "archive", Held: 10, WALStatus: "reserved"}
	cdc, copied := failoverSlot("cdc", false), failoverSlot("cdc", true)
	invalid := copied
	invalid.WALStatus = "lost"
	gone := logical("sub")
	gone.WALStatus = "lost"
	many := make([]health.Slot, health.MaxSlots)
	for name, c := range map[string]struct {
		on     health.Slot
		there  []health.Slot // on m2; m3 has none
		more   int           // of m2
		to     string
		left   bool
		expect string
	}{
		"logical":          {on: logical("sub"), to: "m2", left: true, expect: "stays behind: set up its consumer anew on m2"},
		"to any":           {on: logical("sub"), left: true, expect: "anew on the new primary"},
		"physical":         {on: physical, to: "m2", left: true, expect: "stays behind: set up"},
		"physical on both": {on: physical, there: []health.Slot{physical}, to: "m2", expect: "has one of that name"},
		"an old one of that name": {on: logical("sub"), there: []health.Slot{logical("sub")}, to: "m2", left: true,
			expect: "drop that there"},
		"synced":            {on: cdc, there: []health.Slot{copied}, to: "m2", expect: "goes along"},
		"synced, to any":    {on: cdc, there: []health.Slot{copied}, expect: "is there on m2; stays behind if another"},
		"synced to another": {on: cdc, there: []health.Slot{copied}, to: "m3", left: true, expect: "not synchronised to m3"},
		"an invalid copy":   {on: cdc, there: []health.Slot{invalid}, to: "m2", left: true, expect: "its copy on m2 is invalid"},
		"a copy, but no longer kept": {on: cdc, there: []health.Slot{copied, failoverSlot("older", false)}, to: "m2", left: true,
			expect: "older of its own"},
		"its own, not a copy":          {on: cdc, there: []health.Slot{cdc}, to: "m2", left: true, expect: "drop that there"},
		"the report of m2 is too long": {on: cdc, there: many, more: 1, to: "m2", left: true, expect: "may stay behind"},
		"invalid already":              {on: gone, to: "m2", expect: "invalid already"},
	} {
		t.Run(name, func(t *testing.T) {
			st := well(t, 1, nil)
			st.members["m1"].Slots, st.members["m2"].Slots, st.members["m2"].MoreSlots = []health.Slot{c.on}, c.there, c.more
			st.later(0)
			fates, _ := SlotFates(st.input(), "feed", c.to)
			if len(fates) != 1 || fates[0].Left != c.left || !strings.Contains(fates[0].Text, c.expect) {
				t.Errorf("%+v", fates)
			}
		})
	}
	st := well(t, 1, nil)
	st.members["m1"].Slots = []health.Slot{logical("sub")}
	st.later(0)
	if fates, _ := SlotFates(st.input(), "feed", "m1"); fates != nil {
		t.Errorf("the primary itself, restarted: %+v", fates)
	}
}

// Whatever the way in which the primary dies, the record of the change says which slots stay with it, by its last report.
func TestFailoverNotesSlots(t *testing.T) {
	for _, die := range []func(*stage){(*stage).crash, (*stage).vanish} {
		st := well(t, 1, nil)
		st.members["m1"].Slots, st.members["m1"].MoreSlots = []health.Slot{failoverSlot("cdc", false), logical("sub")}, 2
		st.members["m2"].Slots = []health.Slot{failoverSlot("cdc", true)}
		st.later(0)
		die(st)
		st.later(0)
		cmd, _, _ := st.next()
		if cmd == nil {
			cmd = st.step(lease)
		}
		want := "; replication slots left behind on m1 if another member is promoted, their consumers to be set up anew: sub, 2 more (not cdc)"
		if cmd == nil || cmd.Begin == nil || !strings.HasSuffix(cmd.Begin.Reason, want) {
			t.Errorf("%s", body(cmd))
		}
	}
	st := well(t, 1, nil)
	st.crash()
	st.later(0)
	if b := st.commits().Begin; b == nil || strings.Contains(b.Reason, "slot") {
		t.Errorf("without slots of the user's: %+v", b)
	}
}

func TestPausedReplay(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m2"].ReplayPaused, st.members["m2"].Replayed = true, 400
	st.later(0)
	_, _, d := st.next()
	if len(d.Problems) != 1 || d.Problems[0].Member != "m2" || !strings.Contains(d.Problems[0].Evidence, "600 bytes of WAL ago") ||
		!strings.HasSuffix(d.Problems[0].Evidence, "Resume it on m2: SELECT pg_wal_replay_resume()") {
		t.Errorf("%+v", d.Problems)
	}
	if to, bad := CheckSwitchover(st.input(), "feed", "m2"); to != "" || len(bad) != 1 || !bad[0].has(replayIsPaused) {
		t.Errorf("a switchover to it: %q %v", to, bad)
	}
	if to, bad := CheckSwitchover(st.input(), "feed", ""); to != "m3" {
		t.Errorf("a switchover to the best: %q %v", to, bad)
	}
}

// Only what nobody uses and what is no copy of the primary's is left behind.
func TestSlotLeftBehind(t *testing.T) {
	in := func(change func(*health.Slot)) health.Slot {
		s := health.Slot{Name: "sub", Logical: true, Held: 4096, CatalogXmin: 745, WALStatus: "reserved"}
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		slot   health.Slot
		expect string // a part of the evidence; "" for no problem
	}{
		"logical": {in(func(*health.Slot) {}), "logical slot sub (4096 bytes of WAL, catalog_xmin 745); " +
			"a catalog_xmin keeps dead rows of the catalogs, and if hot_standby_feedback is on, also those on m1. " +
			"Bring back consumers that belong to m2; once the others are set up on m1, " +
			"drop their slots on m2: SELECT pg_drop_replication_slot('sub')"},
		"physical": {in(func(s *health.Slot) { s.Logical, s.CatalogXmin, s.Held = false, 0, 0 }),
			"physical slot sub (0 bytes of WAL). Bring"},
		"in use":        {in(func(s *health.Slot) { s.Active = true }), ""},
		"a copy":        {in(func(s *health.Slot) { s.Failover, s.Synced = true, true }), ""},
		"its own":       {in(func(s *health.Slot) { s.Failover = true }), "its own failover slot sub stops the synchronisation"},
		"keeps nothing": {in(func(s *health.Slot) { s.Logical, s.Held = false, -1 }), ""},
		"invalid":       {in(func(s *health.Slot) { s.WALStatus = "lost" }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			st := well(t, 1, nil)
			for _, m := range []string{"m1", "m2"} { // the primary's are its user's own business
				st.members[m].Slots = []health.Slot{c.slot}
			}
			st.later(0)
			var got []string
			_, _, d := st.next()
			for _, p := range d.Problems {
				if p.Kind == health.SlotLeftBehind {
					got = append(got, p.Member+": "+p.Evidence)
				}
			}
			if c.expect == "" && got != nil || c.expect != "" && (len(got) != 1 || !strings.HasPrefix(got[0], "m2: ") ||
				!strings.Contains(got[0], c.expect)) {
				t.Errorf("%q", got)
			}
		})
	}
	st := well(t, 1, nil)
	for i := range health.MaxSlots {
		st.members["m2"].Slots = append(st.members["m2"].Slots, in(func(s *health.Slot) { s.Name = fmt.Sprintf("sub_%d", i) }))
	}
	st.later(0)
	_, _, d := st.next()
	if len(d.Problems) != 1 || strings.Count(d.Problems[0].Evidence, "pg_drop_replication_slot") != health.MaxSlots {
		t.Errorf("many on one member are one problem: %+v", d.Problems)
	}
}

func TestSwitchoverOfASiteNotesSlots(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m1"].Slots = []health.Slot{logical("sub")}
	st.later(0)
	want := "logical slot sub (active, 4096 bytes of WAL, catalog_xmin 745) on m1 stays behind: set up its consumer anew on m3"
	if got := SiteSlotWarnings(st.input(), "west"); len(got) != 1 || got[0] != want {
		t.Errorf("to another site: %q", got)
	}
	if got := SiteSlotWarnings(st.input(), "east"); got != nil {
		t.Errorf("to its own site: %q", got)
	}
	v := &clusterView{Input: st.input(), c: st.c(), conf: st.s.ClusterConfig("feed")}
	begin := state.Begin{Kind: state.Switchover, To: "m3", Reason: "asked by ann"}
	v.noteSlots(&begin)
	if want := "asked by ann; replication slots left behind on m1, their consumers to be set up anew: sub"; begin.Reason != want {
		t.Errorf("%q", begin.Reason)
	}
}

// Where no slot may be left behind, a switchover to who lacks one is refused, and of equals the one that has them all is
// preferred. Failovers
// go on.
func TestSlotsLeftBehindRefused(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m1"].Slots = []health.Slot{failoverSlot("cdc", false)}
	st.members["m3"].Slots = []health.Slot{failoverSlot("cdc", true)}
	st.later(0)
	conf := st.s.ClusterConfig("feed")
	st.s.Platform.Hosts[2].Site = "east" // of another site's members none would be preferred
	for _, c := range []struct {
		policy              platform.SlotsLeft
		to, target, refused string
	}{
		{"", "", "m2", ""},
		{"", "m2", "m2", ""},
		{platform.RefuseSlotsLeft, "", "m3", ""},
		{platform.RefuseSlotsLeft, "m3", "m3", ""},
		{platform.RefuseSlotsLeft, "m2", "m2", "failover slot cdc (active, 4096 bytes of WAL, catalog_xmin 745) on m1 " +
			"stays behind, since it is not synchronised to m2"},
	} {
		conf.SlotsLeft = c.policy
		target, bad := CheckSwitchover(st.input(), "feed", c.to)
		refused := strings.Join(Texts(RefusedSlots(st.input(), "feed", target)), "; ")
		if target != c.target || len(bad) > 0 || !strings.HasPrefix(refused, c.refused) || (refused == "") != (c.refused == "") {
			t.Errorf("%+v: to %s, %v; refused: %s", c, target, bad, refused)
		}
	}
	st.members["m3"].Slots = nil
	st.crash()
	st.later(0)
	if b := st.commits().Begin; b == nil || b.Kind != state.Failover {
		t.Errorf("a failover: %+v", b)
	}
}

// A failover slot without a good copy on a replica that may lead is named once PostgreSQL has had time to make one.
func TestSlotNotSynchronised(t *testing.T) {
	copied, invalid, own := failoverSlot("cdc", true), failoverSlot("cdc", true), failoverSlot("cdc", false)
	invalid.WALStatus = "lost"
	for name, c := range map[string]struct {
		there   []health.Slot
		change  func(*stage)
		problem bool
	}{
		"copied":           {there: []health.Slot{copied}},
		"none":             {problem: true},
		"invalid":          {there: []health.Slot{invalid}, problem: true},
		"its own":          {there: []health.Slot{own}, problem: true},
		"may not lead":     {change: func(st *stage) { st.s.ClusterConfig("feed").Member("m2").MayLead = false }},
		"an ordinary slot": {change: func(st *stage) { st.members["m1"].Slots = []health.Slot{logical("cdc")} }},
		"too many to name": {change: func(st *stage) { st.members["m2"].MoreSlots = 1 }},
		"does not stream":  {change: func(st *stage) { st.members["m2"].Receiver = nil }},
		"invalid there":    {change: func(st *stage) { st.members["m1"].Slots[0].WALStatus = "lost" }},
	} {
		t.Run(name, func(t *testing.T) {
			st := well(t, 1, nil)
			st.members["m1"].Slots = []health.Slot{failoverSlot("cdc", false)}
			st.members["m2"].Slots, st.members["m3"].Slots = c.there, []health.Slot{copied}
			if c.change != nil {
				c.change(st)
			}
			for _, after := range []struct {
				span time.Duration
				due  bool
			}{{0, false}, {syncBound, false}, {time.Second, true}} {
				st.later(after.span)
				_, _, d := st.next()
				named := slices.ContainsFunc(d.Problems, func(p health.Problem) bool {
					return p.Kind == health.SlotNotSynchronised && p.Member == "m2" && strings.Contains(p.Evidence, "failover slots cdc of m1")
				})
				if named != (c.problem && after.due) {
					t.Errorf("after %s: %+v", after.span, d.Problems)
				}
			}
		})
	}
}

// What streams from the primary besides members and Mainstay's own copies is named.
func TestOutsiders(t *testing.T) {
	st := well(t, 1, nil)
	if got := Outsiders(st.input(), "feed"); got != nil {
		t.Errorf("members alone: %v", got)
	}
	p := st.members["m1"]
	p.Senders = append(slices.Clone(p.Senders), health.Sender{Name: "mainstay-clone", State: "backup"},
		health.Sender{Name: "pg_basebackup", State: "backup"}, health.Sender{Name: "", State: "streaming"})
	st.later(0)
	if got := Outsiders(st.input(), "feed"); len(got) != 1 || !strings.HasSuffix(got[0],
		`let it end first: "pg_basebackup" (backup), "" (streaming)`) {
		t.Errorf("%v", got)
	}
	for range mostOutsiders {
		p.Senders = append(p.Senders, health.Sender{Name: "sub", State: "streaming"})
	}
	st.later(0)
	if got := Outsiders(st.input(), "feed"); len(got) != 1 || !strings.HasSuffix(got[0], ", 2 more") {
		t.Errorf("%v", got)
	}
}

// TestConfigurationBroken: a line that PostgreSQL cannot use is named while the server runs, and before a planned stop of the primary.
func TestConfigurationBroken(t *testing.T) {
	st := well(t, 1, nil)
	if got := Unstartable(st.input(), "feed"); got != nil || st.problem(health.ConfigurationBroken) {
		t.Errorf("without any: %v", got)
	}
	p := st.members["m1"]
	p.Unusable = []string{"/pg/postgresql.conf line 7: work_men: unrecognized configuration parameter"}
	st.later(0)
	if got := Unstartable(st.input(), "feed"); len(got) != 1 || !strings.Contains(got[0], "m1 will not start again") ||
		!strings.Contains(got[0], "line 7: work_men") || !st.problem(health.ConfigurationBroken) {
		t.Errorf("%v", got)
	}
}
