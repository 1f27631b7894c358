package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestRecoverPastAnEarlierOne: what an earlier recovery left counts for nothing, be its snapshot of the same millisecond, or of a later one
// because the wall clock was set back since.
func TestRecoverPastAnEarlierOne(t *testing.T) {
	for name, left := range map[string]int{"at once": 0, "one of a later time": 1, "two of a later time": 2} {
		n := nodes(t, "c1")[0]
		bootstrapped(t, []*node{n})
		leaderOf(t, []*node{n}).say("alpha")
		n.kill()
		o := Options{Dir: n.dir, Name: n.name, Address: n.address}
		var last Survey
		for range 6 {
			var err error
			if last, err = Recover(o, &words{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, dir := range snapshotsOf(t, n)[:left] {
			postdate(t, dir)
		}
		if left > 0 {
			var err error
			if last, err = Recover(o, &words{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		n.start()
		kit.Within(t, 20*time.Second, name+": it leads under its own id", func() bool { return n.log.IsLeader() })
		if got := strings.Join(n.machine.all, " "); n.log.ID() != last.ID || got != "alpha" {
			t.Errorf("%s: id %s, want %s; it holds %q", name, n.log.ID(), last.ID, got)
		}
		n.kill()
	}
}

// snapshotsOf are the folders of a controller's snapshots.
func snapshotsOf(t *testing.T, n *node) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.dir, snapshotDir, "*"))
	kit.Check(t, err)
	return slices.DeleteFunc(found, func(dir string) bool { return strings.HasSuffix(dir, ".tmp") }) // which the next start removes
}

// postdate gives a snapshot the name of one that was written an hour later.
func postdate(t *testing.T, dir string) {
	t.Helper()
	id := filepath.Base(dir)
	at, err := strconv.ParseInt(id[strings.LastIndexByte(id, '-')+1:], 10, 64)
	kit.Check(t, err)
	later := id[:strings.LastIndexByte(id, '-')+1] + strconv.FormatInt(at+time.Hour.Milliseconds(), 10)
	meta := filepath.Join(dir, "meta.json")
	text, err := os.ReadFile(meta)
	kit.Check(t, err)
	kit.Check(t, os.WriteFile(meta, []byte(strings.Replace(string(text), id, later, 1)), 0o600))
	kit.Check(t, os.Rename(dir, filepath.Join(filepath.Dir(dir), later)))
}
