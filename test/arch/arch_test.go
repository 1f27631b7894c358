// Package arch checks the architecture: which package may import which, and which packages stay pure.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers: a package may import packages of lower layers, and of its own layer only where allowed says so.
var layers = map[string]int{
	"controller/platform": 0, "controller/boottime": 0, "controller/osuser": 0, "controller/priority": 0, "controller/crowd": 0,
	"controller/durable": 0, "controller/wakeup": 0, "controller/delta": 0, "controller/metric": 0,
	"health": 1, "fencing": 1, "controller/pgdial": 1, "fencing/process": 1, "fencing/program": 1,
	"controller/statefile": 1,
	"controller/state":     2, "controller/wire": 3, "fencing/guard/machine": 2,
	"controller/config": 3, "controller/decide": 3, "controller/member": 3, "controller/appserver": 3, "controller/consensus": 3,
	"controller/identity": 2,
	"controller/postgres": 3, "controller/postgres/ondisk": 1, "health/integrity/page": 1, "health/integrity": 3,
	"health/integrity/serverlog": 1,
	"health/integrity/compare":   4, "health/integrity/structure": 3,
	"health/probe": 3, "controller/operate": 3, "fencing/guard": 3,
	"health/backup/target": 2, "health/backup": 4, "health/backup/archive": 3, "health/backup/foreign": 2, "controller/backups": 5,
	"fencing/device": 3, "fencing/watchdog": 4, "controller/publish": 4, "controller/publish/sinktest": 5,
	"controller/loop": 4, "controller/apps": 4, "controller/quarantine": 4, "controller/supervisor": 5, "controller/agent": 6,
	"controller/api": 5,
	"controller":     6, "cmd/mainstay/render": 4, "cmd/mainstay": 7, "deploy/guide": 0,
}

// pure packages import neither clocks nor I/O, nor third-party code.
var pure = []string{"controller/platform", "health", "fencing", "controller/state", "controller/decide", "controller/member",
	"controller/appserver",
	"controller/postgres/ondisk", "health/integrity/page", "health/integrity/serverlog", "fencing/guard/machine"}

// impure standard packages, and why a pure package must not have them.
var impure = map[string]string{
	"os": "it would do I/O", "net": "it would do I/O", "net/http": "it would do I/O", "io/ioutil": "it would do I/O",
	"os/exec": "it would start processes", "context": "it would wait", "sync": "it would share memory between goroutines",
	"math/rand": "two controllers would decide differently", "crypto/rand": "two controllers would decide differently",
	"log": "the shell logs decisions", "database/sql": "it would do I/O",
}

// forbidden edges with their reasons, where the layers alone would allow them.
var forbidden = []struct{ from, to, why string }{
	{"controller/agent", "controller/consensus", "an agent obeys goals; it has no part in the log"},
	{"controller/agent", "controller/decide", "an agent obeys goals; it never decides for a cluster"},
	{"controller/supervisor", "controller/consensus", "an agent obeys goals; it has no part in the log"},
	{"controller/supervisor", "controller/decide", "an agent obeys goals; it never decides for a cluster"},
	{"controller/supervisor", "controller/identity", "the agent speaks with others; its supervisors speak with it, PostgreSQL and the guards"},
	{"controller/supervisor", "controller/apps", "app servers and members share a host and nothing else: neither may wait for the other"},
	{"controller/quarantine", "controller/apps", "app servers and members share a host and nothing else: neither may wait for the other"},
	{"controller/apps", "controller/consensus", "an agent obeys goals; it has no part in the log"},
	{"controller/apps", "controller/decide", "an agent obeys goals; it never decides for a pool"},
	{"controller/apps", "controller/member", "app servers and members share a host and nothing else: neither may wait for the other"},
	{"controller/apps", "controller/postgres", "app servers and members share a host and nothing else: neither may wait for the other"},
	{"controller/quarantine", "fencing/process", "what keeps discarded data starts and ends no process"},
	{"controller/quarantine", "controller/identity", "the agent's API judges who asks; the quarantine keeps data"},
	{"controller/decide", "controller/operate", "decisions and their execution meet only in the log"},
	{"test/invariant", "controller/decide", "what checks the decisions must not share their mistakes"},
	{"health/integrity/compare", "controller/postgres", "a check reads files: it must not start, stop or ask the server whose files they are"},
	{"health/integrity", "controller/postgres", "a check reads files: it must not start, stop or ask the server whose files they are"},
	{"controller/state", "controller/wire", "the state must not depend on how it is shown"},
	{"test/conform", "test/sim/world", "a script must not know which driver plays it, and the agent's tests play some"},
	{"test/sim/world", "controller/postgres", "a model is compared with the real part by test/conform, and has none of it inside"},
	{"test/sim/world", "controller/consensus", "a model is compared with the real part by test/conform, and has none of it inside"},
	{"test/sim/world", "fencing/device", "a model is compared with the real part by test/conform, and has none of it inside"},
	{"test/sim/world", "controller/agent", "a model is compared with the real part by test/conform, and has none of it inside"},
	{"test/sim/world", "controller/supervisor", "a model is compared with the real part by test/conform, and has none of it inside"},
	{"test/sim/world", "controller/apps", "a model is compared with the real part by test/conform, and has none of it inside"},
}

