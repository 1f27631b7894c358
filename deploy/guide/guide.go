// Package guide holds the guide's pages, so that the binary can print them where there is no repository.
package guide

import (
	"embed"
	"strings"
)

//go:embed *.md
var files embed.FS

// Pages are the names of all pages, without .md, sorted.
func Pages() (names []string) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".md"))
	}
	return names
}

// Page is the text of a page by its name; false where there is none of that name.
func Page(name string) (string, bool) {
	text, err := files.ReadFile(name + ".md")
	return string(text), err == nil
}
