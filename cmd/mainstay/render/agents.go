package render

import (
	"fmt"
	"strings"

	"mainstay/controller/wire"
)

// AgentAnswer is what one agent said when it was asked directly.
type AgentAnswer struct {
	Address string       `json:"address"`
	Status  *wire.Status `json:"status,omitempty"` // nil where it did not answer
	Error   string       `json:"error,omitempty"`  // why it did not answer
}

// Leaderless is what can be known without a leader.
type Leaderless struct {
	Leader string `json:"leader"` // always ""
	// Why is the error from the controllers.
	Why    string        `json:"why"`
	Agents []AgentAnswer `json:"agents"`
	// Cached is when the leader was last heard by this command (RFC 3339), "" for never.
	Cached string `json:"cached,omitempty"`
}

// WithoutLeader shows each agent's report of its own host: reliable about its members, but not about the platform.
func WithoutLeader(l Leaderless, cluster string, o Options) string {
	var b strings.Builder
	b.WriteString(o.paint(red, "no leader answers") + ": " + strings.TrimPrefix(l.Why, wire.ErrNoLeader.Error()+": ") + "\n")
	b.WriteString("Below, each agent reports on its own host. ")
	if led := anyLed(l.Agents); led != "" {
		b.WriteString("A leader answers " + led + ", but not this command.\n")
	} else {
		b.WriteString("No member is promoted until there is a leader again.\n" +
			"LEASE LEFT is how long a primary may run unless its lease is renewed; without a leader that needs\npromises of other members.\n")
	}
	if l.Cached != "" {
		b.WriteString(o.paint(dim, "A leader last answered this command at "+l.Cached+".") + "\n")
	}
	if len(l.Agents) == 0 {
		b.WriteString("\nno agent is known: name them with --agents host:port,...\n")
	}
	for _, c := range merged(l.Agents, cluster) {
		b.WriteString("\n" + o.standing(c))
	}
	for _, a := range l.Agents {
		b.WriteString("\n" + o.agentTable(a, cluster))
	}
	b.WriteString("\n" + o.paint(bold, "next: ") + nextWithout(l.Agents) + "\n")
	return b.String()
}

// standing is the state of one cluster without a leader.
func (o Options) standing(c wire.ClusterState) string {
	b := o.paint(bold, "cluster "+c.Name) + "   primary " + or(c.Primary, "not known")
	if !c.Epoch.IsZero() {
		b += "   epoch " + c.Epoch.String()
	}
	b += "\n"
	for _, line := range stands(c) {
		b += "  " + o.paint(line.style, line.text) + "\n"
	}
	return b
}

// Agent is one agent's answer, as mainstay local shows it. It shows the state of clusters only where no leader answers the agent.
func Agent(a AgentAnswer, o Options) string {
	text := o.agentTable(a, "")
	if a.Status == nil || hearsLeader(*a.Status) {
		return text
	}
	for _, c := range merged([]AgentAnswer{a}, "") {
		text += "\n" + o.standing(c)
	}
	return text + "\n" + o.paint(bold, "next: ") + "mainstay status  # with the certificate of an operator" + nextControllers + "\n"
}

// hearsLeader tells whether a leader answers the agent's own reports.
func hearsLeader(s wire.Status) bool {
	return len(s.Hosts) > 0 && s.Hosts[0].Heard && s.Hosts[0].Silence <= oldReport
}

// heardLeader says when a leader last answered the agent.
func heardLeader(s wire.Status) cell {
	switch {
	case len(s.Hosts) == 0 || !s.Hosts[0].Heard:
		return cell{"no leader has answered it since it started", yellow}
	case hearsLeader(s):
		return cell{"leader " + or(s.Leader, "unnamed") + " answered it " + Span(s.Hosts[0].Silence) + " ago", green}
	}
	return cell{"no leader has answered it for " + Span(s.Hosts[0].Silence), yellow}
}

func (o Options) agentTable(a AgentAnswer, cluster string) string {
	if a.Status == nil {
		return fmt.Sprintf("%s: %s: %s\n", o.paint(bold, a.Address), o.paint(red, "no answer"), a.Error)
	}
	var rows []row
	var members []wire.MemberStatus
	for _, c := range a.Status.Clusters {
		for _, m := range c.Members {
			if cluster == "" || c.Name == cluster {
				rows, members = append(rows, memberRow(m, paused(c))), append(members, m)
			}
		}
	}
	leader := heardLeader(*a.Status)
	head := o.paint(bold, or(a.Status.Source, a.Address)) + "   " + a.Address + "   " + o.paint(leader.style, leader.text) + "   " +
		o.paint(dim, a.Status.At) + "\n"
	apps := ""
	if cluster == "" {
		apps = o.agentInstances(a.Status.Apps)
	}
	if len(rows) == 0 {
		return head + or(apps, "  no members\n")
	}
	return head + o.table("  ", memberHead, rows) + o.protections(members) + apps
}

// anyLed names an agent that a leader answers, "" for none.
func anyLed(agents []AgentAnswer) string {
	for _, a := range agents {
		if a.Status != nil && hearsLeader(*a.Status) {
			return or(a.Status.Source, a.Address)
		}
	}
	return ""
}

// nextControllers restores a majority of the controllers, and so a leader.
const nextControllers = "\n  on the host of each controller that does not answer, until a majority runs: " +
	"systemctl restart mainstay-controller"

// nextWithout is the next command for an operator without a leader, and what to do elsewhere.
func nextWithout(agents []AgentAnswer) string {
	next := nextControllers
	if anyLed(agents) != "" {
		next = "\n  on another host, in case only this one cannot reach the leader: mainstay status"
	}
	return "mainstay controllers list" + next + nextHosts(agents)
}

func nextHosts(agents []AgentAnswer) string {
	var silent []string
	for _, a := range agents {
		if a.Status == nil {
			silent = append(silent, a.Address)
		}
	}
	if len(silent) == 0 {
		return ""
	}
	return "\n  on the host of " + strings.Join(silent, ", ") + ": mainstay local"
}
