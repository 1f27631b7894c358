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

// TestEvidenceSetAside: what an operator has set aside excludes a member no more, also where only a part of it is found again, as after a
// restart of its agent; what is new does.
func TestEvidenceSetAside(t *testing.T) {
	const a, b, c = "base/5/7 block 1 (checksum)", "base/5/7 block 2 (checksum)", "base/5/9 block 3 (header)"
	for _, tt := range []struct {
		cleared, damage string
		judged          bool
	}{
		{"", health.Scanned + a, true},
		{health.Scanned + a + ", " + b, health.Scanned + a + ", " + b, false},
		{health.Scanned + a + ", " + b, health.Scanned + b, false},
		{health.Scanned + a + ", " + b, "", false},
		{health.Scanned + a + ", " + b, health.Scanned + a + ", " + c, true},
		{health.Scanned + a, "PostgreSQL has read it; " + health.Scanned + a, true},
		{"PostgreSQL has read it; " + health.Scanned + a, health.Scanned + a, false},
	} {
		st := well(t, 1, nil)
		st.c().Members["m2"].Cleared, st.members["m2"].Damage = tt.cleared, tt.damage
		st.later(time.Second)
		cmd, _, _ := st.next()
		judged := cmd != nil && cmd.Judge != nil
		if judged != tt.judged || judged && (cmd.Judge.Member != "m2" || cmd.Judge.Excluded != tt.damage) {
			t.Errorf("%q, of which %q is set aside: %+v", tt.damage, tt.cleared, cmd)
		}
	}
}

