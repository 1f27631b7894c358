package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

func withDevice(p *platform.Platform) {
	p.Hosts[0].Fence = []platform.FenceDevice{{Agent: "fence_ipmilan", Timeout: 20 * time.Second, Level: 1}}
}

func outlooks(st *stage) map[fencing.Kind]Outlook {
	all := map[fencing.Kind]Outlook{}
	for _, o := range Outlooks(st.input(), "feed") {
		all[o.Kind] = o
	}
	return all
}

func TestOutlooks(t *testing.T) { // S4
	const yes, no = true, false
	for _, c := range []struct {
		name     string
		acks     int
		platform func(*platform.Platform)
		change   func(*stage)
		kind     fencing.Kind
		possible bool
		why      Code
	}{
		{"the agent answers", 1, nil, nil, fencing.Stopped, yes, agentWouldStop},
		{"the host is silent", 1, nil, (*stage).vanish, fencing.Stopped, no, agentNotHeard},
		{"closed already, and silent since", 1, nil, func(st *stage) { st.crash(); st.later(0); st.members["m1"] = nil; st.later(time.Minute) },
			fencing.Stopped, yes, epochClosed},
		{"acks 1", 1, nil, nil, fencing.QuorumSealed, yes, canBeSealed},
		{"acks 0", 0, nil, nil, fencing.QuorumSealed, no, commitsNeedNoReplica},
		{"acks 1, one of two is gone", 1, nil, func(st *stage) { st.members["m3"] = nil; st.later(3 * time.Second) },
			fencing.QuorumSealed, no, agentNotHeard},
		{"acks 1, one of two does not run", 1, nil, func(st *stage) {
			st.members["m3"].Process, st.members["m3"].Doing = health.ProcessEnded, "start: it is stopped"
		},
			fencing.QuorumSealed, no, notSealed},
		{"an older list has acks 0", 1, nil, func(st *stage) {
			st.c().Sets = append([]platform.DurabilitySet{{ID: 1, Epoch: st.c().Epoch}}, st.c().Sets...)
		},
			fencing.QuorumSealed, no, commitsNeedNoReplica},
		{"an older list counts on one that is gone", 1, nil, func(st *stage) {
			newer := st.c().Sets[len(st.c().Sets)-1]
			newer.ID, newer.Names = newer.ID+1, []string{"m2_2"}
			st.c().Sets = append(st.c().Sets, newer)
			st.members["m3"] = nil
			st.later(3 * time.Second)
		},
			fencing.QuorumSealed, no, tooFewCanBeSealed},
		{"guarded", 1, nil, nil, fencing.LeaseExpired, yes, guardsEndIt},
		{"not guarded", 1, nil, func(st *stage) { st.c().Guarded = false }, fencing.LeaseExpired, no, grantedUnguarded},
		{"one may promise, acks 1", 1, nil, func(st *stage) { st.members["m3"] = nil; st.later(3 * time.Second) },
			fencing.LeaseExpired, no, tooFewForPromises},
		{"all may promise, acks 0", 0, nil, func(st *stage) { st.members["m2"], st.members["m3"] = nil, nil; st.later(3 * time.Second) },
			fencing.LeaseExpired, no, unsealedMayPromise},
		{"paused", 1, nil, func(st *stage) {
			st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "anna"}}}))
		},
			fencing.LeaseExpired, no, guardsPaused},
		{"no device", 1, nil, nil, fencing.PoweredOff, no, noFenceDevice},
		{"a device", 1, withDevice, nil, fencing.PoweredOff, yes, deviceWouldCut},
		{"an operator", 0, nil, (*stage).vanish, fencing.Operator, yes, operatorMaySay},
	} {
		st := well(t, c.acks, c.platform)
		if c.change != nil {
			c.change(st)
			st.report()
		}
		o := outlooks(st)[c.kind]
		if o.Possible != c.possible || !o.Why.has(c.why) {
			t.Errorf("%s: %s possible %t: %s; want %t: %s", c.name, c.kind, o.Possible, o.Why, c.possible, c.why)
		}
		if !o.Possible && o.About != 0 {
			t.Errorf("%s: %s is not possible, but takes %s", c.name, c.kind, o.About)
		}
	}
}

