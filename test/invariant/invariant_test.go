package invariant

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func ep(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

var (
	sets = []platform.DurabilitySet{{ID: 1, Acks: 1, Names: []string{"a_1"}}}
	none = map[uint64]bool{}
)

// evidence is of a commit that every receiver holds, or none, and the primary or not.
type evidence struct{ held, kept bool }

func (e evidence) Holds(string) bool { return e.held }
func (e evidence) Kept() bool        { return e.kept }

func ack(id uint64, member string, epoch uint64) Ack {
	return Ack{ID: id, At: time.Duration(id), Member: member, Epoch: ep(epoch), Waited: true, Evidence: evidence{held: true}}
}

// Each claim must be able to fail: a checker that sees nothing would let every simulation pass.
func TestEachClaimFails(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		do   func(*Checker)
	}{
		"acknowledged after a later epoch": {"S1",
			func(c *Checker) { c.Acknowledged(ack(1, "a", 2), sets); c.Acknowledged(ack(2, "a", 1), sets) }},
		"late, and the successor lacks it": {"S1", func(c *Checker) {
			c.Acknowledged(ack(1, "a", 2), sets)
			a := ack(2, "a", 1)
			c.Acknowledged(a, sets)
		}},
		"late, and it did not wait": {"S1", func(c *Checker) {
			c.Acknowledged(ack(1, "a", 2), sets)
			a := ack(2, "a", 1)
			a.Waited, a.Evidence = false, evidence{held: true, kept: true}
			c.Acknowledged(a, []platform.DurabilitySet{{}})
		}},
		"two members in one epoch": {"S1",
			func(c *Checker) { c.Acknowledged(ack(1, "a", 1), sets); c.Acknowledged(ack(2, "b", 1), sets) }},
		"lost at a promotion": {"S2", func(c *Checker) { c.Acknowledged(ack(1, "a", 1), sets); c.Began(2, "b", ep(2), none) }},
		"lost in the end": {"S2",
			func(c *Checker) { c.Acknowledged(ack(1, "a", 1), sets); c.Survive(time.Second, "b", none) }},
		"acknowledged by no member of a set":  {"S2", func(c *Checker) { a := ack(1, "a", 1); a.Evidence = evidence{}; c.Acknowledged(a, sets) }},
		"not waited with no asynchronous set": {"S2", func(c *Checker) { a := ack(1, "a", 1); a.Waited = false; c.Acknowledged(a, sets) }},
		"a lower epoch on disk":               {"S3", func(c *Checker) { c.Promised(1, "a", ep(2), false); c.Promised(2, "a", ep(1), false) }},
		"primary below its promise":           {"S3", func(c *Checker) { c.Promised(1, "a", ep(2), false); c.Began(2, "a", ep(1), none) }},
		"the epoch in force goes back":        {"S3", func(c *Checker) { c.InForce(1, ep(2)); c.InForce(2, ep(1)) }},
		"an epoch begun twice":                {"S4", func(c *Checker) { c.Began(1, "a", ep(1), none); c.Began(2, "a", ep(1), none) }},
		"a false proof":                       {"S4", func(c *Checker) { c.Proven(1, "stopped", "a", ep(1), true) }},
		"foreign WAL":                         {"S5", func(c *Checker) { c.Foreign(1, "b", "a", 2) }},
		"a timeline taken twice":              {"timeline", func(c *Checker) { c.NewTimeline(1, "a", 2); c.NewTimeline(2, "b", 2) }},
		"data that is counted on":             {"S9", func(c *Checker) { c.Discards(1, "a", "a_1", false, sets) }},
		"corrupt data":                        {"S5", func(c *Checker) { c.Sound(1, "a", "checksum", 0) }},
		"diverged data":                       {"S5", func(c *Checker) { c.Sound(1, "a", "", 2) }},
		"uncounted":                           {"S9", func(c *Checker) { c.Rejoined(1, "a", "WAL 1 to 2", "left out WAL 1 to 3") }},
		"stopped without controllers":         {"S6", func(c *Checker) { c.Unattended(1, "a stops") }},
		"no primary":                          {"S8", func(c *Checker) { c.Alive(1, "no member leads") }},
		"later than predicted":                {"S8", func(c *Checker) { c.Within(1, 3, 2) }},
		"predicted, and not come":             {"S8", func(c *Checker) { c.Within(1, 3, 0) }},
		"a pool on two sites": {"pool",
			func(c *Checker) { c.Together(1, "web", []AppServer{{Name: "e", Site: "s1"}, {Name: "w", Site: "s2"}}) }},
		"off to another site, not allowed": {"policy", func(c *Checker) { c.Left(1, "b", false) }},
		"a record missing at a handover":   {"handover", func(c *Checker) { c.HandedOver(1, "a", "b", 1) }},
	} {
		checker := New()
		c.do(checker)
		if v := checker.Violations(); len(v) != 1 || v[0].Rule != c.rule {
			t.Errorf("%s: want one violation of %s, got %v", name, c.rule, v)
		}
	}
}