// only: packages that one other package may import, and why.
var only = []struct{ to, from, why string }{
	{"controller/apps", "controller/agent", "one process supervises a host's app servers, and it is the agent"},
	{"controller/supervisor", "controller/agent", "one process supervises a host's members, and it is the agent"},
	{"deploy/guide", "cmd/mainstay", "the guides are text for people: the command prints them, and nothing decides by them"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "mainstay/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func local(path string) (string, bool) { return strings.CutPrefix(path, "mainstay/") }

func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := local(p.ImportPath)
		if strings.HasPrefix(from, "test/") || strings.HasPrefix(from, "fencing/process/") {
			continue // tests import anything
		}
		level, known := layers[from]
		if !known {
			t.Errorf("%s has no layer; give it one in test/arch", from)
			continue
		}
		for _, i := range p.Imports {
			to, ours := local(i)
			if !ours {
				continue
			}
			if strings.HasPrefix(to, "test/") {
				t.Errorf("%s imports %s: nothing imports tests", from, to)
			} else if layers[to] >= level {
				t.Errorf("%s (layer %d) imports %s (layer %d): imports go down only", from, level, to, layers[to])
			}
		}
	}
}

func TestForbiddenEdges(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := local(p.ImportPath)
		for _, f := range forbidden {
			if from == f.from && slices.Contains(p.Imports, "mainstay/"+f.to) {
				t.Errorf("%s imports %s: %s", f.from, f.to, f.why)
			}
		}
	}
}

func TestOnlyImporter(t *testing.T) {
	all := packages(t)
	for _, o := range only {
		if !slices.ContainsFunc(all, func(p pkg) bool { return p.ImportPath == "mainstay/"+o.to }) {
			t.Errorf("there is no package %s", o.to)
		}
		for _, p := range all {
			from, _ := local(p.ImportPath)
			if from != o.from && !strings.HasPrefix(from, "test/") && slices.Contains(p.Imports, "mainstay/"+o.to) {
				t.Errorf("%s imports %s: only %s may: %s", from, o.to, o.from, o.why)
			}
		}
	}
}

// TestPurity does not cover the pure step of loop, which is in one package with its shell; TestNoClock checks its files.
func TestPurity(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := local(p.ImportPath)
		if !slices.Contains(pure, from) {
			continue
		}
		for _, i := range p.Imports {
			to, ours := local(i)
			switch {
			case impure[i] != "":
				t.Errorf("%s imports %s: %s", from, i, impure[i])
			case ours && !slices.Contains(pure, to):
				t.Errorf("%s is pure and imports %s, which is not", from, to)
			case !ours && strings.Contains(i, "."):
				t.Errorf("%s is pure and imports %s: no third-party code", from, i)
			}
		}
	}
}

// shell is the part of controller/loop around its pure step.
var shell = []string{"controller/loop/loop.go", "controller/loop/commit.go", "controller/loop/requests.go"}

// TestNoClock: now is an argument in pure code, and in the step of the loop.
func TestNoClock(t *testing.T) {
	var files []string
	for _, dir := range append([]string{"controller/loop"}, pure...) {
		found, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil || len(found) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, f := range found {
			if f = strings.TrimPrefix(f, "../../"); !strings.HasSuffix(f, "_test.go") && !slices.Contains(shell, f) {
				files = append(files, f)
			}
		}
	}
	for _, f := range files {
		text, err := os.ReadFile("../../" + f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"time.Now(", "time.Since(", "time.Sleep(", "time.After(", "time.NewTimer(", "go func"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s uses %s: now is an argument here", f, strings.TrimSuffix(word, "("))
			}
		}
	}
}
