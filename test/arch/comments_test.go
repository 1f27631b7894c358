package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compound is a word that a comment can only have from code: with a capital inside.
var compound = regexp.MustCompile(`\b[A-Za-z][a-z]+(?:[A-Z][a-z]*)+\b`)

// notOurs are such words of others: of products, of systemd's files, of the code of PostgreSQL and of libraries.
var notOurs = []string{"PostgreSQL", "CloudNativePG", "GitHub", "PgBouncer", "ClusterLabs",
	"KillMode", "RestartSec", "RuntimeDirectory",
	"AccessShareLock", "ConstructTupleDescriptor", "ControlFileData", "MarkBufferDirtyHint", "MaxAllocSize", "PageHeaderData",
	"minRecoveryPoint",
	"PageIsVerified", "RecoveryPauseLoop", "StartupXLOG", "UpdateControlFile", "checksumBaseOffsets",
	"SinkAdapter", "StreamLayer"}

// TestCommentsNameWhatExists: a comment that names a thing by a name that it no longer has misleads.
func TestCommentsNameWhatExists(t *testing.T) {
	names, said := map[string]bool{}, map[string]token.Position{}
	for _, root := range []string{"cmd", "controller", "health", "fencing", "deploy", "test"} {
		err := filepath.WalkDir("../../"+root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					names[n.Name] = true
				case *ast.BasicLit: // names of fields as they are sent, and of others' settings
					for _, word := range compound.FindAllString(n.Value, -1) {
						names[word] = true
					}
				}
				return true
			})
			for _, c := range file.Comments {
				for _, word := range compound.FindAllString(c.Text(), -1) {
					said[word] = files.Position(c.Pos())
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for word, at := range said {
		if !names[word] && !slices.Contains(notOurs, word) {
			t.Errorf("%s: the comment names %s, which is nowhere", at, word)
		}
	}
	if len(said) < 500 {
		t.Errorf("only %d names were found in comments", len(said))
	}
}
