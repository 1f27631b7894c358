package dualwriter

import (
	"testing"
	"time"
)

func TestOverlaps(t *testing.T) {
	ack := func(host, timeline string, started, acked int) Ack {
		return Ack{Host: host, Timeline: timeline, Started: time.Duration(started), Acked: time.Duration(acked)}
	}
	for _, c := range []struct {
		name  string
		acks  []Ack
		want  int // pairs of reigns
		proof int // acknowledgements of the first one
	}{
		{"nothing", nil, 0, 0},
		{"one primary", []Ack{ack("a", "1", 0, 1), ack("a", "1", 2, 3)}, 0, 0},
		{"failover", []Ack{ack("a", "1", 0, 1), ack("b", "2", 2, 3), ack("b", "2", 4, 5)}, 0, 0},
		{"failover and back", []Ack{ack("a", "1", 0, 1), ack("b", "2", 2, 3), ack("a", "3", 4, 5)}, 0, 0},
		{"old primary goes on", []Ack{ack("a", "1", 0, 1), ack("b", "2", 2, 3), ack("a", "1", 4, 5)}, 1, 1},
		{"both go on", []Ack{ack("a", "1", 0, 1), ack("b", "2", 2, 3), ack("a", "1", 4, 5), ack("b", "2", 6, 7)}, 2, 1},
		{"same timeline, handed over", []Ack{ack("a", "1", 0, 1), ack("b", "1", 2, 3)}, 0, 0},
		{"same timeline, both", []Ack{ack("a", "1", 0, 1), ack("b", "1", 2, 3), ack("b", "1", 4, 5), ack("a", "1", 6, 7)}, 1, 2},
		{"answer delayed over the handover", []Ack{ack("a", "1", 0, 1), ack("a", "1", 2, 9), ack("b", "2", 4, 5)}, 0, 0},
		{"second answer of the new one delayed", []Ack{ack("a", "1", 0, 1), ack("b", "2", 0, 9), ack("a", "1", 2, 3)}, 0, 0},
		{"sent the moment the answer came", []Ack{ack("a", "1", 0, 2), ack("b", "2", 2, 4), ack("a", "1", 4, 5)}, 0, 0},
		{"unordered input", []Ack{ack("a", "1", 4, 5), ack("b", "2", 2, 3), ack("a", "1", 0, 1)}, 1, 1},
	} {
		got := overlaps(c.acks)
		if len(got) != c.want || c.want > 0 && got[0].Acks != c.proof {
			t.Errorf("%s: %v, want %d with %d proofs", c.name, got, c.want, c.proof)
		}
		for _, o := range got {
			if !o.First.before(o.Between) || !o.Between.before(o.Again) || o.First.key() != o.Again.key() || o.First.Host == o.Between.Host {
				t.Errorf("%s: %v is no proof", c.name, o)
			}
		}
	}
}

func TestReigns(t *testing.T) {
	got := reigns([]Ack{{"b", 0, "2", 30, 40}, {"a", 0, "1", 0, 10}, {"a", 1, "1", 20, 25}})
	want := []Reign{{"a", "1", 0, 25, 2}, {"b", "2", 30, 40, 1}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}
