package decide

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/health"
)

// TestWords is about the wording itself; the other tests of this package assert codes.
func TestWords(t *testing.T) {
	silence := Reason{Code: noReportFor, For: 1640 * time.Millisecond}
	for _, c := range []struct {
		why  Reason
		want string
	}{
		{Reason{}, ""},
		{Reason{Code: sealsAwaited, Names: []string{"m2", "m3"}}, "waiting for the seal of [m2 m3]"},
		{Reason{Code: behind, Number: 8, Other: "m3"}, "8 bytes behind m3"},
		{Reason{Code: notReplayed, At: 0x16B374D8, Past: 0x1_00000028}, "replayed to 0/16B374D8, not past the shutdown checkpoint at 1/28"},
		{Reason{Code: notSealed, Detail: " (start: it is stopped)"}, "not sealed yet (start: it is stopped)"},
		{Reason{Code: otherTimeline, Is: "9", Want: "1"}, "it is on timeline 9, the cluster on 1; wait for its repair"},
		{Reason{Code: connectionsHang, For: 2001 * time.Millisecond}, "its agent has had no answer to a new connection for 2001 ms"},
		{Reason{Code: notAMember, Cluster: "feed", Member: "m9", Names: []string{"m1", "m2"}}, "cluster feed has no member m9; it has m1, m2"},
		{Reason{Code: tooFewObservers, Number: 2, Of: 5, Names: []string{"c2"}, Because: []Reason{silence}},
			"no report for 1.6s, and too few observers answer to be sure (2 of 5; silent: c2)"},
		{Reason{Code: primaryFails, Member: "m1", Kind: health.PrimaryStuck, Because: []Reason{join(silence, Reason{Code: noMemberReady})}},
			"PrimaryStuck: m1, no report for 1.6s; no member that may take over is ready"},
		{join(Reason{Code: siteSilent, Other: "east", For: 2 * time.Second}, Reason{Code: soSay, Names: []string{"c2", "c3"}}),
			"no agent of site east has been heard for 2s; so say c2, c3"},
		{Reason{Code: tooFewCanBeSealed, Of: 2, Number: 1, Names: []string{"m2_2", "m3_3"},
			Because: []Reason{{Code: about, Member: "m3", Because: []Reason{{Code: agentNotHeard, Other: "h3", For: 3 * time.Second}}}}},
			"2 of (m2_2, m3_3) must be sealed, 1 can be (m3: its agent on h3 has not been heard for 3s)"},
		{Reason{Code: deviceWouldCut, Detail: "fence_ipmilan (level 1)", Want: "20s", Other: "h1", Names: []string{"m1"}},
			"by fence_ipmilan (level 1), if it answers (given up after 20s); this ends everything on h1: m1"},
		{Reason{Code: aheadOfBest, At: 0x20, Because: []Reason{{Code: mayNotLead}}},
			"may-lead is false; set it to true to allow it (it is ahead, at 0/20)"},
	} {
		if got := c.why.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.why.Code, got, c.want)
		}
	}
}

// TestCodes: every code is named as its variable, its words hold only values that a reason has, and some rule gives it.
func TestCodes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "words.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	code, seen := rules(t), 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		seen++
		name, values := v.Names[0].Name, v.Values[0].(*ast.CompositeLit).Elts
		if got := text(t, values[0]); got != strings.ToUpper(name[:1])+name[1:] {
			t.Errorf("%s is named %s", name, got)
		}
		for _, key := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(text(t, values[1]), -1) {
			if (Reason{}).value(key[1]) == key[0] {
				t.Errorf("%s: a reason has no %s", name, key[0])
			}
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(code) {
			t.Errorf("no rule gives %s", name)
		}
		return false
	})
	if seen < 100 {
		t.Errorf("words.go has %d codes", seen)
	}
}

// rules is the source of the package, without its words.
func rules(t *testing.T) string {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || path == "words.go" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// text is a string literal, or a sum of some.
func text(t *testing.T, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return text(t, e.X) + text(t, e.Y)
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatalf("not a literal: %T", e)
	return ""
}