// TestDamagedReplicaIsSpared: a damaged replica that streams is stopped for a copy only while commits have enough others, one at a
// time.
func TestDamagedReplicaIsSpared(t *testing.T) {
	for _, c := range []struct {
		name   string
		acks   int
		change func(*stage)
		spared bool
	}{
		{"one of two, acks 1", 1, func(*stage) {}, false},
		{"one of two, acks 2", 2, func(*stage) {}, true},
		{"the other does not stream", 1, func(st *stage) { st.members["m1"].Senders = st.members["m1"].Senders[:1] }, true},
		{"the other is far behind", 1, func(st *stage) { st.members["m1"].Position += 2 * joinLag }, true},
		{"the other is being repaired", 0, func(st *stage) { st.c().Members["m3"].HasStreamed = false }, true},
		{"nothing waits for replicas", 0, func(*stage) {}, false},
		{"the primary is damaged too", 0, func(st *stage) { st.members["m1"].Damage = "a bad page" }, true},
	} {
		st := well(t, c.acks, nil)
		m := st.c().Members["m2"]
		m.Excluded, m.DamagedAs = "bad pages", m.Incarnation
		st.members["m2"].Damage, st.members["m2"].Needs = "bad pages", "rebuild"
		c.change(st)
		st.later(time.Second)
		cmd, _, _ := st.next()
		if renewed := cmd != nil && cmd.Reincarnate != nil && cmd.Reincarnate.Member == "m2"; renewed == c.spared {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
	}
}

// TestDamagedReplicaWithoutAStream: what it holds may be needed where its stream has ended because the primary has. Seed 204323 of the
// simulator: it gave its data up in the moment between the primary's end and its discovery, and no failover was complete without.
func TestDamagedReplicaWithoutAStream(t *testing.T) {
	for acks, patience := range map[int]time.Duration{1: 0, 2: returnBound} { // with 2, commits need it
		st := well(t, acks, nil)
		m := st.c().Members["m2"]
		m.Excluded, m.DamagedAs = "bad pages", m.Incarnation
		st.members["m2"].Damage, st.members["m2"].Needs = "bad pages", "rebuild"
		st.later(time.Second)
		renewed := func() bool {
			cmd, _, _ := st.next()
			return cmd != nil && cmd.Reincarnate != nil
		}
		st.members["m2"].Receiver, st.members["m1"].Senders = nil, st.members["m1"].Senders[1:]
		st.later(platform.Heartbeat(lease))
		if renewed() {
			t.Error("it is rebuilt as soon as its stream ends")
		}
		st.later(platform.Suspect(lease))
		if renewed() != (patience == 0) {
			t.Errorf("acks %d: it is rebuilt: %v", acks, patience != 0)
		}
		st.later(patience + time.Millisecond)
		if !renewed() {
			t.Errorf("acks %d: it is not rebuilt, although the primary has long been heard without it", acks)
		}
	}
}

// TestDamagedFormerPrimaryStreamsFirst: after a switchover away from damaged data while a replica is frozen, nobody else acknowledges: the
// former primary streams as it is. It is rebuilt once the frozen one has been released.
func TestDamagedFormerPrimaryStreamsFirst(t *testing.T) {
	st := well(t, 1, nil)
	m, f := st.c().Members["m2"], st.c().Members["m3"]
	m.Excluded, m.DamagedAs = "a lost write", m.Incarnation
	f.Freeze = &state.Freeze{As: f.Incarnation, For: m.Incarnation, Why: "a lost write of m2"}
	p, r := st.members["m1"], st.members["m2"]
	all := p.Senders
	r.Receiver, r.Needs, st.members["m3"].Receiver, p.Senders = nil, "rebuild", nil, nil
	st.later(2 * platform.Suspect(lease))
	if cmd, _, _ := st.next(); cmd != nil && cmd.Reincarnate != nil {
		t.Fatalf("commits wait for its copy: %s", body(cmd))
	}
	f.Freeze, p.Senders = nil, all[1:]
	st.later(time.Second)
	if cmd, _, _ := st.next(); cmd == nil || cmd.Reincarnate == nil || cmd.Reincarnate.Member != "m2" {
		t.Errorf("it is spared, and not rebuilt: %s", body(cmd))
	}
}

// TestUnsparedReplicaSaysUntilWhen: the problem names what to add or to lower, or which repair comes first.
func TestUnsparedReplicaSaysUntilWhen(t *testing.T) {
	for _, c := range []struct {
		name   string
		acks   int
		change func(*stage)
		want   string
	}{
		{"acks 2", 2, func(*stage) {}, "it is not promoted, and is rebuilt once commits have enough other replicas (they wait for 2, and " +
			"without it have 1): add a replica, or lower `acks`"},
		{"from another site", 2, func(st *stage) { st.s.Platform.Clusters[0].Durability.From = platform.FromOtherSite },
			"add a replica on another site, or lower `acks`"},
		{"the other is being repaired", 0, func(st *stage) { st.c().Members["m3"].HasStreamed = false }, "and is rebuilt once m3 is repaired"},
		{"it can be spared", 1, func(*stage) {}, "and is rebuilt from a primary against which nothing is known"},
	} {
		st := well(t, c.acks, nil)
		m := st.c().Members["m2"]
		m.Excluded, m.DamagedAs = "bad pages", m.Incarnation
		st.members["m2"].Damage = "bad pages"
		c.change(st)
		st.later(time.Second)
		_, _, d := st.next()
		problems := d.Problems
		at := slices.IndexFunc(problems, func(p health.Problem) bool { return p.Kind == health.ReplicaCorrupt && p.Member == "m2" })
		if at < 0 || !strings.HasSuffix(problems[at].Evidence, c.want) {
			t.Errorf("%s: %+v", c.name, problems)
		}
	}
}

// TestDamageFoundInAnAttempt is recorded then, so that an operator can set it aside.
func TestDamageFoundInAnAttempt(t *testing.T) {
	st := begun(t, 1, nil)
	st.members["m2"].Damage = "bad pages"
	st.later(0)
	if cmd := st.commits(); cmd.Judge == nil || cmd.Judge.Member != "m2" {
		t.Errorf("decided %s", body(cmd))
	}
}

// TestDamageUnderAnEarlierName: the data of a member that has not joined is still that of its earlier name.
func TestDamageUnderAnEarlierName(t *testing.T) {
	for _, joined := range []bool{false, true} {
		st := well(t, 1, nil)
		st.c().Members["m2"].Incarnation, st.c().Members["m2"].HasStreamed = "m2_9", joined
		st.members["m2"].Damage = "bad pages"
		st.later(time.Second)
		cmd, _, _ := st.next()
		if judged := cmd != nil && cmd.Judge != nil && cmd.Judge.Incarnation == "m2_2"; judged == joined {
			t.Errorf("joined %v: %s", joined, body(cmd))
		}
	}
}

// TestClearedReplicaStreamsOn: a report from before evidence was set aside still asks for a rebuild, which nothing demands any more.
func TestClearedReplicaStreamsOn(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m2"].Damage, st.members["m2"].Needs = "bad pages", "rebuild"
	st.c().Members["m2"].Cleared, st.c().Members["m2"].ClearedAs = "bad pages", "m2_2"
	st.later(time.Second)
	if cmd, _, _ := st.next(); cmd != nil && (cmd.Reincarnate != nil || cmd.Judge != nil) {
		t.Errorf("decided %s", body(cmd))
	}
}

// TestNoRebuildFromADamagedPrimary: it would spread the damage, whatever the replica asks for.
func TestNoRebuildFromADamagedPrimary(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		st := well(t, 1, nil)
		st.members["m3"].Needs, st.members["m3"].Receiver = "rebuild", nil
		if damaged {
			st.c().Members["m1"].Excluded, st.c().Members["m1"].DamagedAs = "a bad page", "m1_1"
		}
		st.later(0)
		cmd, _, _ := st.next()
		if got := cmd != nil && cmd.Reincarnate != nil; got == damaged {
			t.Errorf("damaged %v: %s", damaged, body(cmd))
		}
	}
}

