package guide

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.." // of the repository

func TestPages(t *testing.T) {
	names := Pages()
	if !slices.IsSorted(names) || !slices.Contains(names, "runbook") {
		t.Errorf("pages are %v", names)
	}
	for _, name := range names {
		text, ok := Page(name)
		if !ok || !strings.HasPrefix(text, "# ") {
			t.Errorf("page %s has no heading: %.60q", name, text)
		}
	}
	for _, name := range []string{"", "nothing", "runbook.md", "../../README", "guide.go"} {
		if text, ok := Page(name); ok || text != "" {
			t.Errorf("page %q: %.60q, want none", name, text)
		}
	}
}

// documents are README.md, the guides and the figures, by their path from the top of the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range Pages() {
		all["deploy/guide/"+name+".md"], _ = Page(name)
	}
	for _, file := range []string{"README.md", "test/bench/README.md"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		all[file] = string(text)
	}
	return all
}

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	inline  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the fragments that GitHub gives to a document's headings.
func anchors(text string) (all []string) {
	count := map[string]int{}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		a := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
		if n := count[a]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", a, n))
		} else {
			all = append(all, a)
		}
		count[a]++
	}
	return all
}

// broken are the relative links of a document that lead nowhere, and how many relative links it has. exists tells of other files.
func broken(file string, all map[string]string, exists func(string) bool) (bad []string, links int) {
	for _, m := range link.FindAllStringSubmatch(inline.ReplaceAllString(fenced.ReplaceAllString(all[file], ""), ""), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		links++
		target, fragment, _ := strings.Cut(m[1], "#")
		to := file
		if target != "" {
			to = path.Join(path.Dir(file), target)
		}
		text, document := all[to]
		if !document && !exists(to) || fragment != "" && !slices.Contains(anchors(text), fragment) {
			bad = append(bad, m[1])
		}
	}
	return bad, links
}

func TestLinks(t *testing.T) {
	all, links := documents(t), 0
	for file := range all {
		bad, n := broken(file, all, func(to string) bool {
			_, err := os.Stat(filepath.Join(root, to))
			return err == nil
		})
		links += n
		for _, b := range bad {
			t.Errorf("%s links to %s, which does not exist", file, b)
		}
	}
	if links < 30 {
		t.Errorf("only %d links were checked", links)
	}
	for _, name := range Pages() {
		if !strings.Contains(all["README.md"], "(deploy/guide/"+name+".md)") {
			t.Errorf("README.md does not link to the page %s", name)
		}
	}
}

// The check of links finds what it is for.
func TestBrokenLinks(t *testing.T) {
	all := map[string]string{
		"a/b.md": "# Cut a host's power\n# 2. Then\n# 2. Then\n[x](#cut-a-hosts-power) [x](#2-then-1) [x](../c.md#end) " +
			"[x](d.go) [x](https://nowhere)\n" +
			"[1](#then) [2](c.md) [3](../c.md#begin) [4](#in-code)\n```\n# in code\n[x](nowhere.md)\n```\n`[x](nowhere.md)`\n",
		"c.md": "# End\n",
	}
	bad, links := broken("a/b.md", all, func(to string) bool { return to == "a/d.go" })
	if want := []string{"#then", "c.md", "../c.md#begin", "#in-code"}; !slices.Equal(bad, want) || links != 8 {
		t.Errorf("%d links, broken are %v, want 8 and %v", links, bad, want)
	}
}

var named = regexp.MustCompile(`deploy/guide/([a-z]+)\.md`)

// Code that runs names the guides, which the operator has, and no section of README.md.
func TestCodeNamesGuides(t *testing.T) {
	files := 0
	for _, dir := range []string{"cmd", "controller", "fencing", "health", "deploy"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(file, ".md") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			files++
			text, err := os.ReadFile(file)
			if strings.Contains(string(text), "README") {
				t.Errorf("%s names README.md; name the page of the guide", file)
			}
			for _, m := range named.FindAllStringSubmatch(string(text), -1) {
				if _, ok := Page(m[1]); !ok {
					t.Errorf("%s names %s, which does not exist", file, m[0])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}
