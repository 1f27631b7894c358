package decide

import (
	"testing"
	"time"

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
		{"the other is being repaired", 0, func(st *stage) { st.c().Members["m3"].Joined = false }, true},
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
		st.c().Members["m2"].Incarnation, st.c().Members["m2"].Joined = "m2_9", joined
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
