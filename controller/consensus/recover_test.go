package consensus

import (
	"errors"
	"strings"
	"testing"

	"mainstay/test/kit"
)

// TestRecover: one of three continues alone, under a new id, with all that it had; before that, Look changes nothing.
func TestRecover(t *testing.T) {
	all := nodes(t, "c1", "c2", "c3")
	bootstrapped(t, all)
	n := leaderOf(t, all)
	n.say("alpha")
	if err := n.log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.say("omega")
	old := n.log.ID()
	o := Options{Dir: n.dir, Name: n.name, Address: n.address}
	if _, err := Look(o, &words{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a look at a controller that runs: %v", err)
	}
	for _, other := range all {
		other.kill()
	}
	seen := &words{}
	s, err := Look(o, seen)
	if err != nil || s.ID != old || len(s.Servers) != 3 || s.Index == 0 || len(seen.all) < 2 || seen.all[len(seen.all)-1] != "omega" {
		t.Fatalf("%+v, %v, %v", s, err, seen.all)
	}
	var first Survey
	for range 2 { // the second as if the first had been cut short
		if first, err = Recover(o, &words{}); err != nil {
			t.Fatal(err)
		}
	}
	if first.ID == old || !strings.HasPrefix(first.ID, n.name+"-") {
		t.Errorf("its id is %s, it was %s", first.ID, old)
	}
	n.start()
	kit.Eventually(t, "it leads alone", func() bool { return n.log.IsLeader() })
	n.say("after")
	if servers, err := n.log.Servers(t.Context()); err != nil || len(servers) != 1 || servers[0].ID != first.ID {
		t.Errorf("%+v, %v", servers, err)
	}
	if got := n.machine.all; strings.Join(got[len(got)-3:], " ") != "alpha omega after" && strings.Join(got, " ") != "alpha omega after" {
		t.Errorf("it holds %v", got)
	}
}

func TestRecoverNeedsALog(t *testing.T) {
	n := nodes(t, "c1")[0]
	if _, err := Recover(Options{Dir: n.dir, Name: n.name, Address: "127.0.0.1:1"}, &words{}); err == nil ||
		!strings.Contains(err.Error(), "nothing to recover from") {
		t.Errorf("%v", err)
	}
	n.start()
	n.kill()
	if _, err := Recover(Options{Dir: n.dir, Name: n.name, Address: n.address}, &words{}); err == nil {
		t.Error("a log without entries was recovered")
	}
	if n.start(); n.log.IsLeader() {
		t.Error("it leads")
	}
}
