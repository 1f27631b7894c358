package arch

import (
	"encoding"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/appserver"
	"mainstay/controller/member"
	"mainstay/controller/publish"
	"mainstay/controller/state"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/health/backup"
	"mainstay/health/integrity/compare"
)

var update = flag.Bool("update", false, "write testdata/encodings.txt again")

// encoded are what is stored or sent, under names of their own: a type may be renamed, its JSON may not.
var encoded = []struct {
	name  string
	value any
}{
	{"snapshot", state.State{}},
	{"command", state.Command{}},
	{"report", health.Report{}},
	{"agent server log", supervisor.KeptLog{}},
	{"votes", health.Observations{}},
	{"agent member", member.Durable{}},
	{"agent resume", member.Resume{}},
	{"agent app server", appserver.Durable{}},
	{"topology", publish.Topology{}},
	{"app topology", publish.AppTopology{}},
	{"identity", wire.Identity{}},
	{"wake", wire.Wake{}},
	{"error", wire.Error{}},
	{"report request", wire.ReportRequest{}},
	{"report answer", wire.ReportAnswer{}},
	{"promise answer", wire.PromiseAnswer{}},
	{"lease answer", wire.LeaseAnswer{}},
	{"status", wire.Status{}},
	{"explain", wire.ExplainAnswer{}},
	{"history", wire.HistoryAnswer{}},
	{"platform", wire.PlatformAnswer{}},
	{"apply", wire.ApplyRequest{}},
	{"apply answer", wire.ApplyAnswer{}},
	{"switchover", wire.SwitchoverRequest{}},
	{"failover", wire.FailoverRequest{}},
	{"site switchover", wire.SiteSwitchoverRequest{}},
	{"site word", wire.SiteDecisionRequest{}},
	{"fence", wire.FenceRequest{}},
	{"integrity clear", wire.ClearRequest{}},
	{"integrity release", wire.ReleaseRequest{}},
	{"integrity repair", wire.RepairRequest{}},
	{"backup request", wire.BackupRequest{}},
	{"backups", wire.Backups{}},
	{"mend request", wire.MendRequest{}},
	{"mend plan", wire.MendPlan{}},
	{"page request", compare.PageRequest{}},
	{"page", compare.PageAnswer{}},
	{"integrity answer", wire.IntegrityAnswer{}},
	{"compare", wire.CompareRequest{}},
	{"compare list", compare.ListRequest{}},
	{"compare listing", compare.Listing{}},
	{"compare read", compare.Request{}},
	{"compare pages", compare.Answer{}},
	{"compare transactions", compare.StatusRequest{}},
	{"compare status", compare.StatusAnswer{}},
	{"fence state", wire.FenceState{}},
	{"pause", wire.PauseRequest{}},
	{"operation answer", wire.OperationAnswer{}},
	{"confirmed", wire.Confirmed{}},
	{"controllers", wire.Controllers{}},
	{"controllers init", wire.InitRequest{}},
	{"controllers add", wire.AddController{}},
	{"controllers transfer", wire.TransferRequest{}},
	{"quarantine", wire.Quarantine{}},
	{"quarantine piece", wire.PieceAnswer{}},
	{"quarantine drop", wire.DropRequest{}},
	{"quarantine drop answer", wire.DropAnswer{}},
	{"structure request", wire.StructureRequest{}},
	{"structure answer", wire.StructureAnswer{}},
	{"help of a problem", health.Description{}},
	{"agent checks", supervisor.KeptChecks{}},
	{"backup record", backup.Record{}},
	{"restore test", backup.Tested{}},
}

// TestEncodings: other versions read what this one writes, from the disk and the network. A new field is a new line of the list, and may
// be added with -update; a line that goes or changes needs a version and a migration.
func TestEncodings(t *testing.T) {
	seen := walker{met: map[reflect.Type]string{}}
	for _, e := range encoded {
		seen.walk(e.name, "", reflect.TypeOf(e.value))
	}
	got := strings.Join(seen.lines, "\n") + "\n"
	const file = "testdata/encodings.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	for _, line := range before {
		if !slices.Contains(seen.lines, line) {
			t.Errorf("no longer there: %s", line)
		}
	}
	for _, line := range seen.lines {
		if !slices.Contains(before, line) {
			t.Errorf("new: %s", line)
		}
	}
	for _, dir := range []string{"controller/state", "controller/wire", "health"} {
		for _, name := range tagged(t, "../../"+dir) {
			if !seen.has("mainstay/"+dir, name) {
				t.Errorf("%s.%s has JSON tags, and is part of nothing that is listed here", dir, name)
			}
		}
	}
}

// walker describes types by the JSON they have, each struct where it is met first.
type walker struct {
	lines []string
	met   map[reflect.Type]string // and where that is
}

var (
	asJSON = reflect.TypeFor[json.Marshaler]()
	asText = reflect.TypeFor[encoding.TextMarshaler]()
)

func (w *walker) walk(path, options string, t reflect.Type) {
	kind := t.Kind().String()
	switch {
	case t.Implements(asJSON), t.Implements(asText):
		kind = "text"
	case t.Kind() == reflect.Pointer:
		w.walk(path, options, t.Elem())
		return
	case t.Kind() == reflect.Slice:
		w.walk(path+"[]", options, t.Elem())
		return
	case t.Kind() == reflect.Map:
		w.walk(path+"{}", options, t.Elem())
		return
	case w.met[t] != "":
		kind = "as " + w.met[t]
	case t.Kind() == reflect.Struct:
		w.met[t] = path
		defer w.fields(path, t)
		kind = "object"
	}
	w.lines = append(w.lines, strings.TrimSuffix(path+": "+kind+", "+options, ", "))
}

func (w *walker) fields(path string, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			w.met[f.Type] = path
			w.fields(path, f.Type)
		default:
			if name == "" {
				name = f.Name
			}
			w.walk(path+"."+name, options, f.Type)
		}
	}
}

func (w *walker) has(pkg, name string) bool {
	for t := range w.met {
		if t.PkgPath() == pkg && t.Name() == name {
			return true
		}
	}
	return false
}

// tagged are the exported structs of a folder that have JSON tags.
func tagged(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
				return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`)
			}) {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}