// TestDamagedPrimaryIsLeft: the role of a damaged primary moves automatically only where the policy says so, only to a replica whose files
// were all read since without a finding, and once in an epoch.
func TestDamagedPrimaryIsLeft(t *testing.T) {
	clean := health.Scan{Complete: true, Checksums: true, For: "m1_1"}
	for _, c := range []struct {
		name   string
		change func(*stage)
		to     string
	}{
		{"as it should be", func(*stage) {}, "m2"},
		{"no policy", func(st *stage) { st.conf().Failover.OnCorruption = "" }, ""},
		{"nothing was read", func(st *stage) { st.members["m2"].Scan = nil }, ""},
		{"read before the damage was known", func(st *stage) { st.members["m2"].Scan.For = "" }, ""},
		{"for the sake of other damage", func(st *stage) { st.members["m2"].Scan.For = "m3_2" }, ""},
		{"no checksums", func(st *stage) { st.members["m2"].Scan.Checksums = false }, ""},
		{"a page kept changing", func(st *stage) { st.members["m2"].Scan.Changing = 1 }, ""},
		{"a page that no checkpoint has settled", func(st *stage) { st.members["m2"].Scan.Unsettled = 1 }, ""},
		{"it does not stream", func(st *stage) { st.members["m2"].Receiver = nil }, ""},
		{"it may not lead", func(st *stage) { st.conf().Members[1].MayLead = false }, ""},
		{"its data is damaged too", func(st *stage) { st.c().Members["m2"].Excluded = "bad pages" }, ""},
		{"only one on another site", func(st *stage) {
			st.members["m3"].Scan, st.members["m2"].Scan = st.members["m2"].Scan, nil
			st.conf().Failover.AcrossSites = platform.AcrossApproval
		}, ""},
		{"the paused cluster", func(st *stage) { st.c().Pause = &state.Pause{By: "ann"} }, ""},
		{"it was tried in this epoch", func(st *stage) {
			st.c().Operations = append(st.c().Operations, state.Operation{Kind: state.Switchover, By: byMainstay, Epoch: ep(2)})
		}, ""},
		{"an operator's was given up in this epoch", func(st *stage) {
			st.c().Operations = append(st.c().Operations, state.Operation{Kind: state.Switchover, By: "ann", Epoch: ep(2)})
		}, "m2"},
	} {
		st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Failover.OnCorruption = platform.AutomaticOnCorruption })
		m := st.c().Members["m1"]
		m.Excluded, m.DamagedAs = "bad pages", m.Incarnation
		scan := clean
		st.members["m1"].Damage, st.members["m2"].Scan = "bad pages", &scan
		c.change(st)
		st.later(time.Second)
		cmd, _, d := st.next()
		to := ""
		if cmd != nil && cmd.Begin != nil && cmd.Begin.Kind == state.Switchover {
			to = cmd.Begin.To
		}
		if to != c.to {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
		if !has(d.Problems, health.PrimaryCorrupt) {
			t.Errorf("%s: nobody is told", c.name)
		}
	}
	st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Failover.OnCorruption = platform.AutomaticOnCorruption })
	if g := st.s.GoalOf("feed", "m2"); g.Verify != "" {
		t.Errorf("a scan is asked for without damage: %q", g.Verify)
	}
	st.c().Members["m1"].Excluded, st.c().Members["m1"].DamagedAs = "bad pages", "m1_1"
	if g := st.s.GoalOf("feed", "m2"); g.Verify != "m1_1" {
		t.Errorf("no scan is asked for: %q", g.Verify)
	}
}