// What a proof takes follows from the lease and from what was promised.
func TestOutlookTimes(t *testing.T) {
	st := well(t, 1, withDevice)
	all := outlooks(st)
	if got := all[fencing.LeaseExpired].About; got != platform.CountOut(lease) {
		t.Errorf("lease-expired takes %s, want the count-out", got)
	}
	if got := all[fencing.QuorumSealed].About; got != sealTime {
		t.Errorf("quorum-sealed takes %s", got)
	}
	st.members["m2"].Promised = 4000 // L5
	st.report()
	if got := outlooks(st)[fencing.QuorumSealed].About; got != 4*time.Second+sealTime {
		t.Errorf("quorum-sealed takes %s while m2 keeps a promise for 4s", got)
	}
	if got := outlooks(st)[fencing.LeaseExpired].About; got != platform.CountOut(lease) {
		t.Errorf("lease-expired takes %s, want the count-out, which is longer than the promise", got)
	}
	st.members["m2"].Promised = 20_000
	st.report()
	if got := outlooks(st)[fencing.LeaseExpired].About; got != 20*time.Second+sealTime {
		t.Errorf("lease-expired takes %s while m2 keeps a promise for 20s", got)
	}
}

// The longest of several promises is what a predicted failover waits for.
func TestPredictionWaitsForPromises(t *testing.T) {
	st := well(t, 1, nil)
	free := Predict(st.input(), "feed", PrimaryCrashed)
	st.members["m2"].Promised, st.members["m3"].Promised = 4000, 1000
	st.report()
	if got := Predict(st.input(), "feed", PrimaryCrashed); got.About-free.About != 4*time.Second {
		t.Errorf("about %s, and %s without promises", got.About, free.About)
	}
}

// The proof that the engine comes to when the primary dies is one of those that were said to be possible, and where none
// but an operator's word is, nobody is promoted.
func TestOutlooksAgreeWithTheEngine(t *testing.T) {
	for _, acks := range []int{0, 1, 2} {
		for _, guarded := range []bool{true, false} {
			for _, missing := range [][]string{nil, {"m3"}, {"m2", "m3"}} {
				st := well(t, acks, nil)
				st.c().Guarded = guarded
				for _, m := range missing {
					st.members[m] = nil
				}
				st.later(time.Minute)
				crashed := Predict(st.input(), "feed", PrimaryCrashed)
				if o := outlooks(st)[crashed.Proof]; crashed.Promote != "" && !o.Possible {
					t.Errorf("acks %d, guarded %t, without %v: crashed, proof %s, which is said not to be possible: %s", acks, guarded,
						missing, crashed.Proof, o.Why)
				}
				st.vanish()
				lost, all := Predict(st.input(), "feed", HostLost), outlooks(st)
				sealed, expired := all[fencing.QuorumSealed].Possible, all[fencing.LeaseExpired].Possible
				if promoted := lost.Promote != ""; promoted && !all[lost.Proof].Possible || !sealed && !expired && promoted {
					t.Errorf("acks %d, guarded %t, without %v: host lost, %+v, and the outlooks are %+v", acks, guarded, missing, lost, all)
				}
			}
		}
	}
	if st := beforeBootstrap(t, 1, nil); Outlooks(st.input(), "feed") != nil {
		t.Error("there is something to fence before there is a primary")
	}
}

// An outlook is looked at from outside: it must not seal anybody.
func TestOutlooksChangeNothing(t *testing.T) {
	st := well(t, 1, nil)
	Outlooks(st.input(), "feed")
	if m := st.view.Member(st.s.ClusterConfig("feed").Member("m2")); !m.Sealed.IsZero() || st.c().Attempt != nil {
		t.Errorf("m2 is sealed for %s, attempt %+v", m.Sealed, st.c().Attempt)
	}
}
