package watchdog

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard"
)

const s = time.Second

func duty(end, since, settled time.Duration) guard.Duty {
	return guard.Duty{End: end, Since: since, Settled: settled}
}

func TestOwed(t *testing.T) {
	none := post{}
	for name, tc := range map[string]struct {
		a, b post
		want time.Duration
	}{
		"fresh guards":                      {none, none, 0},
		"both armed":                        {post{now: duty(100*s, 95*s, 0)}, post{now: duty(100*s, 95*s, 0)}, 100 * s},
		"the earlier end counts":            {post{now: duty(101*s, 96*s, 0)}, post{now: duty(100*s, 95*s, 0)}, 100 * s},
		"one took it alone":                 {post{now: duty(101*s, 96*s, 0)}, post{now: duty(0, 90*s, 90*s)}, 101 * s},
		"both have killed":                  {post{now: duty(0, 100*s, 100*s)}, post{now: duty(0, 100*s, 100*s)}, 0},
		"one hangs, its peer has killed":    {post{now: duty(100*s, 95*s, 0)}, post{now: duty(0, 100*s, 100*s)}, 0},
		"armed again after the peer's kill": {post{now: duty(110*s, 105*s, 0)}, post{now: duty(0, 100*s, 100*s)}, 110 * s},
		"both died, and nothing is known since": {post{now: duty(0, 0, 0), before: duty(100*s, 95*s, 0)},
			post{now: duty(0, 0, 0), before: duty(100*s, 95*s, 0)}, 100 * s},
		"both died, and their successors took it": {post{duty(103*s, 98*s, 0), duty(100*s, 95*s, 0)},
			post{duty(103*s, 98*s, 0), duty(100*s, 95*s, 0)}, 103 * s},
		"both died, one successor took it": {post{duty(103*s, 98*s, 0), duty(100*s, 95*s, 0)}, post{before: duty(100*s, 95*s, 0)},
			100 * s},
		"both died, and an agent disarmed": {post{duty(0, 0, 99*s), duty(100*s, 95*s, 0)}, post{duty(0, 0, 99*s), duty(100*s, 95*s, 0)},
			0},
		"disarmed before the dead one was armed":    {post{now: duty(0, 0, 94*s), before: duty(100*s, 95*s, 0)}, none, 100 * s},
		"the successors were disarmed after arming": {post{duty(0, 99*s, 99*s), duty(100*s, 95*s, 0)}, none, 0},
	} {
		if got := owed(tc.a, tc.b); got != tc.want {
			t.Errorf("%s: owed %s, want %s", name, got, tc.want)
		}
	}
}

func on(timeout time.Duration) *Wish { return &Wish{On: true, Timeout: timeout} }

// holding was pinged just before 100 s.
func holding(w *Wish) machine {
	return machine{want: w, held: true, timeout: 3 * s, asked: 3 * s, pinged: 100*s - pingEvery}
}

// TestNext: at 100 s. The device counts 3 s, so the last ping that is allowed comes 3 s before end + K.
func TestNext(t *testing.T) {
	const k = platform.GuardKill
	leaving, waiting := holding(on(3*s)), holding(on(3*s))
	leaving.leaving, waiting.pinged = true, 100*s-1
	late, unfit := machine{want: on(3 * s), retryAt: 100*s + 1}, machine{want: on(3 * s), unfit: 3 * s}
	for name, tc := range map[string]struct {
		m    machine
		owed time.Duration
		want act
	}{
		"no agent has sent a wish":                {machine{}, 0, wait},
		"told to leave before":                    {machine{leaving: true}, 0, end},
		"off, nothing held":                       {machine{want: &Wish{}}, 105 * s, end},
		"to be opened":                            {machine{want: on(3 * s)}, 0, open},
		"to be opened under a lease":              {machine{want: on(3 * s)}, 103*s - k, open},
		"opening would feed too late":             {machine{want: on(3 * s)}, 103*s - k - 1, wait},
		"tried a moment ago":                      {late, 0, wait},
		"tried, and unfit":                        {unfit, 0, wait},
		"unfit for another timeout":               {machine{want: on(2 * s), unfit: 3 * s}, 0, open},
		"a lease too short for any":               {machine{want: on(0)}, 0, wait},
		"guards that cannot be watched":           {machine{want: on(3 * s), blind: true}, 0, wait},
		"nothing owed":                            {holding(on(3 * s)), 0, ping},
		"a fresh lease":                           {holding(on(3 * s)), 105 * s, ping},
		"the last moment":                         {holding(on(3 * s)), 103*s - k, ping},
		"past it":                                 {holding(on(3 * s)), 103*s - k - 1, starve},
		"the lease has ended":                     {holding(on(3 * s)), 99 * s, starve},
		"pinged a moment ago":                     {waiting, 105 * s, wait},
		"pinged a moment ago, the last is near":   {waiting, 103*s - k, ping},
		"a shorter lease":                         {holding(on(1 * s)), 102 * s, retime},
		"a shorter lease, and it is late already": {holding(on(1 * s)), 100 * s, starve},
		"a longer lease, not granted yet":         {holding(on(6 * s)), 105 * s, ping},
		"a longer lease":                          {holding(on(6 * s)), 106 * s, retime},
		"a lease too short now":                   {holding(on(0)), 101 * s, disarm},
		"off":                                     {holding(&Wish{}), 105 * s, disarm},
		"leaving, while a guard is armed":         {leaving, 105 * s, ping},
		"leaving, while a guard is overdue":       {leaving, 99 * s, starve},
		"leaving, nothing owed":                   {leaving, 0, disarm},
	} {
		if got := tc.m.next(100*s, tc.owed); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestResetsInTime: whatever the leases do, the reset that the last ping put off comes by the end that was owed when it was
// pinged, + K; and while leases are renewed, also late, it never comes.
func TestResetsInTime(t *testing.T) {
	for _, renewed := range []time.Duration{500 * time.Millisecond, s, 2 * s} { // how often, and how late, a lease of 5 s arrives
		m := holding(on(3 * s))
		last, end := 150*s, time.Duration(0)
		for now := 100 * s; now < last+10*s; now = m.again(now, end) {
			if granted := now / renewed * renewed; granted <= last && granted-renewed+5*s > end {
				end = granted - renewed + 5*s // sent one period before
			}
			if m.next(now, end) == ping {
				m.pinged = now
			}
			reset := m.pinged + m.timeout
			if reset > end+platform.GuardKill {
				t.Fatalf("renewed every %s: at %s the host would reset at %s, the lease ends at %s", renewed, now, reset, end)
			}
			if now < last && reset <= now {
				t.Fatalf("renewed every %s: reset at %s, the lease ends at %s", renewed, now, end)
			}
		}
		if early := end + platform.GuardKill - m.pinged - m.timeout; early > 2*lookSoon {
			t.Errorf("renewed every %s: the reset comes %s before end + K: that is the guards' time to kill", renewed, early)
		}
	}
}
