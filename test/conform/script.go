// Package conform compares the simulator with the real parts. A case is a script of steps and expected observations. It runs with a
// model of test/sim/world and with the real part that the model stands for, and both must show what the script expects. So neither
// drifts from the other, nor both together. A model is allowed to be more hostile than the real part, never kinder;
// if a case cannot test that, the model's comment says so.
//
// A script enters by Parse, what was seen leaves by Play. It must never read what a driver is, or a case could ask less of one.
package conform

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Case is a script.
type Case struct {
	Name  string
	Steps []Step
}

// Step is one line of a script: a verb with its arguments, and the expected observation.
//
//	write a 1              carry this out
//	see a -> primary       and see this at once
//	see b ~> standby       look again until this is seen
type Step struct {
	Line int
	Verb string
	Args []string
	Want string // "" if nothing is expected
	Soon bool   // it may take a while
}

// String is the step as written, without the expected observation.
func (s Step) String() string { return strings.Join(append([]string{s.Verb}, s.Args...), " ") }

// Parse reads cases: "case NAME", then a step on each line; blank lines and comments are skipped.
func Parse(text string) ([]Case, error) {
	var cases []Case
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, begins := strings.CutPrefix(line, "case ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case begins:
			cases = append(cases, Case{Name: name})
		case len(cases) == 0:
			return nil, fmt.Errorf("line %d: a step without a case", n+1)
		default:
			s, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			s.Line = n + 1
			c := &cases[len(cases)-1]
			c.Steps = append(c.Steps, s)
		}
	}
	return cases, nil
}

func parseStep(line string) (s Step, err error) {
	do, want, now := strings.Cut(line, "->")
	if !now {
		do, want, s.Soon = strings.Cut(line, "~>")
	}
	words := strings.Fields(do)
	if s.Want = strings.TrimSpace(want); len(words) == 0 || (now || s.Soon) && s.Want == "" {
		return s, fmt.Errorf("%q: want a verb, and something after an arrow", line)
	}
	s.Verb, s.Args = words[0], words[1:]
	return s, nil
}

// Driver carries steps out with the model or with the real part. One is made for each case.
type Driver interface {
	// Do carries a step out and returns the observation after it, "" for none. It is an error if that is not possible.
	Do(ctx context.Context, s Step) (string, error)
	// Pass lets time go by before something is looked at again.
	Pass(d time.Duration)
}

const (
	lookEvery = 40 * time.Millisecond
	patience  = time.Minute            // for what takes a while: of the driver's time, and of ours
	linger    = 150 * time.Millisecond // for what should not happen: three times what PostgreSQL waits before it tries again
)

// Play carries a case out, and returns what was seen, a line for each step. The step "linger" lets time go by for what must not happen.
func Play(ctx context.Context, c Case, d Driver) ([]string, error) {
	var seen []string
	for _, s := range c.Steps {
		if s.Verb == "linger" {
			d.Pass(linger)
			continue
		}
		got, err := look(ctx, s, d)
		if err == nil && got != s.Want {
			err = fmt.Errorf("got %q, want %q", got, s.Want)
		}
		if seen = append(seen, s.String()+" "+got); err != nil {
			return seen, fmt.Errorf("line %d: %s: %w", s.Line, s, err)
		}
	}
	return seen, nil
}

// look carries a step out, again and again where that may take a while. An error may pass as well.
func look(ctx context.Context, s Step, d Driver) (got string, err error) {
	begun := time.Now()
	for passed := time.Duration(0); ; passed += lookEvery {
		got, err = d.Do(ctx, s)
		if !s.Soon || err == nil && got == s.Want || passed > patience || time.Since(begun) > patience || ctx.Err() != nil {
			return got, err
		}
		d.Pass(lookEvery)
	}
}
