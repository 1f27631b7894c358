package guide

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The verbs of mainstay are checked beside them, in cmd/mainstay. Here is what else the guides tell people to run, and what they name.

var (
	environment = regexp.MustCompile(`^([A-Z_]+=\S+ )+`)
	flagWord    = regexp.MustCompile(`^--?([a-z][a-z-]*)`)
	inTree      = regexp.MustCompile(`^(cmd|controller|deploy|fencing|health|test)/[\w./-]+$`)
	testInText  = regexp.MustCompile(`^Test\w+$`)
	placeholder = regexp.MustCompile(`[A-Z]{3}`) // VERB.go
	unitVerbs   = []string{"start", "stop", "restart", "reload", "kill", "status"}
	goTestFlags = []string{"v", "run", "bench", "benchtime", "count"}
)

// codeOf are the lines of a document's code blocks, and the code in its prose.
func codeOf(text string) (all []string) {
	block := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			block = !block
		case block || strings.HasPrefix(line, "    "):
			all = append(all, trimmed)
		default:
			for _, span := range inline.FindAllString(line, -1) {
				all = append(all, strings.Trim(span, "`"))
			}
		}
	}
	return all
}

// checkCode tells whether code names something of the repository, and whether that is there as it is used. known are the tests.
func checkCode(code string, known map[string][]string) (names bool, err error) {
	code, _, _ = strings.Cut(environment.ReplaceAllString(code, ""), " #")
	code, _, _ = strings.Cut(code, " | ")
	words := strings.Fields(code)
	switch {
	case len(words) == 0:
		return false, nil
	case strings.HasPrefix(code, "./"):
		return true, checkScript(words)
	case words[0] == "go" && strings.Contains(code, " ./"):
		return true, checkGo(words[1], words[2:], known)
	case words[0] == "systemctl" && len(words) > 2:
		return true, checkUnit(words[1], words[2])
	case inTree.MatchString(code) && !placeholder.MatchString(code):
		_, err := os.Stat(filepath.Join(root, code))
		return true, err
	case testInText.MatchString(code):
		if unknown(code, known) {
			return true, fmt.Errorf("there is no test of that name")
		}
		return true, nil
	}
	return false, nil
}

// checkScript: a script of the repository knows each flag.
func checkScript(words []string) error {
	text, err := os.ReadFile(filepath.Join(root, words[0]))
	if err != nil {
		return err
	}
	for _, w := range words[1:] {
		if f := flagWord.FindString(w); f != "" && !strings.Contains(string(text), f) {
			return fmt.Errorf("%s knows no %s", words[0], f)
		}
	}
	return nil
}

// checkGo: the package is there; a program of the repository declares each flag, and a test has each name.
func checkGo(verb string, args []string, known map[string][]string) error {
	at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "./") })
	files, err := filepath.Glob(filepath.Join(root, args[at], "*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s is no package: %v", args[at], err)
	}
	var source strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		source.Write(text)
	}
	for i, a := range args {
		m := flagWord.FindStringSubmatch(a)
		switch {
		case m == nil || verb == "build":
		case verb == "test" && slices.Contains(goTestFlags, m[1]):
			if m[1] == "run" && strings.HasPrefix(args[i+1], "Test") && unknown(args[i+1], known) ||
				m[1] == "bench" && !strings.Contains(source.String(), "func Benchmark"+args[i+1]) {
				return fmt.Errorf("there is no %s", args[i+1])
			}
		case !strings.Contains(source.String(), `"`+m[1]+`"`):
			return fmt.Errorf("%s has no flag -%s", args[at], m[1])
		}
	}
	return nil
}

// checkUnit: the repository has the service, and it can be reloaded if it is told to.
func checkUnit(verb, unit string) error {
	if !slices.Contains(unitVerbs, verb) {
		return fmt.Errorf("systemctl knows no %s", verb)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/units", strings.TrimSuffix(unit, ".service")+".service"))
	if err == nil && verb == "reload" && !strings.Contains(string(text), "\nExecReload=") {
		err = fmt.Errorf("%s cannot be reloaded", unit)
	}
	return err
}

func TestGuidesNameWhatIsThere(t *testing.T) {
	known, checked := tests(t), 0
	for file, text := range documents(t) {
		for _, code := range codeOf(text) {
			names, err := checkCode(code, known)
			if err != nil {
				t.Errorf("%s: %s: %v", file, code, err)
			}
			if names {
				checked++
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d were checked", checked)
	}
}

// The check finds what it is for, and takes nothing else for it.
func TestCodeThatIsNotThere(t *testing.T) {
	known := tests(t)
	for _, code := range []string{
		"./deploy/demoo", "./deploy/demo --tuor", "go run ./test/bench/nothing", "go run ./test/bench -clam 30m   # a comment",
		"TMPDIR=/var/tmp go run ./test/benhc", "go run ./test/sim -seedz 3 | sort", "go test ./controller/decide -run TestScenarioz",
		"go test ./health/integrity -run xxx -bench Code", "go build -o mainstay ./cmd/mainstya", "systemctl restrat mainstay-agent",
		"systemctl restart mainstay-agnet", "controller/decide/docs.go", "test/nothing", "TestNothingOfTheKind",
	} {
		if names, err := checkCode(code, known); !names || err == nil {
			t.Errorf("%q is taken for something that is there", code)
		}
	}
	for _, code := range []string{
		"./deploy/demo --tour --binaries DIR", "go run ./test/bench -n 20 -only host-cut,switchover -json    # some", "test/bench",
		"go run ./test/sim -first 1000000 -seeds 500 -hash | grep trace | sort >> before", "systemctl reload mainstay-agent", "TestUpgrade",
		"go test -v -run TestHealthy ./health/integrity/compare", "go build -o mainstay ./cmd/mainstay", "controller/platform",
	} {
		if names, err := checkCode(code, known); !names || err != nil {
			t.Errorf("%q: %v, %v", code, names, err)
		}
	}
	for _, code := range []string{"", "mainstay status", "hosts:", "cmd/mainstay/VERB.go", "systemctl", "go test ...", "fence_ipmilan",
		"Testing it"} {
		if names, err := checkCode(code, known); names || err != nil {
			t.Errorf("%q: %v, %v", code, names, err)
		}
	}
	if got := codeOf("a `b` c\n\n    d e\n\n```\nf\n```\n`g`\n"); !slices.Equal(got, []string{"b", "d e", "f", "g"}) {
		t.Errorf("the code of the document is %q", got)
	}
}
