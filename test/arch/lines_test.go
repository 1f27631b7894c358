package arch

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// columns is how wide a line may be, a tab counted as one.
const columns = 140

// TestLines: two files fit side by side on a screen. A text between backquotes is as long as it is.
func TestLines(t *testing.T) {
	found := 0
	for _, root := range []string{"cmd", "controller", "health", "fencing", "deploy", "test"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw := rawLines(text)
			for i, line := range strings.Split(string(text), "\n") {
				found++
				if n := utf8.RuneCountInString(line); n > columns && !raw[i+1] {
					t.Errorf("%s:%d has %d columns, more than %d", path, i+1, n, columns)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no line was looked at")
	}
}

// rawLines are the lines that a text between backquotes is on.
func rawLines(text []byte) map[int]bool {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.STRING && lit[0] == '`' {
			first := file.Line(pos)
			for i := range strings.Count(lit, "\n") + 1 {
				lines[first+i] = true
			}
		}
	}
}
