package register

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the check. A check that takes longer shows nothing.
const checkLimit = 60 * time.Second

// Verdict is the result of checking a history.
type Verdict struct {
	Registers int
	Answered  int    // operations with an answer
	Open      int    // writes without
	Wrong     string // "" if the history is linearizable; else what is not, or why nothing was shown
}

// String is one line.
func (v Verdict) String() string {
	if v.Wrong != "" {
		return v.Wrong
	}
	return fmt.Sprintf("linearizable: %d operations with an answer, %d open writes, %d registers", v.Answered, v.Open, v.Registers)
}

// Check judges what was recorded so far. Running operations are not part of it, so call it after Stop.
func (t *Tester) Check() Verdict {
	t.mu.Lock()
	done, attempts, last := slices.Clone(t.done), t.attempts, t.last
	t.mu.Unlock()
	v := check(done)
	if v.Answered == 0 && v.Wrong == "" {
		v.Wrong = fmt.Sprintf("none of %d operations was answered, so nothing could be checked; last error: %v", attempts, last)
	}
	return v
}

func check(done []operation) Verdict {
	var v Verdict
	byKey := map[int][]operation{}
	for _, o := range done {
		byKey[o.key] = append(byKey[o.key], o)
		if o.open {
			v.Open++
		} else {
			v.Answered++
		}
	}
	v.Registers = len(byKey)
	until := time.Now().Add(checkLimit)
	for key := range byKey {
		if wrong := checkOne(byKey[key], time.Until(until)); wrong != "" {
			v.Wrong = fmt.Sprintf("register %d %s", key, wrong)
			break
		}
	}
	return v
}

func checkOne(done []operation, limit time.Duration) string {
	var history []porcupine.Operation
	for _, o := range done {
		p := porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.called), Return: int64(o.ending)}
		if o.open {
			p.Return = math.MaxInt64
		}
		history = append(history, p)
	}
	// A limit of 0 would be none.
	switch porcupine.CheckOperationsTimeout(model, history, max(limit, time.Millisecond)) {
	case porcupine.Ok:
		return ""
	case porcupine.Illegal:
		return "is not linearizable:\n" + listing(done)
	}
	return fmt.Sprintf("could not be judged within %s (%d operations): fewer open writes a register would help", checkLimit, len(done))
}

// model is one register. It holds 0 until it is written.
var model = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		o := input.(operation)
		if o.write {
			return true, o.value
		}
		return o.value == state.(int64), state
	},
}

// listing shows a history in the order of the calls.
func listing(done []operation) string {
	slices.SortFunc(done, func(a, b operation) int { return int(a.called - b.called) })
	text := ""
	for _, o := range done {
		verb, end := "read", o.ending.String()
		if o.write {
			verb = "wrote"
		}
		if o.open {
			end = "open"
		}
		text += fmt.Sprintf("  client %d %s %d  [%v, %s]\n", o.client, verb, o.value, o.called, end)
	}
	return text
}
