package agent

import (
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/wire"
)

// Of two controllers that were recovered by themselves, while both were stopped, an agent obeys the one that it heard first; a later
// generation ends that (S1). Else members would be led by two groups, whose epochs and leases do not know of each other.
func TestOneOfTwoRecoveries(t *testing.T) {
	home, err := openHome(t.TempDir(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer home.close()
	a := &Agent{home: home, log: zap.NewNop()}
	for _, c := range []struct {
		platform   string
		generation uint64
		mark       string
		obeyed     bool
	}{
		{"p", 1, "", true}, {"p", 2, "one", true}, {"p", 2, "other", false}, {"p", 2, "", false}, {"p", 1, "", false}, {"p", 2, "one", true},
		{"q", 3, "one", false}, {"p", 3, "last", true}, {"p", 2, "one", false},
	} {
		if got := a.trusts(&wire.ReportAnswer{PlatformID: c.platform, Generation: c.generation, Mark: c.mark}); got != c.obeyed {
			t.Errorf("generation %d %q of %s: obeyed %v", c.generation, c.mark, c.platform, got)
		}
	}
	if kept, err := home.bond(); err != nil || kept != (bond{"p", 3, "last"}) {
		t.Errorf("on disk: %+v, %v", kept, err)
	}
}
