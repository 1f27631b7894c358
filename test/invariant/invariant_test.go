package invariant

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

// Each claim must be able to fail: a checker that sees nothing would let every simulation pass.
func TestEachClaimFails(t *testing.T) {
	e := func(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }
	sets := []platform.Set{{ID: 1, Acks: 1, Names: []string{"a_1"}}}
	for _, c := range []struct {
		rule string
		do   func(*Checker)
	}{
		{"S1", func(c *Checker) { c.Acknowledged(1, 1, "a", e(2)); c.Acknowledged(2, 2, "b", e(1)) }},
		{"S1", func(c *Checker) { c.Acknowledged(1, 1, "a", e(1)); c.Acknowledged(2, 2, "b", e(1)) }},
		{"S2", func(c *Checker) {
			c.Acknowledged(1, 1, "a", e(1))
			c.Survive(time.Second, "b", func(uint64) bool { return false })
		}},
		{"S3", func(c *Checker) { c.Promised(1, "a", e(2), false); c.Promised(2, "a", e(1), false) }},
		{"S3", func(c *Checker) { c.Promised(1, "a", e(2), false); c.Began(2, "a", e(1)) }},
		{"S3", func(c *Checker) { c.InForce(1, e(2)); c.InForce(2, e(1)) }},
		{"timeline", func(c *Checker) { c.NewTimeline(1, "a", 2); c.NewTimeline(2, "b", 2) }},
		{"S4", func(c *Checker) { c.Proven(1, "stopped", "a", e(1), true) }},
		{"S9", func(c *Checker) { c.Discards(1, "a", "a_1", false, sets) }},
		{"S8", func(c *Checker) { c.Alive(1, "nobody leads") }},
	} {
		checker := New(1)
		c.do(checker)
		if v := checker.Violations(); len(v) != 1 || v[0].Rule != c.rule {
			t.Errorf("want one violation of %s, got %v", c.rule, v)
		}
	}
}

func TestLegalHistoryPasses(t *testing.T) {
	c := New(1)
	one, two := platform.Epoch{Generation: 1, Number: 1}, platform.Epoch{Generation: 1, Number: 2}
	c.InForce(1, one)
	c.Promised(1, "a", one, false)
	c.Began(1, "a", one)
	c.Acknowledged(1, 1, "a", one)
	c.Proven(2, "stopped", "a", one, false)
	c.InForce(2, two)
	c.Promised(2, "b", two, false)
	c.Promised(2, "a", platform.Epoch{}, true) // its disk was lost
	c.Began(2, "b", two)
	c.NewTimeline(2, "b", 2)
	c.NewTimeline(3, "b", 2) // the same member may be promoted again to it
	c.Acknowledged(2, 3, "b", two)
	c.Discards(4, "a", "a_1", true, []platform.Set{{ID: 2, Acks: 1, Names: []string{"a_1"}}})
	c.Discards(4, "a", "a_1", false, []platform.Set{{ID: 1, Names: []string{"a_1"}}}) // asynchronous: it promised nothing
	c.Survive(5, "b", func(uint64) bool { return true })
	c.Alive(5, "")
	if v := c.Violations(); len(v) != 0 {
		t.Errorf("legal history: %v", v)
	}
	if c.Acked() != 2 || c.Last() != 3 {
		t.Errorf("acked %d, last %s", c.Acked(), c.Last())
	}
}
