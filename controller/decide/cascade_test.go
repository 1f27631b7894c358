package decide

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestOneReplicaOfARemoteSiteStreamsFromThePrimary(t *testing.T) {
	for _, c := range []struct {
		name   string
		acks   int
		change func(*platform.Platform)
		member string // who is rerouted, "" for nobody
		from   string
	}{
		{"on the primary's site", 0, nil, "", ""},
		{"two of a remote site", 0, far, "m3", "m2"},
		{"the one of higher priority is the upstream", 0, func(p *platform.Platform) { far(p); p.Clusters[0].Members[2].Priority = 9 }, "m2",
			"m3"},
		{"commits may wait for both", 1, far, "", ""},
		{"commits wait for m2 alone", 1, func(p *platform.Platform) { far(p); p.Clusters[0].Members[2].NoAck = true }, "m3", "m2"},
	} {
		st := well(t, c.acks, c.change)
		cmd, _, _ := st.next()
		if c.member == "" {
			if cmd != nil {
				t.Errorf("%s: %s", c.name, body(cmd))
			}
			continue
		}
		if cmd == nil || cmd.Stream == nil || cmd.Stream.Member != c.member || cmd.Stream.From != c.from {
			t.Errorf("%s: %s", c.name, body(cmd))
			continue
		}
		st.apply(*cmd)
		if g := st.s.GoalOf("feed", c.member); g.Upstream == nil || g.Upstream.Member != c.from {
			t.Errorf("%s: its goal is to stream from %+v", c.name, g.Upstream)
		}
		st.waits()
	}
}

func cascaded(t *testing.T) *stage {
	st := well(t, 0, far)
	st.commits()
	if st.c().Upstreams["m3"] != "m2" {
		t.Fatalf("upstreams %v", st.c().Upstreams)
	}
	return st
}

func TestUpstreamLost(t *testing.T) {
	st := cascaded(t)
	st.members["m2"] = nil
	cmd := st.step(10e9)
	if cmd == nil || cmd.Stream == nil || cmd.Stream.Member != "m3" || cmd.Stream.From != "" {
		t.Fatalf("%s", body(cmd))
	}
	st.apply(*cmd)
	st.members["m2"] = &health.Member{Name: "m2", Data: health.DataPresent, Process: health.ProcessRunning,
		Role: health.RoleStandby, SystemID: "7", Epoch: ep(1), Timeline: 1,
		Position: 1000, PositionKnown: true, Incarnation: "m2_2", Guard: health.Guard{Complete: true},
		Receiver: &health.Receiver{Streaming: true}}
	cmd = st.step(10e9)
	if cmd == nil || cmd.Stream == nil || cmd.Stream.From == "" {
		t.Fatalf("back, and nobody relays: %s", body(cmd))
	}
}

// TestDataComesFromThePrimary: whose data is gone is not sent to an upstream for it.
func TestDataComesFromThePrimary(t *testing.T) {
	st := cascaded(t)
	st.members["m3"] = &health.Member{Name: "m3", Data: health.DataEmpty, Process: health.ProcessEnded, Guard: health.Guard{Complete: true}}
	st.later(0)
	if cmd := st.commits(); cmd.Stream == nil || cmd.Stream.Member != "m3" || cmd.Stream.From != "" {
		t.Fatalf("%s", body(cmd))
	}
	st.waits()
}

// TestBehindAnUpstreamSaysNothing: a replica that receives from another says nothing of the primary.
func TestBehindAnUpstreamSaysNothing(t *testing.T) {
	st := cascaded(t)
	st.crash()
	st.members["m1"] = nil
	st.members["m3"].Receiver = &health.Receiver{Streaming: true} // from m2, which keeps its connection
	cmd := st.step(4e9)
	if cmd == nil || cmd.Begin == nil {
		t.Fatalf("no failover: %s", body(cmd))
	}
}

// TestPrimaryAndUpstreamLost: the remaining replica looks for the primary itself, and counts as an observer then.
func TestPrimaryAndUpstreamLost(t *testing.T) {
	st := cascaded(t)
	st.crash()
	st.members["m1"], st.members["m2"] = nil, nil
	cmd := st.step(10e9)
	if cmd == nil || cmd.Stream == nil || cmd.Stream.Member != "m3" || cmd.Stream.From != "" {
		t.Fatalf("%s", body(cmd))
	}
	st.apply(*cmd)
	if cmd = st.step(10e9); cmd == nil || cmd.Begin == nil {
		t.Fatalf("no failover: %s", body(cmd))
	}
}

func TestWhoIsNeededStreamsFromThePrimary(t *testing.T) {
	st := cascaded(t)
	p := platformOf(1) // acks 1
	far(p)
	st.apply(state.Command{Platform: &state.SetPlatform{Platform: p}})
	if cmd := st.commits(); cmd.Stream == nil || cmd.Stream.From != "" {
		t.Fatalf("%s", body(cmd))
	}
	if cmd := st.commits(); cmd.Sets == nil || len(cmd.Sets.Names) != 2 {
		t.Fatalf("%s", body(cmd))
	}
}
