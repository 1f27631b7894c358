package machine

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func epoch(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

// at builds a machine in a state, armed for epoch 1.5 until 100 s.
func at(state State, peer bool) *Guard {
	m := &Guard{State: state, Peer: peer}
	if state != Idle {
		m.Epoch, m.End = epoch(5), 100*time.Second
	}
	return m
}

func TestExtend(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name      string
		m         *Guard
		epoch     platform.Epoch
		end, now  time.Duration
		code      Code
		wantState State
		wantEnd   time.Duration
	}{
		{"arms", at(Idle, true), epoch(5), 95 * s, 90 * s, "", Armed, 95 * s},
		{"arms not alone", at(Idle, false), epoch(5), 95 * s, 90 * s, NoPeer, Idle, 0},
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
		{"killed, alone", at(Killed, false), epoch(6), 105 * s, 101 * s, NoPeer, Killed, 100 * s},
	} {
		r := c.m.Extend(c.epoch, c.end, c.now)
		if code := codeOf(r); code != c.code || c.m.State != c.wantState || c.m.End != c.wantEnd {
			t.Errorf("%s: code %q, %s until %v; want %q, %s until %v", c.name, code, c.m.State, c.m.End, c.code, c.wantState, c.wantEnd)
		}
	}
}

func codeOf(r *Refusal) Code {
	if r == nil {
		return ""
	}
	return r.Code
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
		if code := codeOf(m.Exit(c.now)); code != c.exit || m.State != c.beforeDisarmAfterExit {
			t.Errorf("%s at %v: exit %q, then %s", c.state, c.now, code, m.State)
		}
		m = at(c.state, true)
		if code := codeOf(m.Disarm(c.now)); code != c.disarm || m.State != c.afterDisarm {
			t.Errorf("%s at %v: disarm %q, then %s", c.state, c.now, code, m.State)
		}
		if m.State == Idle && c.state == Armed {
			if code := codeOf(m.Extend(epoch(4), c.now+time.Second, c.now)); code != StaleEpoch {
				t.Errorf("after disarming, a lower epoch got %q", code)
			}
		}
	}
}

func TestPeerLost(t *testing.T) {
	for from, want := range map[State]State{Idle: Idle, Armed: Killing, Killing: Killing, Killed: Killed} {
		m := at(from, true)
		m.PeerLost()
		if m.State != want || m.Peer {
			t.Errorf("%s became %s (peer %v), want %s", from, m.State, m.Peer, want)
		}
	}
}
