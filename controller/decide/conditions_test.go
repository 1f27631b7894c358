package decide

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestConditionsAreNamed: a duration is asked for by the constant of its condition. A word written in place could be that of another one,
// whose time would then count.
func TestConditionsAreNamed(t *testing.T) {
	files := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values, asked := map[string]string{}, map[string]int{}
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "condition" {
				name, value := n.Names[0].Name, n.Values[0].(*ast.BasicLit).Value
				if other, twice := values[value]; twice {
					t.Errorf("%s and %s are the same condition, %s", name, other, value)
				}
				values[value] = name
				asked[name] += 0
			}
		case *ast.CallExpr:
			call, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || call.Sel.Name != "heldFor" {
				break
			}
			name, ok := n.Args[0].(*ast.Ident)
			if !ok {
				t.Errorf("%s: heldFor is asked for a word that is no constant", files.Position(n.Pos()))
				break
			}
			asked[name.Name]++
		}
		return true
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	for name, n := range asked {
		if n == 0 {
			t.Errorf("nothing asks for how long %s has held", name)
		}
	}
	if len(values) < 20 {
		t.Errorf("%d conditions", len(values))
	}
}
