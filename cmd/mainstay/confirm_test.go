package main

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// silent are the command lines of every verb that asks yes or no, each with what its leader answers before the question.
var silent = map[string]struct {
	args  []string
	ready func(b *bench, s *server) (args []string)
}{
	"mainstay apply": {[]string{"apply", "-f"}, func(b *bench, s *server) []string {
		s.answer("GET /v1/platform", http.StatusOK, wire.PlatformAnswer{Version: 7})
		return []string{b.write("p.yaml", platformText)}
	}},
	"mainstay approve": {[]string{"approve", "feed-7"}, func(_ *bench, s *server) []string {
		s.answer("GET /v1/status", http.StatusOK, waiting())
		return nil
	}},
	"mainstay controllers remove": {[]string{"controllers", "remove", "c3"}, func(_ *bench, s *server) []string {
		s.answer("GET /v1/controllers", http.StatusOK, wire.Controllers{Members: []wire.Controller{{Name: "c1"}, {Name: "c2"}, {Name: "c3"}}})
		return nil
	}},
	"mainstay switchover": {[]string{"switchover", "feed"}, func(_ *bench, s *server) []string {
		begins(s, "switchover")
		return nil
	}},
	"mainstay integrity repair": {[]string{"integrity", "repair", "feed-e2", "--relation", "orders", "--block", "4"},
		func(b *bench, s *server) []string {
			mends(b, s)
			return nil
		}},
	"mainstay local restore": {[]string{"local", "restore", "feed", "--backup", "feed-b1"}, func(b *bench, _ *server) []string {
		return []string{"-f", released(b), "--into", filepath.Join(b.home, "copy")}
	}},
	"mainstay site switchover": {[]string{"site", "switchover", "--to", "west"}, moves},
	"mainstay site retry":      {[]string{"site", "retry"}, moves},
	"mainstay site undo":       {[]string{"site", "undo"}, moves},
	"mainstay site continue":   {[]string{"site", "continue"}, moves},
}

func moves(_ *bench, s *server) []string {
	newMover(s, state.Running, haltedAtClusters())
	return nil
}

// TestSilenceIsNoConsent: a verb that would ask at a terminal refuses where it cannot ask, names the flag, and changes nothing.
func TestSilenceIsNoConsent(t *testing.T) {
	for _, c := range silent {
		b, s := leader(t)
		args := append(slices.Clone(c.args), c.ready(b, s)...)
		b.want(exitRefused, args, "there is no terminal to confirm on, so nothing was changed", "--dry-run", "add --yes", "![y/N]")
		for _, call := range s.all() {
			method, _, _ := strings.Cut(call, " ")
			if method != http.MethodGet && !strings.Contains(s.body(call), `"dryRun":true`) {
				t.Errorf("%s: %s %s", strings.Join(args, " "), call, s.body(call))
			}
		}
	}
}

// TestEveryVerbThatAsks: --yes belongs to the verbs above, and to those that make one type a name, whose own tests see them refuse.
func TestEveryVerbThatAsks(t *testing.T) {
	typed := []string{"mainstay controllers recover", "mainstay failover", "mainstay fence", "mainstay local mask", "mainstay local unmask",
		"mainstay member quarantine drop", "mainstay integrity clear", "mainstay integrity release", "mainstay backup drop"}
	never := []string{"mainstay unfence"} // it takes the flag for symmetry
	var walk func(*cobra.Command)
	seen := 0
	walk = func(c *cobra.Command) {
		_, asks := silent[c.CommandPath()]
		if c.Flags().Lookup("yes") != nil && !slices.Contains(never, c.CommandPath()) {
			seen++
			asks = asks || slices.Contains(typed, c.CommandPath())
			if !asks {
				t.Errorf("%s has --yes, and no test of what it does without a terminal", c.CommandPath())
			}
			if long := strings.Join(strings.Fields(c.Long), " "); !strings.Contains(strings.ToLower(long), "needs --yes") {
				t.Errorf("%s does not say in its help that it needs --yes without a terminal", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&program{}).root())
	if seen != len(silent)+len(typed) {
		t.Errorf("%d verbs ask", seen)
	}
}