// TestLateAcknowledgement: the old primary may answer a client after its successor does, for a commit that the successor holds.
func TestLateAcknowledgement(t *testing.T) {
	c := New()
	c.Acknowledged(ack(1, "b", 2), sets)
	a := ack(2, "a", 1)
	a.Evidence = evidence{kept: true}
	if c.Acknowledged(a, sets); len(c.Violations()) != 0 {
		t.Error(c.Violations())
	}
	if c.Survive(3, "b", map[uint64]bool{1: true}); len(c.Violations()) != 1 {
		t.Errorf("it was told to a client, so it must survive: %v", c.Violations())
	}
}

// TestPoolOnOneSite: app servers of one site may run together, and one that no process could end does not count.
func TestPoolOnOneSite(t *testing.T) {
	c := New()
	c.Together(1, "web", []AppServer{{Name: "e1", Site: "s1"}, {Name: "w", Site: "s2", Unattended: true}, {Name: "e2", Site: "s1"}})
	if len(c.Violations()) != 0 {
		t.Error(c.Violations())
	}
}

func TestOrderOfChoice(t *testing.T) {
	order := []Candidate{
		{Name: "z", Timeline: 3, Position: 10}, {Name: "y", Timeline: 2, Position: 90}, {Name: "x", Timeline: 2, Position: 80, Home: true},
		{Name: "w", Timeline: 2, Position: 80, Priority: 9}, {Name: "b", Timeline: 2, Position: 80}, {Name: "c", Timeline: 2, Position: 80},
	}
	for i, first := range order {
		c := New()
		c.Chosen(1, first, order[i+1:])
		if len(c.Violations()) != 0 {
			t.Errorf("%s comes first: %v", first.Name, c.Violations())
		}
		for _, later := range order[i+1:] {
			c := New()
			c.Chosen(1, later, order[i:i+1])
			if len(c.Violations()) != 1 {
				t.Errorf("%s was chosen before %s without a violation", later.Name, first.Name)
			}
		}
	}
}

func TestLegalHistoryPasses(t *testing.T) {
	c := New()
	all := map[uint64]bool{1: true, 2: true, 3: true}
	c.InForce(1, ep(1))
	c.Promised(1, "a", ep(1), false)
	c.Began(1, "a", ep(1), none)
	c.Acknowledged(ack(1, "a", 1), sets)
	unheld := ack(2, "a", 1)
	unheld.Waited, unheld.Evidence = false, evidence{}
	c.Acknowledged(unheld, []platform.DurabilitySet{{ID: 1}}) // asynchronous: it promised nothing
	c.Proven(2, "stopped", "a", ep(1), false)
	c.InForce(2, ep(2))
	c.Promised(2, "b", ep(2), false)
	c.Forgot("a")
	c.Promised(2, "a", platform.Epoch{}, true) // its disk was lost
	c.Began(2, "a", ep(1), map[uint64]bool{1: true})
	c.NewTimeline(2, "b", 2)
	c.NewTimeline(3, "b", 2) // the same member may be promoted again to it
	c.Began(2, "b", ep(2), map[uint64]bool{1: true})
	c.Acknowledged(ack(3, "b", 2), sets)
	c.Discards(4, "a", "a_1", true, []platform.DurabilitySet{{ID: 2, Acks: 1, Names: []string{"a_1"}}})
	c.Discards(4, "a", "a_1", false, []platform.DurabilitySet{{ID: 1, Names: []string{"a_1"}}})
	c.HandedOver(4, "a", "b", 0)
	c.Left(4, "b", true)
	c.Survive(5, "b", all)
	c.Lapse()
	c.Survive(5, "b", none)
	c.Within(5, 2, 3)
	c.Sound(5, "b", "", 0)
	c.Rejoined(5, "a", "WAL 1 to 2", "left out WAL 1 to 2: 7 bytes")
	c.Rejoined(5, "b", "", "")
	c.Unattended(5, "")
	c.Alive(5, "")
	if v := c.Violations(); len(v) != 0 {
		t.Errorf("legal history: %v", v)
	}
	if c.Acked() != 3 || c.Last() != 3 {
		t.Errorf("acked %d, last %s", c.Acked(), c.Last())
	}
}

// What an operator took upon himself is his; epochs and timelines are not (S4).
func TestExcused(t *testing.T) {
	c := New()
	c.Acknowledged(ack(1, "a", 1), sets)
	c.Excuse()
	c.Acknowledged(ack(2, "b", 2), nil)
	c.Acknowledged(ack(3, "a", 1), sets)
	c.Survive(4, "b", map[uint64]bool{2: true, 3: true})
	if v := c.Violations(); len(v) != 0 || !c.Excused() {
		t.Errorf("%v", v)
	}
	c.InForce(1, ep(2))
	c.InForce(2, ep(1))
	if v := c.Violations(); len(v) != 1 {
		t.Errorf("an excuse covers too much: %v", v)
	}
}