// TestComparisonExcludes: what a comparison, made by any agent, has proven against a member's data is recorded, once; also where an
// operator has set it aside.
func TestComparisonExcludes(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m3"].Comparison = &health.Comparison{Incarnations: map[string]string{"m2": "m2_2"}, Damage: []health.DifferentBlock{
		{Path: "base/5/16384", Block: 1, Kind: "lost write", Suspects: []string{"m2"}, Named: true, Settled: true}}}
	st.later(time.Second)
	j := st.commits().Judge
	if j == nil || j.Member != "m2" || j.Incarnation != "m2_2" || j.Excluded != health.Compared+"base/5/16384 block 1 (lost write)" {
		t.Fatalf("%+v", j)
	}
	if cmd, _, _ := st.next(); cmd != nil && cmd.Judge != nil {
		t.Errorf("again: %s", body(cmd))
	}
	st.apply(onFeed(state.Command{Judge: &state.Judge{Member: "m2", Incarnation: "m2_2", Reason: "looked at", Cleared: j.Excluded}}))
	if cmd, _, _ := st.next(); cmd != nil && cmd.Judge != nil {
		t.Errorf("set aside: %s", body(cmd))
	}
}

// TestOnlyDamagedCandidates: where nothing but damage keeps the replicas from leading, nobody is told to bring a missing member back.
func TestOnlyDamagedCandidates(t *testing.T) {
	for _, all := range []bool{true, false} {
		st := well(t, 1, nil)
		st.c().Members["m2"].Excluded = "bad pages"
		if all {
			st.c().Members["m3"].Excluded = "bad pages"
		} else {
			st.members["m3"] = nil // it is missing
			st.later(time.Minute)
		}
		st.crash()
		st.members["m1"].Corrupt = "its control file does not match its checksum" // so it cannot be restarted in place
		st.later(0)
		st.commits()
		st.later(0)
		sealed := []string{"m2", "m3"}
		if !all {
			sealed = sealed[:1]
		}
		st.seal(sealed...)
		if cmd := st.step(time.Minute); cmd != nil {
			t.Fatalf("decided %s", body(cmd))
		}
		_, why, d := st.next()
		text := why.String()
		if all != (why.Code == onlyDamaged) || all == strings.Contains(text, "missing member") || !has(d.Problems, health.FailoverWaits) {
			t.Errorf("all damaged %v: %s", all, text)
		}
		if all && (!strings.Contains(text, "data of m2, m3 is damaged") || !strings.Contains(text, "integrity clear feed MEMBER")) {
			t.Error(text)
		}
	}
}

// TestEvidenceAgainstAFormerName: data that was rewound has the pages that a comparison spoke against, so the evidence counts, and the data
// does not rejoin as other data but is rebuilt (S5).
func TestEvidenceAgainstAFormerName(t *testing.T) {
	against := &health.Comparison{Incarnations: map[string]string{"m2": "m2_1"}, Damage: []health.DifferentBlock{{Path: "base/5/7", Block: 3,
		Kind: "lost write", Suspects: []string{"m2"}, Named: true, Settled: true}}}
	for _, lineage := range []string{"", "m2_0 m2_1"} {
		st := well(t, 1, nil)
		st.members["m3"].Comparison, st.members["m2"].Lineage = against, lineage
		st.later(time.Second)
		cmd, _, _ := st.next()
		if judged := cmd != nil && cmd.Judge != nil && cmd.Judge.Member == "m2"; judged != (lineage != "") {
			t.Errorf("lineage %q: %s", lineage, body(cmd))
		}

		st = well(t, 1, nil)
		m := st.c().Members["m2"]
		m.HasStreamed, m.Excluded, m.DamagedAs = false, "a lost write", "m2_1"
		st.members["m2"].Lineage = lineage
		st.later(time.Second)
		cmd, _, _ = st.next()
		if rejoins := cmd != nil && cmd.Rejoined != nil; rejoins != (lineage == "") {
			t.Errorf("lineage %q, streaming under its new name: %s", lineage, body(cmd))
		}
		st.members["m2"].Needs = "rebuild"
		st.later(time.Second)
		cmd, _, _ = st.next()
		if renewed := cmd != nil && cmd.Reincarnate != nil && cmd.Reincarnate.Member == "m2"; renewed != (lineage != "") {
			t.Errorf("lineage %q, asking for a rebuild: %s", lineage, body(cmd))
		}
	}
}

