package state

import (
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func recovered(t *testing.T, acks int) *State {
	return Recovered(bootstrapped(t, acks), []string{"c1", "c2"}, 0, "abc", "root", "fire", "2026-01-01T00:00:00Z")
}

func TestRecoveredBeginsAGeneration(t *testing.T) { // S3
	old := bootstrapped(t, 2)
	before := text(old)
	s := Recovered(old, []string{"c1"}, 0, "abc", "root", "fire", "now")
	if text(old) != before {
		t.Error("the old state was changed")
	}
	c, was := s.Clusters["feed"], old.Clusters["feed"]
	if s.Generation != 2 || len(s.Lost) != 1 || !c.Unconfirmed || c.Guarded || c.Attempt != nil {
		t.Errorf("%+v", c)
	}
	if c.HighTimeline <= was.HighTimeline+1 || c.HighIncarnation <= was.HighIncarnation+1 || c.HighSet <= was.HighSet+1 {
		t.Error("numbers that the lost controllers may have used would be used twice")
	}
	// Whatever was loaded before: nothing, one acknowledgement, or two.
	if len(c.Sets) != 3 || c.Sets[0].Acks != 0 || c.Sets[1].Acks != 1 || c.Sets[2].Acks != 2 || len(c.Sets[2].Names) != 2 {
		t.Errorf("sets %+v", c.Sets)
	}
	if op := c.Operations[len(c.Operations)-1]; op.Kind != Recovery || op.By != "root" || !strings.Contains(op.Reason, "fire") {
		t.Errorf("%+v", op)
	}
}

// A set never asks for more acknowledgements than there are replicas that may give one: every commit would wait.
func TestRecoveredWithFewReplicas(t *testing.T) { // S8
	old := bootstrapped(t, 2)
	old.ClusterConfig("feed").Members[2].NoAck = true
	s := Recovered(old, []string{"c1"}, 0, "abc", "root", "fire", "now")
	for _, set := range s.Clusters["feed"].Sets {
		if set.Acks > len(set.Names) {
			t.Errorf("%+v", set)
		}
	}
	if n := len(s.Clusters["feed"].Sets); n != 2 {
		t.Errorf("%d sets", n)
	}
}

// A site switchover ends with the generation, and no controller resumes the app servers that it has quiesced: the outcome says so.
func TestRecoveredInASiteSwitchover(t *testing.T) {
	s := bootstrapped(t, 1)
	s.Changes = []Operation{{ID: "site-1", Kind: SiteSwitchover, Result: Running}}
	s.Change = &SiteChange{ID: "site-1", Version: 1, To: "west",
		Answers: map[string]Answer{"quiesce web3": {OK: true}, "quiesce web2": {OK: true},
			"quiesce web1": {OK: true}, "quiesce web4": {Detail: "no"}, "resume web2": {OK: true}, "resume web3": {Detail: "no"}}}
	s = Recovered(s, nil, 0, "def", "root", "fire", "now")
	if op := s.Changes[0]; s.Change != nil || op.Result != Failed || !strings.HasSuffix(op.Outcome, "call each one's resume URL: web1, web3") {
		t.Errorf("%+v", op)
	}
}

// TestUnconfirmedPromotions: no seal, no lease's end and no position proves anything about an epoch of the lost controllers.
func TestUnconfirmedPromotions(t *testing.T) { // S4
	next := platform.Epoch{Generation: 2, Number: 2}
	sealed := []Sealed{{Member: "m2", Incarnation: "m2_2", Timeline: 1, Position: 100, Known: true},
		{Member: "m3", Incarnation: "m3_3", Timeline: 1, Position: 90, Known: true}}
	promote := func(kind fencing.Kind, change func(*Promote)) Command {
		p := &Promote{Attempt: next, Member: "m2", Timeline: 500, Proof: fencing.Proof{Kind: kind, Epoch: ep(1)}, Sealed: sealed}
		if change != nil {
			change(p)
		}
		return onFeed(Command{Promote: p})
	}
	begun := run(t, recovered(t, 1), failover())
	refused(t, begun, promote(fencing.QuorumSealed, nil), "so quorum-sealed is not a proof")
	refused(t, begun, promote(fencing.LeaseExpired, nil), "so lease-expired is not a proof")
	refused(t, begun, promote(fencing.Stopped, nil), "no position shows completeness")
	run(t, begun, promote(fencing.Stopped, func(p *Promote) { p.Clean = true }))
	run(t, begun, promote(fencing.Stopped, func(p *Promote) { p.Member, p.Timeline = "m1", 1 }))
	word := onFeed(Command{Advance: &Advance{Attempt: next, Phase: PhaseSeal,
		Accepted: &Acceptance{By: "alice", Fence: true, Completeness: true}}})
	s := run(t, begun, word, promote(fencing.Operator, nil))
	if c := s.Clusters["feed"]; c.Unconfirmed || c.Epoch != next {
		t.Errorf("%+v", c)
	}
}

func TestReaffirm(t *testing.T) {
	s := recovered(t, 1)
	again := onFeed(Command{Reaffirm: &Reaffirm{Epoch: ep(1)}})
	s = run(t, s, again)
	c := s.Clusters["feed"]
	if c.Unconfirmed || c.Guarded || c.Epoch.Generation != 2 || c.Primary != "m1" {
		t.Errorf("%+v", c)
	}
	refused(t, s, again, "not in force")
	refused(t, s, onFeed(Command{Reaffirm: &Reaffirm{Epoch: c.Epoch}}), "already confirmed")
	bound := onFeed(Command{Reaffirm: &Reaffirm{Epoch: c.Epoch, GuardsArmed: true}})
	refused(t, recovered(t, 1), onFeed(Command{Reaffirm: &Reaffirm{Epoch: ep(1), GuardsArmed: true}}), "is not waiting for its guards")
	refused(t, run(t, s, paused()), bound, "is not waiting for its guards") // the end of the pause tells
	// A failover begins before the primary has heard of its new epoch: its old lease may be renewed by promises to sets of before.
	n := platform.Epoch{Generation: 2, Number: c.HighEpoch + 1}
	expired := onFeed(Command{Promote: &Promote{Attempt: n, Member: "m2", Timeline: c.HighTimeline + 1, Guarded: true,
		Proof: fencing.Proof{Kind: fencing.LeaseExpired, Epoch: c.Epoch},
		Sealed: []Sealed{{Member: "m2", Incarnation: "m2_2", Timeline: 1, Position: 100, Known: true},
			{Member: "m3", Incarnation: "m3_3", Timeline: 1, Position: 90, Known: true}}}})
	refused(t, run(t, s, failover()), expired, "without both guards")
	s = run(t, s, bound)
	if c := s.Clusters["feed"]; !c.Guarded || c.AwaitsGuards {
		t.Errorf("%+v", c)
	}
	run(t, s, failover(), expired)
	refused(t, recovered(t, 1), onFeed(Command{Reaffirm: &Reaffirm{Epoch: ep(7)}}), "not in force")
	refused(t, run(t, recovered(t, 1), failover()), again, "is running")
}

// The next generation is above whatever agents were heard to obey, and has a mark that tells it from others of its number (S1, S3).
func TestGenerationOfARecovery(t *testing.T) {
	s := bootstrapped(t, 1)
	for heard, want := range map[uint64]uint64{0: 2, 1: 2, 2: 3, 6: 7} {
		if next := Recovered(s, nil, heard, "abc", "root", "fire", "now"); next.Generation != want || next.Mark != "abc" || s.Mark != "" {
			t.Errorf("heard of %d: generation %d, mark %q", heard, next.Generation, next.Mark)
		}
	}
}
