package render

import (
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Status is the platform on one screen: the leader, sites, a running site switchover, clusters with their members, apps with their
// instances, problems worst first, and, where something is wrong, the help for the worst problem and the command to run next.
func Status(s wire.Status, o Options) string {
	var b strings.Builder
	b.WriteString(o.heading(s))
	b.WriteString(o.sites(s) + o.change(s.Change))
	for _, c := range s.Clusters {
		b.WriteString("\n" + o.cluster(c))
	}
	for _, a := range s.Apps {
		b.WriteString("\n" + o.app(a))
	}
	b.WriteString(o.problems(s.Problems))
	b.WriteString(o.commands(s))
	return b.String()
}

// commands are the help topic of the worst problem, and the command to run next.
func (o Options) commands(s wire.Status) (lines string) {
	if topic := helpTopic(s.Problems); topic != "" {
		lines = o.paint(bold, "help: ") + "mainstay help " + topic + "\n"
	}
	if next := nextStep(s); next != "" {
		lines += o.paint(bold, "next: ") + next + "\n"
	}
	if lines == "" {
		return ""
	}
	return "\n" + lines
}

func (o Options) heading(s wire.Status) string {
	leader := cell{"leader " + s.Leader, green}
	if s.Leader == "" {
		leader = cell{"no leader", red}
	}
	parts := []string{o.paint(bold, "platform "+or(s.Platform, "(none applied)")), o.paint(leader.style, leader.text)}
	if n := len(s.Controllers); n > 0 {
		up := reached(s.Controllers)
		parts = append(parts, o.paint(styleIf(up < n, yellow), fmt.Sprintf("controllers %d of %d reached", up, n)))
	}
	if s.At != "" {
		parts = append(parts, o.paint(dim, s.At))
	}
	return strings.Join(parts, "   ") + "\n"
}

func reached(cs []wire.Controller) (n int) {
	for _, c := range cs {
		if c.Reached || c.Leader {
			n++
		}
	}
	return n
}

func (o Options) cluster(c wire.ClusterState) string {
	var b strings.Builder
	name := "cluster " + c.Name
	if c.Tier != "" {
		name += " (" + c.Tier + ")"
	}
	parts := []string{o.paint(bold, name), "primary " + or(c.Primary, "none yet")}
	if !c.Epoch.IsZero() {
		parts = append(parts, "epoch "+c.Epoch.String(), fmt.Sprintf("timeline %d", c.Timeline))
	}
	parts = append(parts, durability(c))
	b.WriteString(strings.Join(parts, "   ") + "\n")
	for _, line := range clusterLines(c) {
		b.WriteString("  " + o.paint(line.style, line.text) + "\n")
	}
	if len(c.Members) == 0 {
		return b.String() + "  no members\n"
	}
	var rows []row
	for _, m := range c.Members {
		rows = append(rows, memberRow(m, paused(c)))
	}
	b.WriteString(o.table("  ", memberHead, rows))
	return b.String() + o.protections(c.Members)
}

func paused(c wire.ClusterState) bool { return c.Pause != nil && !c.Pause.Resuming }

// durability names the set in force: the last of Sets; while an earlier set still counts, commits may need fewer acks.
func durability(c wire.ClusterState) string {
	if len(c.Sets) == 0 {
		return fmt.Sprintf("acks %d", c.Acks)
	}
	set := c.Sets[len(c.Sets)-1]
	s := fmt.Sprintf("acks %d", set.Acks)
	if set.Acks > 0 {
		s += " of " + or(setNames(set.Names), "no replica")
	}
	if set.Acks < c.Acks {
		s += fmt.Sprintf(" (%d asked for)", c.Acks)
	}
	if n := len(c.Sets) - 1; n > 0 {
		s += fmt.Sprintf(" (%s still in force)", count(n, "earlier set"))
	}
	return s
}

// setNames are the members of a durability set. The set names each one's data, such as feed-w1_3 after a rewind or a clone: that number is
// shown only where the set has two data of one member.
func setNames(data []string) string {
	var members []string
	for _, name := range data {
		member, _, _ := strings.Cut(name, "_") // which no member's name contains
		if slices.Contains(members, member) {
			return strings.Join(data, ", ")
		}
		members = append(members, member)
	}
	return strings.Join(members, ", ")
}

// clusterLines are the remarks on a cluster as a whole.
func clusterLines(c wire.ClusterState) (lines []cell) {
	if p := c.Pause; p != nil {
		s := fmt.Sprintf("paused by %s since %s", p.By, p.Since)
		if p.Until != "" {
			s += " until " + p.Until
		}
		if p.Resuming {
			s += ", resuming"
		}
		lines = append(lines, cell{s + ": " + p.Reason, yellow})
	}
	if c.Primary != "" && !c.Opened {
		lines = append(lines, cell{"the primary does not accept writes yet", yellow})
	}
	if c.Primary != "" && !c.Guarded && !paused(c) { // a pause implies it
		lines = append(lines, cell{"no guard covered the start of this epoch: the end of its lease proves nothing", yellow})
	}
	if c.Now != "" {
		lines = append(lines, cell{"now: " + c.Now, yellow})
	}
	lines = append(lines, promiseLines(c)...)
	if op := c.Operation; op != nil {
		lines = append(lines, operationLine(*op))
	}
	if c.Backup != nil {
		lines = append(lines, backupLine(c.Backup))
	}
	return lines
}

// operationLine is the running operation, or the last, in one line.
func operationLine(op state.Operation) cell {
	s := fmt.Sprintf("operation %s: %s%s", op.ID, op.Kind, fromTo(op))
	if op.Result != state.Running {
		return cell{fmt.Sprintf("last %s, %s%s", s, op.Result, after(": ", op.Outcome)), dim}
	}
	if n := len(op.Steps); n > 0 {
		last := op.Steps[n-1]
		s += fmt.Sprintf(", at step %s since %s", last.Name, last.At)
	}
	return cell{s, yellow}
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func fromTo(op state.Operation) string {
	switch {
	case op.From != "" && op.To != "":
		return " " + op.From + " -> " + op.To
	case op.From != "":
		return " of " + op.From
	case op.To != "":
		return " of " + op.To
	}
	return ""
}

func (o Options) problems(ps []health.Problem) string {
	if len(ps) == 0 {
		return "\n" + o.paint(green, "no problems") + "\n"
	}
	var rows []row
	for _, p := range WorstFirst(ps) {
		rows = append(rows, row{cells: []cell{{string(p.Kind), severityStyle(p.Kind.Severity())}, {where(p), plain}, {p.Evidence, plain}}})
	}
	return "\n" + o.paint(bold, "problems") + "\n" + o.table("  ", nil, rows)
}

// where names what a problem is about: a cluster or a member of it, an app or an instance of it, a site, or a controller.
func where(p health.Problem) string {
	if p.Controller != "" {
		return "controller " + p.Controller
	}
	part, site := or(p.Member, p.Instance), ""
	if p.Site != "" && p.Instance == "" {
		site = "site " + p.Site
	}
	whole := strings.Trim(or(p.Cluster, p.App)+"/"+part, "/")
	return strings.TrimPrefix(strings.TrimSuffix(whole+", "+site, ", "), ", ")
}
