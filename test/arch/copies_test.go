package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// copyTokens is how long a block of code may be, in Go's tokens, that stands in two places. Shorter ones, such as the closing of a file,
// are idioms of the language.
const copyTokens = 40

// TestNoSecondCopy: no block of production code stands in two places. A copy misses the mend of its twin.
func TestNoSecondCopy(t *testing.T) {
	sources := map[string]string{}
	for _, root := range []string{"cmd", "controller", "health", "fencing", "deploy"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			sources[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found, read, err := secondCopies(sources)
	if err != nil || read == 0 {
		t.Fatalf("%d blocks were read: %v", read, err)
	}
	for _, places := range found {
		t.Errorf("the same code stands in %s", places)
	}
}

func TestSecondCopyIsFound(t *testing.T) {
	body := func(comment, space string) string {
		return "\n" + comment + strings.Repeat("\n\tx"+space+":="+space+"f(1)\n\tif x > 2 {\n\t\treturn\n\t}", 4) + "\n}\n"
	}
	sources := map[string]string{
		"a.go": "package a\nfunc one() {" + body("", " "),
		"b.go": "package b\nfunc two() {" + body("// in other words", ""),
		"c.go": "package c\nfunc three() {" + strings.ReplaceAll(body("", " "), "f(1)", "f(3)"),
		"d.go": "package d\nfunc four() { x := f(1); if x > 2 { return } }\nfunc five() { x := f(1); if x > 2 { return } }\n",
	}
	found, read, err := secondCopies(sources)
	if err != nil || len(found) != 1 || found[0] != "a.go:2 and b.go:2" || read != 3 {
		t.Errorf("%d blocks: %q, %v", read, found, err)
	}
}

// secondCopies finds the blocks of copyTokens or more that have the same tokens, the outermost ones, and says how many it has read.
func secondCopies(sources map[string]string) (found []string, read int, err error) {
	places := map[string][]string{}
	for path, text := range sources {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, text, 0)
		if err != nil {
			return nil, 0, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			b, ok := n.(*ast.BlockStmt)
			if !ok {
				return true
			}
			from, to := files.Position(b.Lbrace), files.Position(b.Rbrace)
			words := tokensOf(text[from.Offset:to.Offset])
			if len(words) < copyTokens {
				return false
			}
			read++
			key := strings.Join(words, " ")
			places[key] = append(places[key], fmt.Sprintf("%s:%d", path, from.Line))
			return len(places[key]) == 1 // what is in a copy is a copy, too
		})
	}
	for _, at := range places {
		if len(at) > 1 {
			slices.Sort(at)
			found = append(found, strings.Join(at, " and "))
		}
	}
	slices.Sort(found)
	return found, read, nil
}

// tokensOf are a text's tokens without comments and spaces.
func tokensOf(text string) (words []string) {
	files := token.NewFileSet()
	var s scanner.Scanner
	s.Init(files.AddFile("", -1, len(text)), []byte(text), nil, 0)
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return words
		case tok == token.SEMICOLON: // written, or the end of a line
		case tok.IsLiteral():
			words = append(words, lit)
		default:
			words = append(words, tok.String())
		}
	}
}
