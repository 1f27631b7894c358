package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// History is one block an operation, in the order given.
func History(ops []state.Operation, o Options) string {
	if len(ops) == 0 {
		return "no operations yet\n"
	}
	blocks := make([]string, len(ops))
	for i, op := range ops {
		blocks[i] = o.operation(op)
	}
	return strings.Join(blocks, "\n")
}

func (o Options) operation(op state.Operation) string {
	title := o.paint(bold, op.ID) + "   " + op.Kind.String() + "   " + o.paint(resultStyle(op.Result), string(op.Result))
	var rows []row
	for _, f := range facts(op) {
		rows = append(rows, texts(f[0], f[1]))
	}
	return title + "\n" + o.table("  ", nil, rows) + o.steps(op)
}

func resultStyle(r state.Result) style {
	switch r {
	case state.Done:
		return green
	case state.Running, state.Abandoned:
		return yellow
	}
	return red
}

// facts are the lines of an operation that are not empty.
func facts(op state.Operation) (out [][2]string) {
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	add("reason", op.Reason)
	add("by", op.By)
	if op.Kind == state.SiteSwitchover {
		add("to", "site "+op.To)
		add("took", took(op))
	}
	add(arrow(op))
	add("epoch", epochOf(op))
	if op.Proof != nil {
		add("proof", proofOf(op))
	}
	add("positions", positions(op))
	for i, name := range slices.Sorted(maps.Keys(op.NotChosen)) {
		add(onlyFirst(i, "not chosen"), name+": "+op.NotChosen[name])
	}
	add("loss", lossOf(op))
	if op.Prediction != nil {
		add("predicted", Prediction(*op.Prediction))
		add("happened", happened(op))
	}
	add("outcome", op.Outcome)
	return out
}

// onlyFirst prints the name of a list on its first line only; the blank aligns the others below it.
func onlyFirst(i int, name string) string {
	if i > 0 {
		return " "
	}
	return name
}

// arrow names the former and the new primary of an operation; of a rejoin, the member.
func arrow(op state.Operation) (name, value string) {
	switch {
	case op.From == "" && op.To == "" || op.Kind == state.SiteSwitchover:
		return "", ""
	case op.Kind.Beside():
		return "member", or(op.To, op.From)
	}
	return "from, to", or(op.From, "no primary") + " -> " + or(op.To, "not decided")
}

func epochOf(op state.Operation) string {
	if op.Epoch.IsZero() {
		return ""
	}
	s := op.Epoch.String()
	if op.Timeline != 0 {
		s += fmt.Sprintf(", timeline %d", op.Timeline)
	}
	return s
}

func proofOf(op state.Operation) string {
	p := op.Proof
	s := fmt.Sprintf("%s of epoch %s", p.Kind, p.Epoch)
	if p.By != "" {
		s += " by " + p.By
	}
	return s + after(": ", p.Detail)
}

func positions(op state.Operation) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(op.Positions)) {
		parts = append(parts, name+" "+op.Positions[name].String())
	}
	return strings.Join(parts, ", ")
}

// lossOf is the loss of an operation that has changed the primary, "" for any other.
func lossOf(op state.Operation) string {
	if op.Loss != "" {
		return op.Loss
	}
	if op.Result == state.Done && (op.Kind == state.Failover || op.Kind == state.Switchover) {
		return "none: the new primary has every acknowledged commit"
	}
	return ""
}

// happened is worded like a prediction, so that the two lines can be compared.
func happened(op state.Operation) string {
	if op.Result == state.Running {
		return "still running, " + Span(elapsed(op, len(op.Steps)-1)) + " at its last step"
	}
	if op.Result != state.Done {
		return fmt.Sprintf("%s after %s", op.Result, Span(elapsed(op, len(op.Steps)-1)))
	}
	s := or(op.To, "no member") + " was promoted"
	if op.Proof != nil {
		s += " by proof " + string(op.Proof.Kind)
	}
	return fmt.Sprintf("%s, losing: %s; in %s", s, or(op.Loss, "no acknowledged commit"), Span(elapsed(op, len(op.Steps)-1)))
}

// elapsed is the time from the first step to step i; 0 where a time cannot be read.
func elapsed(op state.Operation, i int) time.Duration {
	if i <= 0 {
		return 0
	}
	first, err1 := time.Parse(time.RFC3339Nano, op.Steps[0].At)
	at, err2 := time.Parse(time.RFC3339Nano, op.Steps[i].At)
	if err1 != nil || err2 != nil {
		return 0
	}
	return at.Sub(first)
}

func (o Options) steps(op state.Operation) string {
	if len(op.Steps) == 0 {
		return ""
	}
	var rows []row
	for i, s := range op.Steps {
		rows = append(rows, row{cells: []cell{{seconds(elapsed(op, i)), dim}, {s.Name, plain}, {s.Note, plain}}})
	}
	return "  steps, since " + op.Steps[0].At + "\n" + o.table("    ", nil, rows)
}

// seconds keeps milliseconds and a fixed form, so that a column of steps can be compared at a glance.
func seconds(d time.Duration) string { return fmt.Sprintf("%+.3fs", d.Seconds()) }

// Step is step i of a running operation, with the time since its first step.
func Step(op state.Operation, i int, o Options) string {
	s := op.Steps[i]
	return fmt.Sprintf("  %s  %s", o.paint(dim, seconds(elapsed(op, i))), s.Name) + after("  ", s.Note) + "\n"
}

// Outcome is the last line about an operation that has ended.
func Outcome(op state.Operation, o Options) string {
	s := fmt.Sprintf("%s %s: %s", op.Kind, o.paint(resultStyle(op.Result), string(op.Result)), or(op.Outcome, strings.TrimSpace(fromTo(op))))
	if op.Loss != "" {
		s += "; lost: " + op.Loss
	}
	return fmt.Sprintf("%s (%s, %s)\n", s, op.ID, Span(elapsed(op, len(op.Steps)-1)))
}

// Plan is what a switchover or failover would do.
func Plan(a wire.OperationAnswer, o Options) string {
	var b strings.Builder
	if a.Target != "" {
		b.WriteString("target: " + o.paint(bold, a.Target) + "\n")
	}
	for i, p := range a.Plan {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, p)
	}
	for _, w := range a.Warnings {
		b.WriteString(o.paint(red, "warning: ") + w + "\n")
	}
	return b.String()
}
