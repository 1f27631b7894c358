package conform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

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
		{"look -> ill", "well ill", `line 2: look: got "well", want "ill"`},
		{"look ~> ill", "well ? ill", ""},
		{"look", "ill", `line 2: look: got "ill", want ""`},
		{"look -> ill", "?", "line 2: look: not told"},
		{"look ~> ill", strings.Repeat("well ", 4000), `line 2: look: got "well", want "ill"`},
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