// TestDataSuspect: what deep checks find and what excludes no member is a problem all the same, and that of a primary's pages where no
// freeze speaks of it.
func TestDataSuspect(t *testing.T) {
	content := func(of string) func(*stage) {
		return func(st *stage) {
			c := &health.Comparison{By: "m3", Complete: true, Members: []string{"m1", "m2", "m3"}, Incarnations: map[string]string{},
				Damage: []health.DifferentBlock{{Path: "base/5/7", Block: 3, Kind: "content", Suspects: []string{of}, Named: true, Settled: true}}}
			for name, m := range st.c().Members {
				c.Incarnations[name] = m.Incarnation
			}
			st.members["m3"].Comparison = c
		}
	}
	for _, c := range []struct {
		name    string
		of      string
		changes []func(*stage)
		want    string
	}{
		{"another content", "m2", []func(*stage){content("m2")}, "found damage: base/5/7 block 3 (content of m2); that excludes no member"},
		{"of data that was replaced", "m2", []func(*stage){content("m2"), func(st *stage) {
			st.members["m3"].Comparison.Incarnations["m2"] = "m2_0"
		}}, ""},
		{"not settled", "m2", []func(*stage){content("m2"), func(st *stage) { st.members["m3"].Comparison.Damage[0].Settled = false }}, ""},
		{"proven, so that it is excluded", "m2", []func(*stage){content("m2"), func(st *stage) {
			st.members["m3"].Comparison.Damage[0].Kind = "lost write"
		}}, ""},
		{"of the primary, and ReplayNotFrozen says so", "m1", []func(*stage){content("m1")}, ""},
		{"of the primary, and released", "m1", []func(*stage){content("m1"), func(st *stage) {
			st.c().Members["m2"].Freeze = &state.Freeze{As: "m2_2", For: "m1_1", Why: "content", Released: "seen"}
		}}, "base/5/7 block 3 (content of m1)"},
		{"by its structure", "m2", []func(*stage){func(st *stage) {
			st.members["m2"].Checks = &health.Checks{Structure: health.Checked{Damage: "feed.public.a (btree)"}}
		}}, "a check of the structure found damage: feed.public.a (btree)"},
	} {
		st := well(t, 1, nil)
		for _, change := range c.changes {
			change(st)
		}
		st.later(time.Second)
		_, _, d := st.next()
		said := ""
		for _, p := range d.Problems {
			if p.Kind == health.DataSuspect && p.Member == c.of {
				said = p.Evidence
			}
		}
		if c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q, want %q", c.name, said, c.want)
		}
	}
}

