package render

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// left is what is left now of a span in milliseconds that was true when the member reported.
func left(ms int64, m wire.MemberStatus) time.Duration {
	return max(0, time.Duration(ms)*time.Millisecond-m.Age)
}

// barred says in full what a member waits for that is to be sealed or promoted: a promise may bar that, also one that its
// agent may have forgotten at a restart (L5).
func barred(m wire.MemberStatus) string {
	if m.Seen == nil || m.Goal != platform.GoalSealed && m.Goal != platform.GoalPrimary || shorten(m.Seen.Doing, doingWidth) == m.Seen.Doing {
		return ""
	}
	return m.Seen.Doing
}

// vouchLines say who keeps a primary going while no leader answers it, and for how long that binds them (L5).
func vouchLines(c wire.ClusterState) (lines []cell) {
	for _, m := range c.Members {
		if m.Seen != nil && len(m.Seen.Vouched) > 0 && left(m.Seen.LeaseLeft, m) > 0 {
			lines = append(lines, cell{fmt.Sprintf("no leader answers %s: %s for it", m.Name, vouch(m.Seen.Vouched)), yellow})
		}
	}
	if text := promises(c.Members); text != "" {
		lines = append(lines, cell{text, yellow})
	}
	return lines
}

func vouch(names []string) string {
	if len(names) == 1 {
		return names[0] + " vouches"
	}
	return strings.Join(names, ", ") + " vouch"
}

// promises names the members that may be neither sealed nor promoted, and for how long still.
func promises(members []wire.MemberStatus) string {
	var parts []string
	for _, m := range members {
		if m.Seen != nil && left(m.Seen.Promised, m) > 0 {
			parts = append(parts, m.Name+" for "+Span(left(m.Seen.Promised, m)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "bound by a promise, neither to be sealed nor promoted: " + strings.Join(parts, ", ")
}

// stands says in which way a cluster goes on without a leader, from what the agents of its members say.
func stands(c wire.ClusterState) []cell {
	p := primaryOf(c)
	if p == nil {
		text := "none of the agents that answer has its primary"
		if c.Primary != "" {
			text = "the agent of its primary " + c.Primary + " is not among those that answer"
		}
		return append([]cell{{text + ": whether it takes writes is not known", yellow}}, vouchLines(c)...)
	}
	var lines []cell
	switch span := left(p.Seen.LeaseLeft, *p); {
	case span == 0 && p.Seen.Process == health.ProcessRunning && p.Seen.Guard.Armed.IsZero():
		lines = append(lines, cell{p.Name + " has no lease, and no guard counts: the cluster is paused, or it is no primary yet", yellow})
	case span == 0 && p.Seen.Process == health.ProcessRunning:
		lines = append(lines, cell{p.Name + " has no lease: unless it was renewed just now its guards end it, and it waits for a leader", red})
	case p.Seen.Process != health.ProcessRunning:
		lines = append(lines, cell{p.Name + " does not run, and waits for a leader", red})
	case len(p.Seen.Vouched) > 0:
		lines = append(lines, cell{fmt.Sprintf("%s goes on without a leader: %s for it; its lease ends in %s unless it is renewed", p.Name, vouch(p.Seen.Vouched), Span(span)), green})
	default:
		lines = append(lines, cell{fmt.Sprintf("%s goes on for %s under a lease that a leader gave; others must vouch for it from then on", p.Name, Span(span)), yellow})
	}
	if text := needed(c); text != "" {
		lines = append(lines, cell{"to go on it needs " + text, plain})
	}
	if text := promises(c.Members); text != "" {
		lines = append(lines, cell{text, plain})
	}
	return lines
}

func primaryOf(c wire.ClusterState) *wire.MemberStatus {
	for i := range c.Members {
		if m := &c.Members[i]; m.Seen != nil && (m.Name == c.Primary || m.Goal == platform.GoalPrimary) {
			return m
		}
	}
	return nil
}

// needed is whose promises the primary needs without a leader: those of each durability set it knows (L5).
func needed(c wire.ClusterState) string {
	var parts []string
	for _, s := range c.Sets {
		text := fmt.Sprintf("a promise of %d of (%s)", s.Acks, strings.Join(s.Names, ", "))
		if s.Acks == 0 {
			text = "a promise of every other member"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

// merged puts what the agents say of their own members together, cluster by cluster.
func merged(agents []AgentAnswer, only string) (all []wire.ClusterState) {
	at := map[string]int{}
	for _, a := range agents {
		if a.Status == nil {
			continue
		}
		for _, c := range a.Status.Clusters {
			if only != "" && c.Name != only || c.Name == "" {
				continue
			}
			i, ok := at[c.Name]
			if !ok {
				i = len(all)
				at[c.Name] = i
				all = append(all, wire.ClusterState{Name: c.Name})
			}
			all[i] = join(all[i], c)
		}
	}
	return all
}

// join takes in what one more agent says of the cluster. The primary's own agent knows best whose promises it needs.
func join(all, c wire.ClusterState) wire.ClusterState {
	if p := primaryOf(c); c.Primary != "" && (all.Primary == "" || all.Epoch.Less(c.Epoch) || all.Epoch == c.Epoch && p != nil) {
		all.Primary, all.Epoch, all.Sets = c.Primary, c.Epoch, c.Sets
	}
	all.Members = append(all.Members, c.Members...)
	return all
}
