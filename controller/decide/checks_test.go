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

// scheduled is a cluster with a schedule whose agents have made every check half a day ago.
func scheduled(t *testing.T) *stage {
	st := well(t, 1, func(p *platform.Platform) {
		p.Clusters[0].Integrity = &platform.CheckSchedule{Compare: platform.CheckPlan{Every: 24 * time.Hour, Rate: 7},
			Structure: platform.CheckPlan{Every: 48 * time.Hour, Share: 25}}
	})
	done := health.Checked{DoneMS: 12 * time.Hour.Milliseconds(), TriedMS: 12 * time.Hour.Milliseconds()}
	for name, m := range st.members {
		if m.Checks = (&health.Checks{Structure: done}); name == "m3" {
			m.Checks.Compare = done
		}
	}
	return st
}

// TestCheckOrder: one check at a time in a cluster, the one that is due for the longest, replicas before the primary; none while anything
// changes, and none of a new leader that has not heard the agents yet.
func TestCheckOrder(t *testing.T) {
	const day = 24 * time.Hour
	due := func(c *health.Checked) { c.DoneMS, c.TriedMS = 3*day.Milliseconds(), 3*day.Milliseconds() }
	running := func(c *health.Checked) { c.Running, c.Scheduled = true, true }
	compare, structure := platform.CheckOrder{Depth: platform.CheckCompare, Rate: 7},
		platform.CheckOrder{Depth: platform.CheckStructure, Share: 25}
	hold, rarely := compare, compare
	hold.Hold, rarely.Full = true, 30*day
	for _, c := range []struct {
		name   string
		change func(*stage)
		member string
		order  platform.CheckOrder
	}{
		{"nothing is due", func(*stage) {}, "", platform.CheckOrder{}},
		{"the comparison is", func(st *stage) { due(&st.members["m3"].Checks.Compare) }, "m2", compare},
		{"another agent has made one since", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m1"].Checks.Compare.DoneMS = 1
		}, "", platform.CheckOrder{}},
		{"it was given up a minute ago", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m3"].Checks.Compare.TriedMS = time.Minute.Milliseconds()
		}, "", platform.CheckOrder{}},
		{"it was given up an hour ago", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m3"].Checks.Compare.TriedMS = time.Hour.Milliseconds()
		}, "m2", compare},
		{"none was ever made", func(st *stage) { st.members["m3"].Checks.Compare = health.Checked{} }, "m2", compare},
		{"the first replica does not stream", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m2"].Receiver = nil
		}, "m3", compare},
		{"its agent is of an earlier version", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m2"].Checks = nil
		}, "m3", compare},
		{"no replica streams", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m2"].Receiver, st.members["m3"].Receiver = nil, nil
		}, "", platform.CheckOrder{}},
		{"both depths are due", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			due(&st.members["m2"].Checks.Structure)
		}, "m2", compare},
		{"the structure of all", func(st *stage) {
			for _, m := range st.members {
				due(&m.Checks.Structure)
			}
		}, "m2", structure},
		{"the structure, for longer than the comparison", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m3"].Checks.Structure.DoneMS = 5 * day.Milliseconds()
		}, "m3", structure},
		{"the structure was never checked", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m1"].Checks.Structure = health.Checked{}
		}, "m1", structure},
		{"that of the primary", func(st *stage) { due(&st.members["m1"].Checks.Structure) }, "m1", structure},
		{"one runs", func(st *stage) {
			running(&st.members["m3"].Checks.Compare)
			due(&st.members["m2"].Checks.Structure)
		}, "m3", compare},
		{"an operator's runs", func(st *stage) {
			st.members["m3"].Checks.Compare.Running = true
			due(&st.members["m2"].Checks.Structure)
		}, "", platform.CheckOrder{}},
		{"one runs that is no longer asked for", func(st *stage) {
			running(&st.members["m3"].Checks.Compare)
			st.conf().Integrity.Compare = platform.CheckPlan{}
		}, "", platform.CheckOrder{}},
		{"one runs in a cluster that is paused", func(st *stage) {
			running(&st.members["m3"].Checks.Compare)
			st.c().Pause = &state.Pause{By: "ann"}
		}, "m3", hold},
		{"one runs during a switchover", func(st *stage) {
			running(&st.members["m3"].Checks.Compare)
			st.apply(onFeed(state.Command{Begin: &state.Begin{Kind: state.Switchover, To: "m2"}}))
		}, "m3", hold},
		{"one is due in a cluster that is paused", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.c().Pause = &state.Pause{By: "ann"}
		}, "", platform.CheckOrder{}},
		{"one is due, and the leader is new", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.view.Since = st.now - time.Second
		}, "", platform.CheckOrder{}},
		{"one runs, and the leader is new", func(st *stage) {
			running(&st.members["m3"].Checks.Compare)
			st.view.Since = st.now - time.Second
		}, "m3", compare},
		{"incremental ones: the agent that has made the last", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.conf().Integrity.Compare.Full = 30 * day
		}, "m3", rarely},
		{"that agent's member does not stream", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.conf().Integrity.Compare.Full, st.members["m3"].Receiver = 30*day, nil
		}, "m2", rarely},
		{"that is the primary's", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.members["m1"].Checks.Compare.DoneMS = 2 * day.Milliseconds()
			st.conf().Integrity.Compare.Full = 30 * day
		}, "m2", rarely},
		{"there is no schedule", func(st *stage) {
			due(&st.members["m3"].Checks.Compare)
			st.conf().Integrity = nil
		}, "", platform.CheckOrder{}},
	} {
		st := scheduled(t)
		c.change(st)
		st.later(0)
		if by, order := CheckOrder(st.input(), "feed"); by != c.member || order != c.order {
			t.Errorf("%s: %q, %+v", c.name, by, order)
		}
	}
	st := scheduled(t)
	running(&st.members["m3"].Checks.Compare)
	st.later(0)
	st.members["m3"] = nil
	due(&st.members["m2"].Checks.Structure)
	st.later(checkSilence - time.Second)
	if by, order := CheckOrder(st.input(), "feed"); by != "m3" || order != compare {
		t.Errorf("the agent that compares is silent: %q, %+v", by, order)
	}
	st.later(2 * time.Second)
	if by, order := CheckOrder(st.input(), "feed"); by != "m2" || order != structure {
		t.Errorf("it is silent for long: %q, %+v", by, order)
	}
}

