package config

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the messages as they are now into testdata, to be reviewed")

// scenario is one block of testdata/mistakes.txt: the lines to replace in the sample (-; none for the whole file), what
// stands there instead (+), and what the operator reads (>).
type scenario struct {
	name           string
	old, new, want []string
}

func readScenarios(t *testing.T, file string) (out []scenario) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		if mark == "==" {
			out = append(out, scenario{name: rest})
			continue
		}
		if len(out) == 0 {
			continue
		}
		s := &out[len(out)-1]
		switch mark {
		case "-":
			s.old = append(s.old, rest)
		case "+":
			s.new = append(s.new, rest)
		case ">":
			s.want = append(s.want, rest)
		case "":
		default:
			t.Fatalf("%s:%d: a line begins with %q", file, i+1, mark)
		}
	}
	return out
}

// text is the file that the scenario reads.
func (s scenario) text(t *testing.T) string {
	t.Helper()
	fresh := strings.ReplaceAll(strings.Join(s.new, "\n"), "HEAD\n", head)
	if s.old == nil {
		return fresh + "\n"
	}
	old := strings.Join(s.old, "\n")
	if s.new == nil {
		old += "\n"
	}
	if !strings.Contains(sample, old) {
		t.Fatalf("the sample does not contain %q", old)
	}
	return strings.Replace(sample, old, fresh, 1)
}

// TestMistakes compares every word of what an operator reads about each mistake.
func TestMistakes(t *testing.T) {
	const file = "testdata/mistakes.txt"
	scenarios := readScenarios(t, file)
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			got := mistakesOf(t, s.text(t))
			if want := strings.Join(s.want, "\n"); got != want && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			scenarios[i].want = strings.Split(got, "\n")
		})
	}
	if *update {
		writeScenarios(t, file, scenarios)
	}
}

func mistakesOf(t *testing.T, text string) string {
	t.Helper()
	p, err := ParsePlatform("p.yaml", []byte(text))
	var ms Mistakes
	if !errors.As(err, &ms) || p != nil {
		t.Fatalf("got %v, %v; want Mistakes", p, err)
	}
	return err.Error()
}

func writeScenarios(t *testing.T, file string, scenarios []scenario) {
	t.Helper()
	var b strings.Builder
	for i, s := range scenarios {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("== " + s.name + "\n")
		for _, part := range []struct {
			mark  string
			lines []string
		}{{"-", s.old}, {"+", s.new}, {">", s.want}} {
			for _, l := range part.lines {
				b.WriteString(strings.TrimRight(part.mark+" "+l, " ") + "\n")
			}
		}
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestMistakesOfBytes holds what a text file cannot.
func TestMistakesOfBytes(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "p.yaml: is empty; write the settings into it"},
		{"control character", "platform: p\nsites: \x01\n",
			"p.yaml:2: is not a text file: control characters are not allowed; save it as UTF-8 text"},
		{"not UTF-8", "platform: p\nsites:\n  - \xff\n",
			"p.yaml:3: is not a text file: invalid leading UTF-8 octet; save it as UTF-8 text"},
		{"too large", strings.Repeat("# fill\n", maxFile/7+1), "p.yaml: is larger than 1 MiB; name the right file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := mistakesOf(t, tc.text); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	if got := mustParse(t, sample+strings.Repeat("#", maxFile-len(sample))); got.Name != "social" {
		t.Error("a file of exactly 1 MiB is not read")
	}
}
