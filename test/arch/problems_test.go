package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mainstay/health"
)

// TestProblemsAreListedOnce: all text about kinds of problems is in the table of package health. A second list of them would
// lack the next kind.
func TestProblemsAreListedOnce(t *testing.T) {
	named := 0
	for _, dir := range []string{"cmd", "controller", "fencing", "deploy"} {
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			for _, list := range lists(file) {
				if list.kinds > 1 {
					t.Errorf("%s lists %d kinds of problems: put what it says of them into the table of health", files.Position(list.at), list.kinds)
				}
			}
			named += kindsIn(file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if named == 0 {
		t.Error("no kind of problem was found at all")
	}
}

// TestListsAreFound: the test above sees each form of a list.
func TestListsAreFound(t *testing.T) {
	for text, want := range map[string]int{
		`var order = []health.Kind{health.SiteLost, health.AppDown}`:                          2,
		`var words = map[health.Kind]string{health.SiteLost: "a", "AppDown": "b"}`:            2,
		`func f(k health.Kind) { switch k { case health.SiteLost: case health.AppDown: } }`:   2,
		`var one = []health.Problem{{Kind: health.SiteLost, Evidence: "an AppDown as well"}}`: 1,
		`func f(k health.Kind) { switch { case k == health.SiteLost: g(health.AppDown) } }`:   1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, list := range lists(file) {
			most = max(most, list.kinds)
		}
		if most != want {
			t.Errorf("%s: %d kinds, want %d", text, most, want)
		}
	}
}

// list is a place that may say something of several kinds of problems.
type list struct {
	at    token.Pos
	kinds int
}

// lists are the composite values of a file, and its switches with the kinds of all their cases.
func lists(file *ast.File) (found []list) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			found = append(found, list{n.Pos(), kindsIn(n)})
		case *ast.SwitchStmt:
			kinds := 0
			for _, clause := range n.Body.List {
				for _, value := range clause.(*ast.CaseClause).List {
					kinds += kindsIn(value)
				}
			}
			found = append(found, list{n.Pos(), kinds})
		}
		return true
	})
	return found
}

// kindsIn counts the kinds of problems that are named in a part of a program: as constants of health, or by their words.
func kindsIn(n ast.Node) (count int) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if from, ok := n.X.(*ast.Ident); ok && from.Name == "health" && isKind(n.Sel.Name) {
				count++
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && isKind(text) {
				count++
			}
		}
		return true
	})
	return count
}

func isKind(name string) bool {
	_, known := health.Describe(health.Kind(name))
	return known
}
