package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A struct that has more fields or methods than this holds more than one idea.
const (
	mostFields  = 24
	mostMethods = 45
)

// The rooms of the agent were once one struct that knew everything, so less is enough there: 22 fields and 42 methods.
const (
	roomFields  = 22
	roomMethods = 42
)

// rooms are the packages of the agent.
var rooms = []string{"controller/agent", "controller/apps", "controller/quarantine", "controller/supervisor"}

// large are the structs that may be larger, by folder and name, and why.
var large = map[string]string{
	"cmd/mainstay.program":               "each verb of the command is one method",
	"controller/api.API":                 "each path of the API is one method; it has no state of its own",
	"controller/decide.clusterView":      "each rule is one method on the same view, and pure",
	"controller/loop.Core":               "the pure step's whole memory between two steps is in one place",
	"controller/member.Seen":             "a record: what one look shows of PostgreSQL",
	"controller/postgres.Facts":          "a record: what one query reads of a server that may be adopted",
	"controller/postgres/ondisk.Control": "a record: what the control file says",
	"controller/postgres.Server":         "each thing that is asked of one PostgreSQL is a method; its fields never change",
	"controller/state.Cluster":           "a record: all that is replicated of one cluster",
	"controller/state.Command":           "a union: one body for each kind of command",
	"controller/state.State":             "each command's apply is a method, in the file of its subject, and pure",
	"health.Member":                      "a record: what an agent reports of one member",
}

// size is what a struct declares itself: an embedded struct is one field, and its methods are its own.
type size struct{ fields, methods int }

func (s size) String() string { return fmt.Sprintf("%d fields and %d methods", s.fields, s.methods) }

// limit is the most that a struct of a folder may have.
func limit(dir string) size {
	if slices.Contains(rooms, dir) {
		return size{roomFields, roomMethods}
	}
	return size{mostFields, mostMethods}
}

// isLarge tells whether the struct of that name, with its folder, has more.
func (s size) isLarge(name string) bool {
	most := limit(name[:strings.LastIndex(name, ".")])
	return s.fields > most.fields || s.methods > most.methods
}

// measure adds the structs and methods of a file, by folder and type.
func measure(all map[string]*size, dir string, file *ast.File) {
	of := func(name string) *size {
		key := dir + "." + name
		if all[key] == nil {
			all[key] = &size{}
		}
		return all[key]
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					of(n.Name.Name).fields += max(1, len(f.Names))
				}
			}
		case *ast.FuncDecl:
			if n.Recv == nil {
				return true
			}
			t := n.Recv.List[0].Type
			if star, ok := t.(*ast.StarExpr); ok {
				t = star.X
			}
			if generic, ok := t.(*ast.IndexExpr); ok {
				t = generic.X
			}
			if id, ok := t.(*ast.Ident); ok {
				of(id.Name).methods++
			}
		}
		return true
	})
}

// TestSizes: no struct of the product grows into one that knows everything.
func TestSizes(t *testing.T) {
	all := map[string]*size{}
	for _, root := range []string{"cmd", "controller", "health", "fencing"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			measure(all, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../")), file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range all {
		if s.isLarge(name) && large[name] == "" {
			t.Errorf("%s has %s, more than %s: split it into parts with one idea each", name, s, limit(name[:strings.LastIndex(name, ".")]))
		}
	}
	for name, why := range large {
		if all[name] == nil || !all[name].isLarge(name) {
			t.Errorf("%s is not large, or is gone: delete its exception (%s)", name, why)
		}
	}
}

// TestSizesAreMeasured: one field or method too many is found, wherever it is declared.
func TestSizesAreMeasured(t *testing.T) {
	source := func(fields, methods int) []string {
		var f, m strings.Builder
		f.WriteString("package p\n\ntype embedded struct{}\n\ntype T[K any] struct {\n\tembedded\n\ta0, a1 int\n")
		for n := 3; n < fields; n++ {
			fmt.Fprintf(&f, "\tf%d int\n", n)
		}
		f.WriteString("}\n")
		m.WriteString("package p\n")
		for n := range methods {
			fmt.Fprintf(&m, "\nfunc (t %sT[K]) m%d() {}\n", strings.Repeat("*", n%2), n)
		}
		return []string{f.String(), m.String()}
	}
	for _, c := range []struct {
		dir string
		size
		large bool
	}{
		{"p", size{mostFields, mostMethods}, false}, {"p", size{mostFields + 1, 0}, true}, {"p", size{3, mostMethods + 1}, true},
		{rooms[0], size{roomFields, roomMethods}, false}, {rooms[0], size{roomFields + 1, 0}, true}, {rooms[0], size{3, roomMethods + 1}, true},
	} {
		all := map[string]*size{}
		for _, text := range source(c.fields, c.methods) {
			file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			measure(all, c.dir, file)
		}
		name := c.dir + ".T"
		if got := all[name]; got == nil || *got != c.size || got.isLarge(name) != c.large {
			t.Errorf("measured %v of %s, want large %v", got, c.size, c.large)
		}
	}
}
