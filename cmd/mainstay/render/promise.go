package render

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// left is the rest of a span in milliseconds that was true when the member reported.
func left(ms int64, m wire.MemberStatus) time.Duration {
	return max(0, time.Duration(ms)*time.Millisecond-m.Age)
}

// waitsForPromise says in full what a member waits for that must be sealed or promoted: a promise may bar it, also a promise that its
// agent may have forgotten at a restart (L5).
func waitsForPromise(m wire.MemberStatus) string {
	if m.Seen == nil || m.Goal != platform.GoalSealed && m.Goal != platform.GoalPrimary || shorten(m.Seen.Doing, doingWidth) == m.Seen.Doing {
		return ""
	}
	return m.Seen.Doing
}

// promiseLines name the members whose promises keep a primary running while no leader answers it, and for how long they are bound
// (L5).
func promiseLines(c wire.ClusterState) (lines []cell) {
	for _, m := range c.Members {
		if m.Seen != nil && len(m.Seen.PromisedBy) > 0 && left(m.Seen.LeaseLeft, m) > 0 {
			lines = append(lines, cell{fmt.Sprintf("no leader answers %s: %s", m.Name, promise(m.Seen.PromisedBy)), yellow})
		}
	}
	if text := promises(c.Members); text != "" {
		lines = append(lines, cell{text, yellow})
	}
	return lines
}

func promise(names []string) string {
	if len(names) == 1 {
		return names[0] + " promises not to replace it"
	}
	return strings.Join(names, ", ") + " promise not to replace it"
}

// promises names the members that may not be sealed or promoted, and the remaining time.
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
	return "bound by a promise, must not be sealed or promoted: " + strings.Join(parts, ", ")
}

// stands describes a cluster without a leader, from the reports of its members' agents.
func stands(c wire.ClusterState) []cell {
	p := primaryOf(c)
	if p == nil {
		text := "no agent that answers has its primary"
		if c.Primary != "" {
			text = "the agent of its primary " + c.Primary + " is not among those that answer"
		}
		return append([]cell{{text + ": it is not known whether it accepts writes", yellow}}, promiseLines(c)...)
	}
	var lines []cell
	switch span := left(p.Seen.LeaseLeft, *p); {
	case span == 0 && p.Seen.Process == health.ProcessRunning && p.Seen.Guard.Armed.IsZero():
		lines = append(lines, cell{p.Name + " has no lease and no armed guard: the cluster is paused, or it is not primary yet", yellow})
	case span == 0 && p.Seen.Process == health.ProcessRunning:
		lines = append(lines, cell{p.Name + " has no lease: its guards kill it unless the lease was just renewed, and it waits for a leader",
			red})
	case p.Seen.Process != health.ProcessRunning:
		lines = append(lines, cell{p.Name + " does not run, and waits for a leader", red})
	case len(p.Seen.PromisedBy) > 0:
		lines = append(lines, cell{fmt.Sprintf("%s keeps running without a leader: %s; its lease ends in %s unless it is renewed",
			p.Name, promise(p.Seen.PromisedBy), Span(span)), green})
	default:
		lines = append(lines, cell{fmt.Sprintf("%s keeps running for %s under a lease from a leader; after that it needs promises of others",
			p.Name, Span(span)), yellow})
	}
	if text := needed(c); text != "" {
		lines = append(lines, cell{"to keep running it needs " + text, plain})
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

// needed names the promises that the primary needs without a leader: those of each durability set it knows (L5).
func needed(c wire.ClusterState) string {
	var parts []string
	for _, s := range c.Sets {
		text := fmt.Sprintf("a promise of %d of (%s)", s.Acks, setNames(s.Names))
		if s.Acks == 0 {
			text = "a promise of every other member"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " and ")
}

// merged joins the agents' reports of their own members, cluster by cluster.
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

// join adds one more agent's report of the cluster. The primary's own agent knows best whose promises it needs.
func join(all, c wire.ClusterState) wire.ClusterState {
	if p := primaryOf(c); c.Primary != "" && (all.Primary == "" || all.Epoch.Less(c.Epoch) || all.Epoch == c.Epoch && p != nil) {
		all.Primary, all.Epoch, all.Sets = c.Primary, c.Epoch, c.Sets
	}
	all.Members = append(all.Members, c.Members...)
	return all
}
