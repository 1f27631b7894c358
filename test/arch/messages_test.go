package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// label is what comments call a rule of the design by.
var label = regexp.MustCompile(`\b[SLR][1-9]\b|\([ab]\)`)

// TestMessagesNameNoLabels: an operator who reads a message at night does not have the design document.
func TestMessagesNameNoLabels(t *testing.T) {
	found := 0
	for _, dir := range []string{"cmd", "controller", "health", "fencing"} {
		err := filepath.WalkDir("../../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					found++
					if at := label.FindString(text.Value); at != "" {
						t.Errorf("%s: %s names %s: say what it means, and keep the label for a comment", files.Position(text.Pos()), text.Value, at)
					}
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
		t.Error("no text was looked at")
	}
}
