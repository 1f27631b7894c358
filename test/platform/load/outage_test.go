package load

import (
	"slices"
	"testing"
	"time"
)

func TestGaps(t *testing.T) {
	const limit = 100 * time.Millisecond
	base := time.Now()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	times := func(ms ...int) (ts []time.Time) {
		for _, m := range ms {
			ts = append(ts, at(m))
		}
		return ts
	}
	type gap struct {
		start, end int
		open       bool
	}
	for _, c := range []struct {
		name       string
		acks       []time.Time
		since, now int
		want       []gap
	}{
		{"healthy", times(10, 20, 30), 0, 40, nil},
		{"one outage", times(10, 20, 520, 530), 0, 540, []gap{{20, 520, false}}},
		{"exactly the threshold is none", times(10, 110), 0, 120, nil},
		{"still open", times(10), 0, 500, []gap{{10, 500, true}}},
		{"never an answer", nil, 0, 500, []gap{{0, 500, true}}},
		{"late first answer", times(300), 0, 310, []gap{{0, 300, false}}},
		{"before the mark", times(300, 310), 305, 320, nil},
		{"across the mark, whole", times(10, 300, 310), 200, 320, []gap{{10, 300, false}}},
		{"two", times(10, 300, 600), 0, 610, []gap{{10, 300, false}, {300, 600, false}}},
		{"two writers, out of order", times(10, 300, 150, 220), 0, 310, []gap{{10, 150, false}}},
	} {
		var want []Outage
		for _, g := range c.want {
			want = append(want, Outage{at(g.start), at(g.end), at(g.end).Sub(at(g.start)), g.open})
		}
		if got := over(gaps(c.acks, base, at(c.since), at(c.now)), limit); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
		if !slices.IsSortedFunc(c.acks, time.Time.Compare) {
			continue
		}
		if got := over(gaps(tail(c.acks, at(c.since)), base, at(c.since), at(c.now)), limit); !slices.Equal(got, want) {
			t.Errorf("%s, of the tail only: %v, want %v", c.name, got, want)
		}
	}
}
