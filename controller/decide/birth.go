package decide

import (
	"fmt"
	"strings"

	"mainstay/controller/state"
	"mainstay/health"
)

// birth gives a new cluster its first primary: the one that runs already (adoption), or the preferred of empty hosts. It
// decides only once every member's agent has been heard, so that two primaries cannot hide.
func (l *look) birth() (*state.Command, Reason) {
	seen, silent, unclear := l.census()
	if len(unclear) > 0 {
		return l.refuse("it cannot be told what lies on " + strings.Join(unclear, ", "))
	}
	if len(silent) > 0 {
		return wait(RuleBirth, "no report yet from the agents of "+strings.Join(silent, ", ")+"; start `mainstay agent` there")
	}
	var running, empty, other []string
	for _, m := range l.conf.Members {
		r := seen[m.Name]
		switch {
		case r.Data == health.DataEmpty:
			empty = append(empty, m.Name)
		case r.Process == health.ProcessRunning && r.Role == health.RolePrimary:
			running = append(running, m.Name)
		default:
			other = append(other, m.Name)
		}
	}
	switch {
	case len(running) == 1:
		return l.adopt(seen, running[0])
	case len(running) > 1:
		return l.refuse("two primaries run: " + strings.Join(running, ", ") + "; stop all but the right one")
	case len(other) > 0:
		return l.refuse(l.notRunning(seen, other))
	}
	first := l.preferred(empty)
	if first == "" {
		return l.refuse("no member may lead; set may-lead on one")
	}
	for _, name := range empty {
		if bad := seen[name].Refusals; len(bad) > 0 {
			return l.refuse(name + ": " + strings.Join(bad, "; "))
		}
	}
	return &state.Command{Birth: &state.BirthOf{Member: first, Guarded: true, // it gets no lease, and does not start, before its guard is complete
		Reason: "every data directory is empty; " + first + " is preferred"}}, Reason{RuleBirth, "initialise " + first}
}

// census is what is known of each member, whose agents are silent, and who cannot say what it has.
func (l *look) census() (seen map[string]*health.Member, silent, unclear []string) {
	seen = map[string]*health.Member{}
	for _, m := range l.conf.Members {
		r := l.fresh(m.Name)
		switch {
		case r != nil && r.Data == health.DataUnknown && r.Error != "":
			unclear = append(unclear, m.Name+because(r))
		case r == nil || r.Data == health.DataUnknown:
			silent = append(silent, m.Name)
		default:
			seen[m.Name] = r
		}
	}
	return seen, silent, unclear
}

func (l *look) adopt(seen map[string]*health.Member, primary string) (*state.Command, Reason) {
	p := seen[primary]
	if !p.Adoptable {
		return l.refuse(primary + " cannot be adopted: " + strings.Join(p.Refusals, "; "))
	}
	for _, m := range l.conf.Members {
		r := seen[m.Name]
		if r.Data == health.DataForeign {
			return l.refuse(m.Name + ": its data directory holds something that is no PostgreSQL data; empty it or name another")
		}
		if r.Data == health.DataEmpty && len(r.Refusals) > 0 {
			return l.refuse(m.Name + ": " + strings.Join(r.Refusals, "; "))
		}
		if r.Data == health.DataPresent && !unasked(r) && r.SystemID != p.SystemID {
			return l.refuse(fmt.Sprintf("%s has system identifier %s, %s has %s: they are not copies of one database", m.Name, r.SystemID, primary, p.SystemID))
		}
		if r.Data == health.DataPresent && r.Process == health.ProcessRunning && !r.Adoptable {
			return l.refuse(m.Name + " cannot be adopted: " + strings.Join(r.Refusals, "; "))
		}
	}
	return &state.Command{Birth: &state.BirthOf{Member: primary, Adopt: true, Guarded: p.Guard.Complete, SystemID: p.SystemID,
		Timeline: p.Timeline, History: p.History, Reason: primary + " runs as primary"}}, Reason{RuleBirth, "adopt " + primary}
}

// unasked: it runs, and its agent could not ask it anything.
func unasked(r *health.Member) bool {
	return r.Process == health.ProcessRunning && r.Role == health.RoleUnknown
}

func (l *look) notRunning(seen map[string]*health.Member, names []string) string {
	var parts []string
	for _, n := range names {
		switch r := seen[n]; {
		case r.Data == health.DataForeign:
			parts = append(parts, n+": its data directory holds something that is no PostgreSQL data; empty it or name another")
		case unasked(r):
			parts = append(parts, n+": "+strings.Join(r.Refusals, "; "))
		case r.Process == health.ProcessRunning:
			parts = append(parts, n+" runs as a standby, but no member runs as primary; start the primary")
		default:
			parts = append(parts, n+" has data but does not run, so that its settings, roles and pg_hba.conf cannot be asked for; "+
				"start its PostgreSQL as it ran before, or empty the directory")
		}
	}
	return strings.Join(parts, "; ")
}

func (l *look) refuse(why string) (*state.Command, Reason) {
	l.problem(health.NotAdoptable, "", why, false)
	return wait(RuleBirth, why)
}

// preferred is the member of highest priority that may lead; among equals the first by name.
func (l *look) preferred(names []string) string {
	best := ""
	for _, n := range names {
		m := l.conf.Member(n)
		if !m.MayLead {
			continue
		}
		if best == "" || m.Priority > l.conf.Member(best).Priority || m.Priority == l.conf.Member(best).Priority && n < best {
			best = n
		}
	}
	return best
}
