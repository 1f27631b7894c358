package member

import (
	"testing"

	"mainstay/controller/platform"
)

// TestBlind: what may be done on an old observation. An epoch is closed, and data gets its name, on a new one only (S4): an observation
// from before the primary's start seems to show that it has ended.
func TestBlind(t *testing.T) {
	d := Durable{Incarnation: "m1_1", Closed: platform.Epoch{Generation: 1, Number: 2}}
	with := func(change func(*Durable)) Durable {
		n := d
		change(&n)
		return n
	}
	for name, c := range map[string]struct {
		act  Act
		want bool
	}{
		"a kill":          {Act{Kind: Kill}, true},
		"a promise":       {Act{Kind: Persist, Durable: with(func(n *Durable) { n.Epoch = platform.Epoch{Generation: 1, Number: 3} })}, true},
		"closing":         {Act{Kind: Persist, Durable: with(func(n *Durable) { n.Closed.Number = 3 })}, false},
		"a name":          {Act{Kind: Persist, Durable: with(func(n *Durable) { n.Incarnation = "m1_2" })}, false},
		"a start":         {Act{Kind: StartPrimary, Durable: d}, false},
		"nothing":         {Act{Durable: d}, false},
		"a clean stop":    {Act{Kind: StopClean, Durable: d}, false},
		"a standby start": {Act{Kind: StartStandby, Durable: d}, false},
	} {
		if got := c.act.Blind(d); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