// TestStructureExcludes: what a check of the structure has found excludes a member where the damage is that copy's own: by its kind, or
// because a comparison shows that its file differs from one that a check has found sound. Else each member may have it.
func TestStructureExcludes(t *testing.T) {
	row := health.RelationFile{Name: "d.public.t", Node: 7, Check: "heap", Kind: "row"}
	page := health.RelationFile{Name: "d.public.t", Node: 7, Check: "heap", Kind: "page", Own: true}
	finds := func(name, incarnation string, damage ...health.RelationFile) func(*stage) {
		return func(st *stage) {
			st.members[name].Checks = &health.Checks{Found: &health.StructureFound{Incarnation: incarnation, Complete: true, Damage: damage}}
		}
	}
	differs := func(kind string, named bool, suspects ...string) func(*stage) {
		return func(st *stage) {
			st.members["m3"].Comparison = &health.Comparison{Complete: true, Members: []string{"m1", "m2", "m3"},
				Incarnations: map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_3"}, Damage: []health.DifferentBlock{
					{Path: "base/5/7", Relation: "d.public.t", Block: 3, Kind: kind, Suspects: suspects, Named: named, Settled: true}}}
		}
	}
	incomplete := func(name string) func(*stage) {
		return func(st *stage) { st.members[name].Checks.Found.Complete = false }
	}
	elsewhere := func(st *stage) { st.members["m3"].Comparison.Damage[0].Path = "base/5/8" }
	lineage := func(st *stage) { st.members["m2"].Lineage = "m2_1" }
	clears := func(st *stage) {
		st.c().Members["m2"].Cleared, st.c().Members["m2"].ClearedAs = health.Inspected+page.String(), "m2_2"
	}
	for _, c := range []struct {
		name    string
		changes []func(*stage)
		want    string // the member; "" for none
	}{
		{"a page that the server cannot read", []func(*stage){finds("m2", "m2_2", page)}, "m2"},
		{"of the primary", []func(*stage){finds("m1", "m1_1", page)}, "m1"},
		{"of data that was replaced", []func(*stage){finds("m2", "m2_1", page)}, ""},
		{"of data that was rewound", []func(*stage){finds("m2", "m2_1", page), lineage}, "m2"},
		{"set aside by an operator", []func(*stage){finds("m2", "m2_2", page), clears}, ""},
		{"rows, and nothing is known of the primary's", []func(*stage){finds("m2", "m2_2", row)}, ""},
		{"rows, and the primary has none such, but the files were not compared", []func(*stage){finds("m2", "m2_2", row),
			finds("m1", "m1_1")}, ""},
		{"rows on both", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1", row), differs("content", false, "m1", "m2")}, ""},
		{"rows, the files differ, and the primary's is sound", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"),
			differs("content", false, "m1", "m2")}, "m2"},
		{"rows of the primary, and the replica's file is sound", []func(*stage){finds("m1", "m1_1", row), finds("m2", "m2_2"),
			differs("content", false, "m1", "m2")}, "m1"},
		{"rows, the files differ, and the primary's was not checked", []func(*stage){finds("m2", "m2_2", row),
			differs("content", false, "m1", "m2")}, ""},
		{"rows, the files differ, and the primary's check has not ended", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"),
			differs("content", false, "m1", "m2"), incomplete("m1")}, ""},
		{"rows, and another file differs", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"), differs("content", false, "m1", "m2"),
			elsewhere}, ""},
		{"rows, and one of three suspects was not checked", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"),
			differs("content", false, "m1", "m2", "m3")}, ""},
		{"rows, the majority names it, and one of the others is sound", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"),
			differs("content", true, "m2")}, "m2"},
		{"rows, the majority names it, and none of the others was checked", []func(*stage){finds("m2", "m2_2", row),
			differs("content", true, "m2")}, ""},
		{"rows, and the majority names another", []func(*stage){finds("m2", "m2_2", row), finds("m1", "m1_1"),
			differs("content", true, "m3")}, ""},
	} {
		st := well(t, 1, nil)
		st.conf().Freeze = platform.FreezeOff // which is decided first
		for _, change := range c.changes {
			change(st)
		}
		st.later(time.Second)
		cmd, _, _ := st.next()
		got := ""
		if cmd != nil && cmd.Judge != nil {
			if got = cmd.Judge.Member; !strings.HasPrefix(cmd.Judge.Excluded, health.Inspected+"d.public.t (heap: ") {
				t.Errorf("%s: %q", c.name, cmd.Judge.Excluded)
			}
			st.apply(*cmd)
			if cmd, _, _ := st.next(); cmd != nil && cmd.Judge != nil {
				t.Errorf("%s: again: %s", c.name, body(cmd))
			}
			if e := Evidence(st.input(), "feed", got); !strings.Contains(e, "d.public.t") {
				t.Errorf("%s: what an operator would set aside is %q", c.name, e)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q is excluded, want %q", c.name, got, c.want)
		}
	}
}

// TestStructureEverywhere: damage that the primary has as well is a problem with its remedy, and excludes none.
func TestStructureEverywhere(t *testing.T) {
	st := well(t, 1, nil)
	entry := health.RelationFile{Name: "d.public.i", Node: 8, Check: "btree", Kind: "missing entry"}
	for name, of := range map[string]string{"m1": "m1_1", "m2": "m2_2"} {
		st.members[name].Checks = &health.Checks{Structure: health.Checked{Damage: "d.public.i (btree)"},
			Found: &health.StructureFound{Incarnation: of, Complete: true, Damage: []health.RelationFile{entry}}}
	}
	st.later(time.Second)
	cmd, _, d := st.next()
	if cmd != nil {
		t.Errorf("decided %s", body(cmd))
	}
	for _, p := range d.Problems {
		other := map[string]string{"m1": "m2", "m2": "m1"}[p.Member]
		want := "That of " + other + " found it as well, so that it came with the WAL: REINDEX"
		if p.Kind != health.DataSuspect || !strings.Contains(p.Evidence, want) {
			t.Errorf("%+v", p)
		}
	}
	if len(d.Problems) != 2 {
		t.Errorf("%d problems", len(d.Problems))
	}
}
