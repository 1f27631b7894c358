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
	Error   string       `json:"error,omitempty"`  // why not
}

// Leaderless is what can be known without a leader.
type Leaderless struct {
	Leader string `json:"leader"` // always ""
	// Why is what happened when the controllers were asked.
	Why    string        `json:"why"`
	Agents []AgentAnswer `json:"agents"`
	// Cached is when the leader was last heard by this command (RFC 3339), "" for never.
	Cached string `json:"cached,omitempty"`
}

// WithoutLeader shows what each agent says of its own host: the truth about its members, but not about the platform.
func WithoutLeader(l Leaderless, cluster string, o Options) string {
	var b strings.Builder
	b.WriteString(o.paint(red, "no leader answers") + ": " + l.Why + "\n")
	b.WriteString("Below is what each agent says of its own host. No failover happens until a leader is back; LEASE LEFT is how long a primary\n" +
		"may go on unless its lease is renewed.\n")
	if l.Cached != "" {
		b.WriteString(o.paint(dim, "A leader last answered this command at "+l.Cached+".") + "\n")
	}
	if len(l.Agents) == 0 {
		b.WriteString("\nno agent is known: name them with --agents host:port,...\n")
	}
	for _, a := range l.Agents {
		b.WriteString("\n" + o.agent(a, cluster))
	}
	b.WriteString("\n" + o.paint(bold, "next: ") + "mainstay controllers list" + nextHosts(l.Agents) + "\n")
	return b.String()
}

// Agent is one agent's answer, as mainstay local shows it.
func Agent(a AgentAnswer, o Options) string { return o.agent(a, "") }

func (o Options) agent(a AgentAnswer, cluster string) string {
	if a.Status == nil {
		return fmt.Sprintf("%s: %s: %s\n", o.paint(bold, a.Address), o.paint(red, "no answer"), a.Error)
	}
	var rows []row
	for _, c := range a.Status.Clusters {
		for _, m := range c.Members {
			if cluster == "" || c.Name == cluster {
				rows = append(rows, memberRow(m, paused(c)))
			}
		}
	}
	head := o.paint(bold, or(a.Status.Source, a.Address)) + "   " + a.Address + "   " + o.paint(dim, a.Status.At) + "\n"
	if len(rows) == 0 {
		return head + "  no members\n"
	}
	return head + o.table("  ", memberHead, rows)
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
	return "; mainstay local, on the host of " + strings.Join(silent, ", ")
}
