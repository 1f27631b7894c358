package loop

import (
	"testing"
	"time"
)

// While nothing is running one barrier a heartbeat serves all agents, and none waits for longer than a heartbeat and one turn of the
// loop, also where the loop comes late each time. Seed 13556 of the simulator: its lost time counted as the barrier's, and answers
// came so late that a primary asked for promises.
func TestCalmBarriers(t *testing.T) {
	for _, turn := range []time.Duration{decideEvery, 120 * time.Millisecond, 190 * time.Millisecond} {
		c, start := leader(t, time.Minute), time.Minute
		var waits []time.Duration // since when the reports that no barrier serves yet wait
		barriers, reports := 0, uint64(0)
		const beat = lease / 10
		serve := func(out Out, now time.Duration) {
			if out.Barrier == 0 {
				return
			}
			barriers++
			for _, since := range waits {
				if now-since > beat+turn {
					t.Errorf("turns of %s: a report waited %s", turn, now-since)
				}
			}
			waits = nil
			c.BarrierDone(out.Barrier, nil, now)
		}
		for now := start; now < start+3*settling+20*beat; now += 10 * time.Millisecond {
			at := now - start
			if at < 3*settling { // it still decides something: each report has a barrier of its own
				barriers = 0
			}
			for i, run := range []string{"r1", "r", "r"} {
				if at%beat == time.Duration(i)*150*time.Millisecond {
					reports++
					r := reportOf(run, reports, primary())
					r.Host = []string{"h1", "h2", "h3"}[i]
					waits = append(waits, now)
					serve(told(c, reports, r, now), now)
				}
			}
			if at%turn < 10*time.Millisecond {
				serve(c.Decide(now, time.Unix(0, 0)), now)
			}
		}
		if barriers < 14 || barriers > 23 {
			t.Errorf("turns of %s: %d barriers in 20 heartbeats", turn, barriers)
		}
	}
}
