package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/health"
)

// TestMendEnds once its agent has told how it went, the member runs again and the page was compared; or where it cannot go on.
func TestMendEnds(t *testing.T) {
	mended := func(done bool, compared *health.FrozenPage) func(*stage) {
		return func(st *stage) {
			st.members["m2"].Mended = &health.Mended{Number: 7, Done: done, Detail: "so it is", Compared: compared}
		}
	}
	diverged := func(st *stage) { st.members["m2"].Needs = "rewind" }
	down := func(st *stage) { st.members["m2"].Process = health.ProcessEnded }
	for _, c := range []struct {
		name    string
		changes []func(*stage)
		passes  time.Duration
		ends    bool
		done    bool
		text    string
	}{
		{"it is under way", []func(*stage){down}, time.Minute, false, false, ""},
		{"another one was done", []func(*stage){mended(true, nil), func(st *stage) { st.members["m2"].Mended.Number = 6 }}, time.Second, false,
			false, ""},
		{"refused", []func(*stage){mended(false, nil)}, time.Second, true, false, "so it is"},
		{"refused, and it does not run yet", []func(*stage){mended(false, nil), down}, time.Second, false, false, ""},
		{"done", []func(*stage){mended(true, nil)}, time.Second, false, false, ""},
		{"done, and compared", []func(*stage){mended(true, &health.FrozenPage{Same: true, Detail: "alike"})}, 0, true, true,
			"so it is; compared again, alike"},
		{"a map that is made anew", []func(*stage){mended(true, &health.FrozenPage{})}, 0, true, true, "so it is"},
		{"done, and another one all the same", []func(*stage){mended(true, &health.FrozenPage{Differs: true, Detail: "unlike"})}, 0, true,
			false, "unlike"},
		{"done, and never compared", []func(*stage){mended(true, nil)}, 2 * time.Minute, true, true, "it was not compared again"},
		{"no word", nil, 6 * time.Minute, true, false, "has not told how it went within 5m"},
		{"done, and it needs a rewind", []func(*stage){mended(true, nil), down, diverged}, 0, true, true, "it was not compared again"},
		{"refused, and it needs a rewind", []func(*stage){mended(false, nil), down, diverged}, 0, true, false, "so it is"},
		{"it needs a rewind before that", []func(*stage){down, diverged}, 0, true, false, "without a rewind"},
		{"its data is another one", []func(*stage){func(st *stage) { st.c().Members["m2"].Incarnation = "m2_9" }}, 0, true, false,
			"has other data"},
		{"its data cannot be started at all", []func(*stage){down, func(st *stage) { st.members["m2"].Corrupt = "no control file" }}, 0, true,
			false, "is rebuilt: no control file"},
	} {
		st := well(t, 1, nil)
		st.c().Members["m2"].Mend = &state.Mend{Number: 7, As: "m2_2", Page: "base/5/7 block 3", From: "m1", Operation: "feed-9"}
		for _, change := range c.changes {
			change(st)
		}
		st.later(0)
		cmd, _, _ := st.next()
		for end := st.now + c.passes; st.now < end && (cmd == nil || cmd.Mend == nil); {
			st.later(time.Second)
			cmd, _, _ = st.next()
		}
		ended := cmd != nil && cmd.Mend != nil
		if ended != c.ends || ended && (cmd.Mend.Done != c.done || cmd.Mend.Ended != 7 || !strings.Contains(cmd.Mend.Outcome, c.text) ||
			strings.HasSuffix(cmd.Mend.Outcome, ", ")) {
			t.Errorf("%s: %s %+v", c.name, body(cmd), cmd)
		}
	}
}

// TestCheckMend: a replica is stopped for a page only where commits can do without it, and gets no page of damaged data.
func TestCheckMend(t *testing.T) {
	for _, c := range []struct {
		name   string
		acks   int
		change func(*stage)
		want   string
	}{
		{"it can be spared", 1, func(*stage) {}, ""},
		{"it cannot", 2, func(*stage) {}, "commits have enough other replicas"},
		{"the other one is frozen", 1, func(st *stage) {
			st.c().Members["m3"].Freeze = &state.Freeze{As: "m3_3", For: "m1_1", Why: "a lost write"}
		}, "commits have enough other replicas"},
		{"it does not run", 1, func(st *stage) { st.members["m2"].Process = health.ProcessEnded }, "no running standby"},
		{"it is frozen", 0, func(st *stage) {
			st.c().Members["m2"].Freeze = &state.Freeze{As: "m2_2", For: "m1_1", Why: "a lost write"}
		}, "`mainstay integrity release m2`"},
		{"the donor is damaged", 1, func(st *stage) { st.c().Members["m1"].Excluded = "bad pages" }, "m1, whose data is " +
			"damaged (bad pages): name another member with --from"},
	} {
		st := well(t, c.acks, nil)
		c.change(st)
		st.later(time.Second)
		got := strings.Join(Texts(CheckMend(st.input(), "feed", "m2", "m1")), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
