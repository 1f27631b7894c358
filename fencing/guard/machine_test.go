package guard

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

func epoch(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

// at builds a machine in a state, armed for epoch 1.5 until 100 s.
func at(state State, twin bool) *machine {
	m := &machine{state: state, twin: twin}
	if state != Idle {
		m.epoch, m.end = epoch(5), 100*time.Second
	}
	return m
}

func TestExtend(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name      string
		m         *machine
		epoch     platform.Epoch
		end, now  time.Duration
		code      Code
		wantState State
		wantEnd   time.Duration
	}{
		{"arms", at(Idle, true), epoch(5), 95 * s, 90 * s, "", Armed, 95 * s},
		{"arms not alone", at(Idle, false), epoch(5), 95 * s, 90 * s, NoTwin, Idle, 0},
		{"no epoch", at(Idle, true), platform.Epoch{}, 95 * s, 90 * s, BadRequest, Idle, 0},
		{"ended before it came", at(Idle, true), epoch(5), 90 * s, 90 * s, Expired, Idle, 0},
		{"longer than any lease", at(Idle, true), epoch(5), 151 * s, 90 * s, BadRequest, Idle, 0},
		{"moves the end", at(Armed, true), epoch(5), 101 * s, 99 * s, "", Armed, 101 * s},
		{"never back", at(Armed, true), epoch(5), 99 * s, 98 * s, "", Armed, 100 * s},
		{"back for a higher epoch", at(Armed, true), epoch(6), 99 * s, 98 * s, "", Armed, 99 * s},
		{"lower epoch", at(Armed, true), epoch(4), 101 * s, 99 * s, StaleEpoch, Armed, 100 * s},
		{"lower generation", at(Armed, true), platform.Epoch{Number: 9}, 101 * s, 99 * s, StaleEpoch, Armed, 100 * s},
		{"at the end", at(Armed, true), epoch(5), 105 * s, 100 * s, Expired, Killing, 100 * s},
		{"after the end, higher epoch", at(Armed, true), epoch(6), 105 * s, 101 * s, Expired, Killing, 100 * s},
		{"while killing", at(Killing, true), epoch(6), 105 * s, 101 * s, Expired, Killing, 100 * s},
		{"killed, same epoch", at(Killed, true), epoch(5), 105 * s, 101 * s, Expired, Killed, 100 * s},
		{"killed, higher epoch", at(Killed, true), epoch(6), 105 * s, 101 * s, "", Armed, 105 * s},
		{"killed, alone", at(Killed, false), epoch(6), 105 * s, 101 * s, NoTwin, Killed, 100 * s},
	} {
		r := c.m.extend(c.epoch, c.end, c.now)
		if code := codeOf(r); code != c.code || c.m.state != c.wantState || c.m.end != c.wantEnd {
			t.Errorf("%s: code %q, %s until %v; want %q, %s until %v", c.name, code, c.m.state, c.m.end, c.code, c.wantState, c.wantEnd)
		}
	}
}

func codeOf(r *refusal) Code {
	if r == nil {
		return ""
	}
	return r.code
}

func TestDisarmAndExit(t *testing.T) {
	for _, c := range []struct {
		state                 State
		now                   time.Duration
		disarm                Code
		afterDisarm           State
		exit                  Code
		beforeDisarmAfterExit State
	}{
		{Idle, 1 * time.Second, "", Idle, "", Idle},
		{Armed, 99 * time.Second, "", Idle, StillArmed, Armed},
		{Armed, 100 * time.Second, Expired, Killing, StillArmed, Killing},
		{Killing, 101 * time.Second, Expired, Killing, StillArmed, Killing},
		{Killed, 101 * time.Second, "", Idle, "", Killed},
	} {
		m := at(c.state, true)
		if code := codeOf(m.exit(c.now)); code != c.exit || m.state != c.beforeDisarmAfterExit {
			t.Errorf("%s at %v: exit %q, then %s", c.state, c.now, code, m.state)
		}
		m = at(c.state, true)
		if code := codeOf(m.disarm(c.now)); code != c.disarm || m.state != c.afterDisarm {
			t.Errorf("%s at %v: disarm %q, then %s", c.state, c.now, code, m.state)
		}
		if m.state == Idle && c.state == Armed {
			if code := codeOf(m.extend(epoch(4), c.now+time.Second, c.now)); code != StaleEpoch {
				t.Errorf("after disarming, a lower epoch got %q", code)
			}
		}
	}
}

func TestTwinLost(t *testing.T) {
	for from, want := range map[State]State{Idle: Idle, Armed: Killing, Killing: Killing, Killed: Killed} {
		m := at(from, true)
		m.twinLost()
		if m.state != want || m.twin {
			t.Errorf("%s became %s (twin %v), want %s", from, m.state, m.twin, want)
		}
	}
}

func TestParseEpoch(t *testing.T) {
	if e, err := parseEpoch("3.17"); err != nil || e != (platform.Epoch{Generation: 3, Number: 17}) {
		t.Errorf("got %v, %v", e, err)
	}
	for _, bad := range []string{"", "1", "1.", ".1", "1.2.3", "1.2 ", " 1.2", "01.2", "-1.2", "1.x"} {
		if e, err := parseEpoch(bad); err == nil {
			t.Errorf("%q was read as %v", bad, e)
		}
	}
}

func TestBadConfig(t *testing.T) {
	const good = `{"member":"feed-e1","slot":"a","dir":"/run/mainstay/feed-e1","dataDir":"/data/feed","cgroup":"/sys/fs/cgroup/x"}`
	if _, err := readConfig(strings.NewReader(good + "\n")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no member":          {`"feed-e1","slot"`, `"","slot"`, "no member's name"},
		"member with slash":  {`"feed-e1","slot"`, `"a/b","slot"`, "no member's name"},
		"bad slot":           {`"a"`, `"c"`, "want a or b"},
		"no slot":            {`"slot":"a",`, ``, "want a or b"},
		"relative dir":       {`"/run/mainstay/feed-e1"`, `"run"`, "socket directory"},
		"unclean dir":        {`"/run/mainstay/feed-e1"`, `"/run/../x"`, "socket directory"},
		"long dir":           {`/run/mainstay`, "/" + strings.Repeat("x", 100), "107 bytes"},
		"no data directory":  {`"/data/feed"`, `""`, "data directory"},
		"root as data":       {`"/data/feed"`, `"/"`, "data directory"},
		"relative cgroup":    {`"/sys/fs/cgroup/x"`, `"x"`, "cgroup"},
		"unknown field":      {`"slot"`, `"lease":1,"slot"`, "not understood"},
		"wrong type":         {`"feed-e1","slot"`, `7,"slot"`, "not understood"},
		"not JSON":           {`{`, `<`, "not understood"},
		"something after it": {`}`, `} {}`, "followed by"},
		"too long":           {`feed-e1","slot`, strings.Repeat("x", maxLine) + `","slot`, "longer than"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if _, err := readConfig(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
		}
	}
	if _, err := readConfig(strings.NewReader("")); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
