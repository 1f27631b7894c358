package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mainstay/test/sim/world"
)

// mistake is one of planted/*.txt: a mistake that a change could make, and the test that must find it. The first line describes it;
// "found by: simulator", or "found by: apps" where that needs app servers, or the test that must fail, "found by: test
// ./controller/decide TestPauseBarsFailover"; then edits.
type mistake struct {
	name, words, foundBy string
	edits                []edit
}

type edit struct{ file, old, new string }

var section = regexp.MustCompile(`(?ms)^file: (\S+)\n--- old\n(.*?)^\+\+\+ new\n(.*?)^===\n`)

func readMistake(t *testing.T, path string) mistake {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := strings.SplitN(string(b), "\n", 3)
	m := mistake{name: strings.TrimSuffix(filepath.Base(path), ".txt"), words: head[0]}
	m.foundBy = strings.TrimPrefix(head[1], "found by: ")
	for _, e := range section.FindAllStringSubmatch(string(b), -1) {
		m.edits = append(m.edits, edit{e[1], e[2], e[3]})
	}
	if len(m.edits) == 0 || m.foundBy == head[1] {
		t.Fatalf("%s: want a line of words, `found by: ...`, and edits `file: F`, `--- old`, `+++ new`, `===`", path)
	}
	return m
}

// overlay writes the edited files and the list that go build -overlay reads. Each old text must be there exactly once.
func (m mistake) overlay(t *testing.T, root string) string {
	t.Helper()
	dir, edited := t.TempDir(), map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		text, ok := edited[path]
		if !ok {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%s: %v: the mistake no longer applies: adapt planted/%s.txt", m.name, err, m.name)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s: the text to replace is %d times in %s: the mistake no longer applies: adapt planted/%s.txt\n%s", m.name, n, e.file, m.name,
				e.old)
		}
		edited[path] = strings.Replace(text, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for path, text := range edited {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		write(t, replace[path], text)
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	write(t, list, string(b))
	return list
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPlantedApply finds a mistake that the sources have outgrown within a second, not at the end of TestTeeth.
func TestPlantedApply(t *testing.T) {
	root, paths := planted(t)
	for _, path := range paths {
		m := readMistake(t, path)
		t.Run(m.name, func(t *testing.T) {
			m.overlay(t, root)
			if where, ok := strings.CutPrefix(m.foundBy, "test "); ok {
				hasTest(t, root, strings.Fields(where))
			}
		})
	}
}

// hasTest fails where a package has no test of that name any more.
func hasTest(t *testing.T, root string, where []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, where[0], "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("func "+where[1]+"(")) {
			return
		}
	}
	t.Errorf("%s has no %s", where[0], where[1])
}

// planted gives the module's folder and the files of all planted mistakes.
func planted(t *testing.T) (root string, paths []string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	paths, err = filepath.Glob("planted/*.txt")
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d planted mistakes, want at least 15 (%v)", len(paths), err)
	}
	return root, paths
}

// TestTeeth plants one mistake after the other, as many at a time as there are processors, and demands that it is found
// within the budget that CI plays anyway: each ends at the first seed that breaks a rule. A simulator that finds nothing in a
// core with a mistake says nothing about one without.
func TestTeeth(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	if raceEnabled {
		t.Skip("the simulator is built anew for each mistake; the race detector adds nothing")
	}
	root, paths := planted(t)
	for _, path := range paths {
		m := readMistake(t, path)
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if where, ok := strings.CutPrefix(m.foundBy, "test "); ok {
				m.foundByTest(t, root, strings.Fields(where))
			} else {
				m.foundBySimulator(t, root)
			}
		})
	}
}

func (m mistake) foundBySimulator(t *testing.T, root string) {
	bin := filepath.Join(t.TempDir(), "sim")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-overlay", m.overlay(t, root), "-o", bin, "./test/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s does not build: %v\n%s", m.name, err, out)
	}
	first, seeds := 1, scenarios
	if m.foundBy == "apps" {
		first, seeds = world.AppsFrom, appScenarios
	}
	began := time.Now()
	out, err := exec.Command(bin, "-first", fmt.Sprint(first), "-seeds", fmt.Sprint(seeds), "-workers", "1").CombinedOutput()
	if err == nil {
		t.Fatalf("not found in %d scenarios: %s", seeds, m.words)
	}
	if !bytes.Contains(out, []byte("replay:")) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s, found in %s: %s", m.words, since(began), firstViolation(out))
}

func firstViolation(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "seed ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func (m mistake) foundByTest(t *testing.T, root string, where []string) {
	list := m.overlay(t, root)
	run := func(args ...string) (string, error) {
		cmd := exec.Command("go", append(append([]string{"test", "-count=1", "-vet=off"}, args...), "-run", "^"+where[1]+"$", where[0])...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("-overlay", list)
	if err == nil || !strings.Contains(out, "--- FAIL: "+where[1]) {
		t.Fatalf("%s does not fail with this mistake: %s\n%v\n%s", where[1], m.words, err, out)
	}
	t.Logf("%s, found by %s", m.words, where[1])
}
