package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// sites is the line of the sites with their hosts, and below it the evidence for each lost site.
func (o Options) sites(s wire.Status) string {
	silent := map[string]bool{}
	for _, h := range s.Hosts {
		silent[h.Name] = !h.Heard || h.Silence > oldReport
	}
	var parts, lost []string
	for _, site := range s.Sites {
		hosts := make([]string, len(site.Hosts))
		for i, h := range site.Hosts {
			hosts[i] = h
			if silent[h] {
				hosts[i] = o.paint(red, h+" (silent)")
			}
		}
		name := site.Name
		if site.Lost != "" {
			name = o.paint(red, name+" (lost)")
			lost = append(lost, "  "+o.paint(red, "site "+site.Name+" is lost: "+site.Lost)+"\n")
		}
		parts = append(parts, name+": "+or(strings.Join(append(witness(site), hosts...), ", "), "no hosts"))
	}
	if len(parts) == 0 {
		return ""
	}
	return "sites  " + strings.Join(parts, "   ") + "\n" + strings.Join(lost, "")
}

func witness(s wire.SiteStatus) []string {
	if s.Witness {
		return []string{"witness"}
	}
	return nil
}

// change is the running site switchover: its step, and what it waits for.
func (o Options) change(ch *wire.SiteChange) string {
	if ch == nil {
		return ""
	}
	parts := []string{o.paint(bold, "site switchover "+ch.ID), "to " + ch.To, ch.Reason}
	if ch.Undoing {
		parts = append(parts, o.paint(yellow, "is being undone"))
	}
	head := "\n" + strings.Join(parts, "   ") + "\n"
	if h := wire.HaltedAt(&ch.SiteChange); h != nil {
		return head + o.halt(ch.ID, ch.To, *h)
	}
	return head + "  " + o.paint(yellow, "step "+ch.Step+" of "+strings.Join(allSteps(), ", ")+after(": ", ch.Now)) + "\n"
}

func allSteps() []string { return append([]string{platform.StepCheck}, platform.Steps()...) }

// Halted says why a site switchover waits for an operator, and lists the choices.
func Halted(id, to string, h wire.Halted, o Options) string {
	return o.paint(red, "site switchover "+id+" has halted") + "\n" + o.halt(id, to, h)
}

func (o Options) halt(id, to string, h wire.Halted) string {
	rows := make([]row, len(h.Decisions))
	for i, w := range h.Decisions {
		rows[i] = texts("mainstay site "+w+" "+id, effectOf(w, to, h.Step))
	}
	return "  " + o.paint(red, "halted at step "+h.Step+": "+h.Why) + "\n" + o.table("  ", nil, rows)
}

// effectOf describes an operator's decision in a few words.
func effectOf(word, to, step string) string {
	switch word {
	case state.DecisionRetry:
		return "run step " + step + " again"
	case state.DecisionUndo:
		return "move clusters and apps back to where they were"
	case state.DecisionContinue:
		all := platform.Steps()
		if i := slices.Index(all, step); i == len(all)-1 {
			return "end the switchover: the platform stays on site " + to
		}
		return "leave step " + step + " as it is, and continue with the next"
	}
	return ""
}

// Decision describes the effect of a decision about a halted site switchover, with the site to which each cluster would move back.
func Decision(word string, ch wire.SiteChange, o Options) string {
	h := wire.HaltedAt(&ch.SiteChange)
	if h == nil {
		return ""
	}
	text := fmt.Sprintf("site switchover %s to %s, halted at step %s: %s\n  %s: %s\n", ch.ID, ch.To, h.Step, h.Why, o.paint(bold, word),
		effectOf(word, ch.To, h.Step))
	if word != state.DecisionUndo {
		return text
	}
	for _, cluster := range slices.Sorted(maps.Keys(ch.Former)) {
		text += fmt.Sprintf("  %s: the site of %s\n", cluster, ch.Former[cluster])
	}
	return text
}

// phase is a stretch of a site switchover: a step, or the time in which it waited for a decision.
type phase struct {
	name string
	from int // the record with which it begins
}

// phases reads them from the operation's record: steps, halts and decisions begin one; other records fall within them.
func phases(op state.Operation) []phase {
	all := allSteps()
	now := phase{name: platform.StepCheck}
	list := []phase{now}
	undone := ""
	for i, s := range op.Steps {
		step, halted := strings.CutPrefix(s.Name, "halted at ")
		switch {
		case halted:
			list = append(list, phase{"halted", i})
			now.name = step
			continue
		case s.Name == state.DecisionUndo && now.name == platform.StepQuiesce: // automatic: no cluster had moved
			now.name, undone = platform.StepApps, "back: "
		case s.Name == state.DecisionUndo:
			now.name, undone = platform.StepClusters, "back: "
		case s.Name == state.DecisionContinue && now.name == all[len(all)-1]:
			continue // that ends it
		case s.Name == state.DecisionContinue:
			now.name = all[slices.Index(all, now.name)+1]
		case s.Name == state.DecisionRetry:
		case slices.Contains(all, s.Name):
			now.name = s.Name
		default:
			continue
		}
		list = append(list, phase{undone + now.name, i})
	}
	return list
}

// took is the duration of each step of a site switchover, in order; the last one of a running switchover has not ended.
func took(op state.Operation) string {
	if op.Kind != state.SiteSwitchover || len(op.Steps) == 0 {
		return ""
	}
	var parts []string
	list := phases(op)
	for i, p := range list {
		end := len(op.Steps) - 1
		if i+1 < len(list) {
			end = list[i+1].from
		} else if op.Result == state.Running {
			parts = append(parts, p.name+" running")
			break
		}
		parts = append(parts, p.name+" "+Span(max(0, elapsed(op, end)-elapsed(op, p.from)).Round(time.Millisecond)))
	}
	return strings.Join(parts, ", ")
}
