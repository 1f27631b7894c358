package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// losing are words that once stood for something here, and those that do now. The glossary of controller/platform has the latter.
var losing = map[string]string{
	"birth": "bootstrap", "unborn": "before the bootstrap", "minder": "supervisor", "tenure": "resume record", "lane": "task",
	"keeper": "launcher", "stopwatch": "conditions", "vouch": "promise", "vouched": "promised", "vouches": "promises", "vouching": "promises",
	"foretold": "hypothetical", "imagined": "hypothetical", "rival": "other run", "minders": "supervisors", "lanes": "tasks",
	"twin": "peer", "twins": "peers", "vote": "observation", "votes": "observations", "nobody": "no member, no controller, no agent",
	"whoever":  "the member, the controller, the agent that",
	"doubtful": "unconfirmed", "barred": "refused", "unbind": "disarm", "unbound": "not armed", "owing": "left armed",
	"estate": "apps", "estates": "apps", "plot": "fault in several steps", "plots": "faults in several steps", "blow": "failure",
	"blows": "fails", "speechless": "unanswered", "strangers": "newcomers, other members",
}

// lostNames are what names once contained, in small letters, and what they contain now. The single words have other meanings too.
var lostNames = map[string]string{
	"inarow": "failures", "comeback": "endReleases", "fromrelay": "fromUpstream", "siteword": "siteDecision", "sitegone": "siteLost",
	"goneapps": "removedApps", "askwitness": "askReachable", "witnesserror": "reachableError",
	"failoverwitness": "reachableBy", "waitfornobody": "until no process is left", "barredfrom": "watchdogRefuses",
	"applybind":   "applyAgentRun",
	"guardsbound": "guardsArmed", "strangerabove": "OtherChangerAbove", "strangererror": "OtherMembersGuardError",
}

// idioms are phrases that messages, comments and guides once had, and what they say now.
var idioms = map[string]string{"under way": "is running", "goes on": "continues", "go on": "continue", "by itself": "automatically",
	"is to be": "must be, will be", "are to be": "must be, will be", "was to be": "had to be", "looked at": "read, checked, compared",
	"whoever": "the member, the agent that", "somebody": "a session, an operator", "anybody": "any member, any operator",
	"of late":     "recently",
	"looks after": "manages", "look after": "manage", "let go": "release", "as a witness": "reachability check",
	"witness app": "the app of failover.reachable-by"}

// meant are folders where such a word has its usual meaning.
var meant = map[string][]string{
	"vote":  {"controller/consensus"}, // raft's
	"votes": {"controller/consensus"},
	"twin":  {"controller/consensus", "test/sim"}, // two stores with the same content; a copied host
	"twins": {"controller/consensus", "test/sim"},

	"nobody": {"controller/osuser", "controller/priority", "fencing/guard"}, // the system's user of that name

	"doubtful": {"health/integrity/structure"}, // a finding that is no proof of damage
	"barred":   {"test/sim"},                   // for how long promises bar a seal
}

var part = regexp.MustCompile(`[A-Z]?[a-z]+`)

// lost is the losing word among the parts of a name, "" for none.
func lost(name, dir string) string {
	for _, p := range part.FindAllString(name, -1) {
		word := strings.ToLower(p)
		if losing[word] != "" && !slices.ContainsFunc(meant[word], func(in string) bool { return dir == in || strings.HasPrefix(dir, in+"/") }) {
			return word
		}
	}
	return ""
}

// lostName is what a name must no longer contain, "" for nothing.
func lostName(name string) string {
	small := strings.ToLower(name)
	for was := range lostNames {
		if strings.Contains(small, was) {
			return was
		}
	}
	return ""
}

// TestOneWordForOneThing: names are the words of the glossary.
func TestOneWordForOneThing(t *testing.T) {
	found := 0
	for _, root := range []string{"cmd", "controller", "health", "fencing", "test"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))
			ast.Inspect(file, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if !ok {
					return true
				}
				found++
				if word := lost(id.Name, dir); word != "" {
					t.Errorf("%s: %s: the word is %s", files.Position(id.Pos()), id.Name, losing[word])
				}
				if was := lostName(id.Name); was != "" {
					t.Errorf("%s: %s: the name is %s", files.Position(id.Pos()), id.Name, lostNames[was])
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no name was looked at")
	}
}

// said is where a losing word means something else, or is sent.
var said = []string{"without a vote", "forgotten votes", "a vote in term", "then votes", "POST /v1/votes", "the keeper that ends"}

// idiomIn is the first idiom in a text, over line ends too; "" for none.
func idiomIn(text string) string {
	return strings.ToLower(idiom.FindString(strings.Join(strings.Fields(text), " ")))
}

var idiom = regexp.MustCompile(`(?i)\b(` + strings.Join(slices.Sorted(maps.Keys(idioms)), "|") + `)\b`)

// TestGuidesUseTheWords: guides have none of the idioms.
func TestGuidesUseTheWords(t *testing.T) {
	pages, err := filepath.Glob("../../deploy/guide/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if found := idiomIn(string(text)); found != "" {
			t.Errorf("%s has %q: say %s", page, found, idioms[found])
		}
	}
}

// TestMessagesUseTheWords: so do messages, and comments have no idiom. What is stored or sent is no sentence, and keeps its name.
func TestMessagesUseTheWords(t *testing.T) {
	found := 0
	for _, root := range []string{"cmd", "controller", "health", "fencing"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				return err
			}
			dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))
			for _, c := range file.Comments {
				if idiom := idiomIn(c.Text()); idiom != "" {
					t.Errorf("%s: the comment has %q: say %s", files.Position(c.Pos()), idiom, idioms[idiom])
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING || strings.HasPrefix(lit.Value, "`json:") {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil || !strings.Contains(text, " ") {
					return true
				}
				found++
				for _, phrase := range said {
					text = strings.ReplaceAll(text, phrase, "")
				}
				if idiom := idiomIn(text); idiom != "" {
					t.Errorf("%s: %q: say %s", files.Position(lit.Pos()), text, idioms[idiom])
				}
				if word := lost(text, dir); word != "" && !strings.HasPrefix(word, "vouch") {
					t.Errorf("%s: %q: the word is %s", files.Position(lit.Pos()), text, losing[word])
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no message was looked at")
	}
}
