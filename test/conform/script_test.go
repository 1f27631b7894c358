package conform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// cases are those of one file.
func cases(t *testing.T, name string) []Case {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Parse(string(text))
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d cases: %v", name, len(all), err)
	}
	return all
}

// modelSeeds is with how many seeds a model plays each case: what takes a moment takes another one each time.
const modelSeeds = 25

// conforms plays each case of a file with the model, with every seed, and with the real part, and compares what they show.
func conforms(t *testing.T, file string, model func(t *testing.T, seed uint64) Driver, real func(t *testing.T) Driver) {
	for _, c := range cases(t, file) {
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			var first []string
			for seed := range uint64(modelSeeds) {
				seen, err := Play(t.Context(), c, model(t, seed))
				if err != nil {
					t.Fatalf("the model, seed %d: %v", seed, err)
				}
				first = seen
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			seen, err := Play(ctx, c, real(t))
			if err != nil {
				t.Fatalf("the real part: %v", err)
			}
			if !slices.Equal(first, seen) {
				t.Fatalf("the model shows\n%s\nthe real part shows\n%s", strings.Join(first, "\n"), strings.Join(seen, "\n"))
			}
		})
	}
}

// parrot says what it was told to, one word after the other.
type parrot struct {
	says   []string
	passed time.Duration
}

func (p *parrot) Pass(d time.Duration) { p.passed += d }

func (p *parrot) Do(context.Context, Step) (string, error) {
	if len(p.says) == 0 {
		return "", errors.New("it has no more to say")
	}
	word := p.says[0]
	p.says = p.says[1:]
	if word == "?" {
		return "", errors.New("not told")
	}
	return word, nil
}

func TestPlay(t *testing.T) {
	for _, c := range []struct {
		script, says, wrong string
	}{
		{"look -> ill", "ill", ""},
		{"look -> ill", "well ill", `line 2: look: "well" is seen, not "ill"`},
		{"look ~> ill", "well ? ill", ""},
		{"look", "ill", `line 2: look: "ill" is seen, not ""`},
		{"look -> ill", "?", "line 2: look: not told"},
		{"look ~> ill", strings.Repeat("well ", 4000), `line 2: look: "well" is seen, not "ill"`},
		{"linger", "", ""},
	} {
		all, err := Parse("case x\n" + c.script)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Play(t.Context(), all[0], &parrot{says: strings.Fields(c.says)})
		if got := fmt.Sprint(err); c.wrong == "" && err != nil || c.wrong != "" && got != c.wrong {
			t.Errorf("%s, said %.20s: %v", c.script, c.says, err)
		}
	}
	for _, wrong := range []string{"look", "case x\n-> ill", "case x\nlook ->"} {
		if _, err := Parse(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}
