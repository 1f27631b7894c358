package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kits are the packages of helpers for tests, with what they may import of Mainstay: a package whose tests use one must not be below it.
var kits = map[string][]string{"test/kit": nil, "test/kit/certs": {"test/kit", "controller/identity"},
	"test/kit/pg": {"test/kit", "test/damage", "controller/postgres", "controller/pgdial"}}

// inKit are the helpers that test/kit has, by the names that copies of them had.
var inKit = map[string]string{"eventually": "kit.Eventually", "waitFor": "kit.Within", "freePort": "kit.FreePort",
	"freeAddress": "kit.FreeAddress", "must": "kit.Must", "sure": "kit.Check"}

// ownCopies are the packages that have copies still: those below would import themselves.
var ownCopies = []string{"controller/postgres"}

func TestKitsImportLittle(t *testing.T) {
	found := 0
	for _, p := range packages(t) {
		from, _ := local(p.ImportPath)
		may, kit := kits[from]
		if !kit {
			continue
		}
		found++
		for _, i := range p.Imports {
			if to, ours := local(i); ours && !slices.Contains(may, to) {
				t.Errorf("%s imports %s, whose own tests could then not use it", from, to)
			}
		}
	}
	if found != len(kits) {
		t.Errorf("%d kits", found)
	}
}

// TestOneKit: tests have one way to wait, and to find a free port.
func TestOneKit(t *testing.T) {
	looked := 0
	for _, root := range []string{"cmd", "controller", "health", "fencing", "deploy", "test"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))
			if slices.Contains(ownCopies, dir) {
				return nil
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					looked++
					if use := inKit[f.Name.Name]; use != "" {
						t.Errorf("%s: %s is a copy of %s", files.Position(f.Pos()), f.Name.Name, use)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked == 0 {
		t.Error("no function was looked at")
	}
}
