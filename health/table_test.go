package health

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kinds are the constants of type Kind in this package's source.
func kinds(t *testing.T) (found []Kind) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Kind" || len(spec.Values) == 0 {
				return true
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil || value != spec.Names[0].Name {
				t.Errorf("%s is called %q: the operator's word is the constant's name", spec.Names[0], value)
			}
			found = append(found, Kind(value))
			return true
		})
	}
	return found
}

func TestEveryKindHasOneRow(t *testing.T) {
	rows := map[Kind]int{}
	for _, d := range Descriptions() {
		rows[d.Kind]++
	}
	constants := kinds(t)
	for _, k := range constants {
		if rows[k] != 1 {
			t.Errorf("%s has %d rows in the table of problems; give it one", k, rows[k])
		}
		delete(rows, k)
	}
	if len(constants) == 0 || len(rows) > 0 {
		t.Errorf("%d constants; rows without a constant: %v", len(constants), rows)
	}
}

func TestRowsAreComplete(t *testing.T) {
	severities := []Severity{Critical, Warning, Info}
	subjects := []Subject{aboutCluster, aboutMember, aboutApp, aboutInstance, aboutSite, aboutHost, AboutController, AboutBackups}
	sentence := regexp.MustCompile(`^[A-Z].*\.$`)
	last := 0
	for _, d := range Descriptions() {
		at := slices.Index(severities, d.Severity)
		if at < last {
			t.Errorf("%s is %q, below a milder one: the table goes from the worst to the mildest", d.Kind, d.Severity)
		}
		last = at
		if !slices.Contains(subjects, d.About) {
			t.Errorf("%s is about %q", d.Kind, d.About)
		}
		for _, text := range []string{d.Meaning, d.Remedy} {
			if !sentence.MatchString(text) || strings.ContainsAny(text, "|\n") || strings.Count(text, "`")%2 != 0 {
				t.Errorf("%s: %q: want sentences that fit a cell of a table", d.Kind, text)
			}
		}
		if d.Next != "" && !strings.HasPrefix(d.Next, "mainstay ") {
			t.Errorf("%s: next %q is no command of mainstay", d.Kind, d.Next)
		}
	}
}

func TestWorse(t *testing.T) {
	got := []Kind{"Unheard", PendingRestart, AppPoolShort, PrimaryCorrupt, ClonedMachine, PrimarySaturated, TwoPrimaries}
	slices.SortStableFunc(got, Worse)
	want := []Kind{TwoPrimaries, PrimaryCorrupt, AppPoolShort, PrimarySaturated, "Unheard", ClonedMachine, PendingRestart}
	if !slices.Equal(got, want) {
		t.Errorf("sorted %v, want %v", got, want)
	}
	if _, known := Describe("Unheard"); known || Kind("Unheard").Severity() != Warning {
		t.Error("an unknown kind is a warning, and not described")
	}
}

var update = flag.Bool("update", false, "write the table of problems into the runbook")

// TestRunbook: the guide's table of problems is this one.
func TestRunbook(t *testing.T) {
	const begin, end = "<!-- problems -->\n", "<!-- end -->\n"
	file := "../deploy/guide/runbook.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s: want the table of problems between the lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	if want := before + begin + Runbook() + end + after; want != string(text) {
		if !*update {
			t.Errorf("%s has another table of problems than package health; regenerate it: go test ./health -run TestRunbook -update", file)
		} else if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, d := range Descriptions() {
		section := regexp.MustCompile(`under "([^"]+)"`).FindStringSubmatch(d.Remedy)
		if section != nil && !strings.Contains(before+after, section[1]) {
			t.Errorf("%s sends the reader to %q, which %s does not have", d.Kind, section[1], file)
		}
	}
}
