// Package guide holds the operator's guides as part of the binary, because at three in the morning there is a binary and no
// repository. `mainstay help PAGE` prints them. The pages are the Markdown files of this folder, as they are.
//
// It must never import anything of Mainstay's, nor change a page: what the binary prints is what the tests have checked.
package guide

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.md
var pages embed.FS

// Pages names all pages, sorted, without ".md": "adoption", ..., "upgrade".
func Pages() []string {
	files, err := fs.Glob(pages, "*.md")
	if err != nil {
		panic(err) // the pattern is malformed
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".md")
	}
	return files
}

// Page is the Markdown text of a page of Pages; false if there is no such page.
func Page(name string) (string, bool) {
	text, err := pages.ReadFile(name + ".md")
	return string(text), err == nil
}
