package guide

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// situation is a row of the table of situations.
type situation struct {
	what, does, tested, on, report string
}

// situations reads the rows of the table.
func situations(text string) (rows []situation) {
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "|---") || len(cells) != 5 {
			continue
		}
		c := [5]string{}
		for n, cell := range cells {
			c[n] = strings.TrimSpace(cell)
		}
		if c[0] != "situation" {
			rows = append(rows, situation{c[0], c[1], c[2], c[3], c[4]})
		}
	}
	return rows
}

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	testName     = regexp.MustCompile("`(Test[^`]*)`")
	report       = regexp.MustCompile(`^((?:[\w.-]+/)?[\w.-]+#\d+)(, (?:[\w.-]+/)?[\w.-]+#\d+)*$`)
	versions     = regexp.MustCompile("^(any|1[3-9](( to |, )1[3-9])*( \\(`Test[^`]+`: (any|1[3-9](( to |, )1[3-9])*)\\))?)$")
)

// tests are the test functions of the repository, each with the texts of its package's tests.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	texts := map[string]string{} // by folder
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if dir := filepath.Dir(file); filepath.Base(dir) == "testdata" && filepath.Ext(file) == ".txt" { // a scenario
			texts[filepath.Dir(dir)] += `"` + strings.TrimSuffix(filepath.Base(file), ".txt") + `"`
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		texts[filepath.Dir(file)] += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, text := range texts {
		for _, m := range testFunction.FindAllStringSubmatch(text, -1) {
			all[m[1]] = append(all[m[1]], text)
		}
	}
	return all
}

// unknown tells whether there is no such test; of one after a slash, whether its package does not name it.
func unknown(name string, all map[string][]string) bool {
	top, sub, _ := strings.Cut(name, "/")
	return !slices.ContainsFunc(all[top], func(text string) bool {
		return sub == "" || strings.Contains(text, `"`+strings.ReplaceAll(sub, "_", " ")+`"`) || strings.Contains(text, `"`+sub+`"`)
	})
}

// TestSituations: each row of the table names tests that exist, or says that there is none, the versions on which they were run, and
// where the situation comes from. Twenty or more come from public reports.
func TestSituations(t *testing.T) {
	text, _ := Page("situations")
	all, rows, reports := tests(t), situations(text), map[string]bool{}
	if lines := strings.Count(text, "\n| "); lines != len(rows)+1 {
		t.Errorf("%d of %d lines of the table are whole", len(rows)+1, lines)
	}
	for _, r := range rows {
		names := testName.FindAllStringSubmatch(r.tested, -1)
		for _, m := range names {
			if unknown(m[1], all) {
				t.Errorf("%s: there is no test %s", r.what, m[1])
			}
		}
		untested := strings.HasPrefix(r.tested, "not tested")
		if len(names) == 0 != untested {
			t.Errorf("%s: tested by %q", r.what, r.tested)
		}
		if !versions.MatchString(r.on) && (!untested || r.on != "") {
			t.Errorf("%s: tested on %q", r.what, r.on)
		}
		switch {
		case report.MatchString(r.report):
			for one := range strings.SplitSeq(r.report, ", ") {
				reports[one] = true
			}
		case !strings.HasPrefix(r.report, "own trials"):
			t.Errorf("%s: reported by %q", r.what, r.report)
		}
		if r.does == "" {
			t.Errorf("%s: what Mainstay does is not said", r.what)
		}
	}
	if len(reports) < 20 {
		t.Errorf("only %d public reports", len(reports))
	}
	for name, want := range map[string]bool{"TestSituations": false, "TestSituation": true, "TestSituations/nothing_at_all_": true} {
		if unknown(name, all) != want {
			t.Errorf("unknown(%s) is %v", name, !want)
		}
	}
}
