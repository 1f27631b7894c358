package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mainstay/controller/decide"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Prediction is one prediction as a sentence, worded by the engine.
func Prediction(p state.Prediction) string {
	if p.Promote == "" && p.Why == "" {
		return "no prediction was made"
	}
	return decide.Sentence(p)
}

// Explain answers three questions about a cluster: what is wrong, by which evidence; what would happen if the primary failed
// now; and why every other member would not be promoted, and what would change that.
func Explain(a wire.ExplainAnswer, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s   primary %s%s\n", o.paint(bold, "cluster "+a.Cluster), or(a.Primary, "none yet"), setsOf(a))
	b.WriteString(o.title("what is wrong"))
	b.WriteString(o.wrong(a))
	b.WriteString(o.title("if the primary failed now"))
	deaths := []row{texts("its host lost:", Prediction(a.IfHostLost)), texts("PostgreSQL crashed:", Prediction(a.IfCrashed))}
	if a.IfSiteLost != nil {
		deaths = append(deaths, texts("its site lost:", Prediction(*a.IfSiteLost)))
	}
	b.WriteString(o.table("  ", nil, deaths))
	b.WriteString(o.proofs(a.Proofs))
	b.WriteString(o.title("members that would not be promoted"))
	b.WriteString(o.others(a))
	b.WriteString(o.title("a switchover now"))
	b.WriteString(o.switchover(a))
	b.WriteString(o.slots(a))
	b.WriteString(o.protectionOf(a.Protection))
	b.WriteString(o.timings(a.Timings))
	return b.String()
}

func (o Options) title(text string) string { return "\n" + o.paint(bold, text) + "\n" }

// setsOf names every durability set in force: a commit may have been acknowledged under any of them (S2).
func setsOf(a wire.ExplainAnswer) string {
	var parts []string
	for _, s := range a.Sets {
		if s.Acks == 0 {
			parts = append(parts, "the primary alone (acks 0)")
			continue
		}
		parts = append(parts, fmt.Sprintf("%d of (%s)", s.Acks, setNames(s.Names)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "   acknowledged by " + strings.Join(parts, " or ")
}

func (o Options) wrong(a wire.ExplainAnswer) string {
	var b strings.Builder
	var rows []row
	for _, p := range WorstFirst(a.Problems) {
		name := string(p.Kind)
		if p.Actionable {
			name += " (being handled)"
		}
		rows = append(rows, row{cells: []cell{{name, severityStyle(p.Kind.Severity())}, {where(p), plain}, {p.Evidence, plain}}})
	}
	if len(rows) == 0 {
		b.WriteString("  " + o.paint(green, "nothing") + "\n")
	}
	b.WriteString(o.table("  ", nil, rows))
	if a.Now != "" {
		rule := ""
		if a.Rule != "" {
			rule = " (rule " + a.Rule + ")"
		}
		b.WriteString("  now: " + a.Now + rule + "\n")
	}
	return b.String()
}

// others shows the reasons of both predictions, one line where they are the same.
func (o Options) others(a wire.ExplainAnswer) string {
	lost, crashed := a.IfHostLost.Others, a.IfCrashed.Others
	names := map[string]bool{}
	for _, m := range []map[string]string{lost, crashed} {
		for n := range m {
			names[n] = true
		}
	}
	if len(names) == 0 && a.IfHostLost.Promote+a.IfCrashed.Promote == "" {
		return "  all, for the reason above\n"
	}
	if len(names) == 0 {
		return "  none\n"
	}
	var rows []row
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if lost[n] == crashed[n] {
			rows = append(rows, texts(n, "either way", lost[n]))
			continue
		}
		for _, r := range []struct{ when, why string }{{"its host lost", lost[n]}, {"crashed", crashed[n]}} {
			if r.why != "" {
				rows = append(rows, texts(n, r.when, r.why))
			}
		}
	}
	return o.table("  ", nil, rows)
}

func (o Options) switchover(a wire.ExplainAnswer) string {
	if len(a.Switchover.Blockers) == 0 && a.Switchover.Target != "" {
		return "  would be accepted, to " + o.paint(green, a.Switchover.Target) + "\n"
	}
	if len(a.Switchover.Blockers) == 0 {
		return "  would be refused: no member can take over\n"
	}
	return "  would be refused: " + strings.Join(a.Switchover.Blockers, "; ") + "\n"
}

// slots are the user's slots on the primary, and whether the next primary has them.
func (o Options) slots(a wire.ExplainAnswer) string {
	var rows []row
	for _, s := range a.Slots {
		fate := cell{s.Text, plain}
		if s.Left {
			fate.style = yellow
		}
		rows = append(rows, row{cells: []cell{{s.Name, plain}, {s.Type(), plain}, {slotUse(s.Slot), plain}, {slotHolds(s.Slot), plain}, fate}})
	}
	if a.MoreSlots > 0 {
		rows = append(rows, texts(fmt.Sprintf("%d more", a.MoreSlots), "", "", "", "see pg_replication_slots on "+a.Primary))
	}
	if len(rows) == 0 {
		return ""
	}
	return o.title("your replication slots on "+a.Primary+", if another member is promoted") + o.table("  ", nil, rows)
}

func slotUse(s health.Slot) string {
	if s.Active {
		return "active"
	}
	return "inactive"
}

func slotHolds(s health.Slot) string {
	switch {
	case s.Invalid():
		return "invalid"
	case s.Held < 0:
		return "no WAL"
	}
	return Bytes(s.Held) + " of WAL, " + s.WALStatus
}

func (o Options) timings(ts []wire.Timing) string {
	if len(ts) == 0 {
		return ""
	}
	var rows []row
	for _, t := range ts {
		rows = append(rows, texts(t.Name, Span(t.Value), t.From))
	}
	return o.title("timings") + o.table("  ", []string{"TIMING", "VALUE", "FROM"}, rows)
}