// TestPlannedChecks: when each check was made last, and when it is due.
func TestPlannedChecks(t *testing.T) {
	st := scheduled(t)
	st.later(time.Minute)
	all := PlannedChecks(st.input(), "feed")
	hour := time.Hour.Milliseconds()
	var who []string
	for _, p := range all {
		who = append(who, string(p.Depth)+" "+p.Member)
		if p.DoneMS < 12*hour || p.DoneMS > 13*hour || p.Hold != "" || p.Running {
			t.Errorf("%+v", p)
		}
		if want := map[bool]int64{true: 12 * hour, false: 36 * hour}[p.Member == ""]; p.NextMS > want || p.NextMS < want-hour {
			t.Errorf("next: %+v", p)
		}
	}
	if !slices.Equal(who, []string{"compare ", "structure m2", "structure m3", "structure m1"}) || all[0].By != "m3" {
		t.Errorf("%v, %+v", who, all[0])
	}
	st.members["m3"].Checks.Compare.DoneMS += 24 * hour
	st.members["m3"].Checks.Compare.TriedMS += 24 * hour
	st.c().Pause = &state.Pause{By: "ann"}
	st.later(0)
	if p := PlannedChecks(st.input(), "feed")[0]; p.NextMS != 0 || !strings.Contains(p.Hold, "paused") {
		t.Errorf("due while paused: %+v", p)
	}
	st.conf().Integrity = nil
	if p := PlannedChecks(st.input(), "feed"); len(p) != 4 || p[0].EverySeconds != 0 || p[0].NextMS != 0 {
		t.Errorf("without a schedule: %+v", p)
	}
	for _, m := range st.members {
		m.Checks = nil
	}
	st.later(0)
	if p := PlannedChecks(st.input(), "feed"); len(p) != 0 {
		t.Errorf("nothing was made: %+v", p)
	}
}
