package decide

import (
	"strings"

	"mainstay/controller/state"
	"mainstay/health"
)

// bootstrap gives a new cluster its first primary: the one that runs already (adoption), or the preferred empty host. It
// decides only once every member's agent has been heard, so that two primaries cannot hide.
func (v *clusterView) bootstrap() (*state.Command, Reason) {
	seen, silent, unclear := v.census()
	if len(unclear) > 0 {
		return v.refuse(Reason{Code: dataUnclear, Names: unclear})
	}
	if len(silent) > 0 {
		return nil, Reason{Code: agentsAwaited, Names: silent}
	}
	var running, empty, other []string
	for _, m := range v.conf.Members {
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
		return v.adopt(seen, running[0])
	case len(running) > 1:
		return v.refuse(Reason{Code: severalPrimaries, Names: running})
	case len(other) > 0:
		return v.refuse(v.notRunning(seen, other)...)
	}
	first := v.preferred(empty)
	if first == "" {
		return v.refuse(Reason{Code: noMemberMayLead})
	}
	for _, name := range empty {
		if bad := seen[name].Refusals; len(bad) > 0 {
			return v.refuse(Reason{Code: agentRefuses, Member: name, Detail: strings.Join(bad, "; ")})
		}
	}
	// It gets no lease, and does not start, before its guard is complete.
	return &state.Command{Bootstrap: &state.BootstrapCluster{Member: first, Guarded: true,
		Reason: Reason{Code: allEmpty, Member: first}.String()}}, Reason{Code: initialises, Member: first}
}

// census is the knowledge of each member: its data, silent agents, and members that cannot report what they have.
func (v *clusterView) census() (seen map[string]*health.Member, silent, unclear []string) {
	seen = map[string]*health.Member{}
	for _, m := range v.conf.Members {
		r := v.fresh(m.Name)
		switch {
		case r != nil && r.Data == health.DataUnknown && r.Error != "":
			unclear = append(unclear, m.Name+says(r))
		case r == nil || r.Data == health.DataUnknown:
			silent = append(silent, m.Name)
		default:
			seen[m.Name] = r
		}
	}
	return seen, silent, unclear
}

func (v *clusterView) adopt(seen map[string]*health.Member, primary string) (*state.Command, Reason) {
	p := seen[primary]
	var bad []Reason // all of it at once: each may cost a restart
	for _, m := range v.conf.Members {
		switch r := seen[m.Name]; {
		case r.Data == health.DataForeign:
			bad = append(bad, Reason{Code: foreignData, Member: m.Name})
		case r.Data == health.DataEmpty && len(r.Refusals) > 0:
			bad = append(bad, Reason{Code: agentRefuses, Member: m.Name, Detail: strings.Join(r.Refusals, "; ")})
		case r.Data == health.DataPresent && !unasked(r) && r.SystemID != p.SystemID:
			bad = append(bad, Reason{Code: otherDatabase, Member: m.Name, Is: r.SystemID, Other: primary, Want: p.SystemID})
		case r.Data == health.DataPresent && r.Process == health.ProcessRunning && !r.Adoptable:
			bad = append(bad, Reason{Code: notAdoptable, Member: m.Name, Detail: strings.Join(r.Refusals, "; ")})
		case r.Data == health.DataPresent && r.Process != health.ProcessRunning: // it cannot be asked what it lacks
			bad = append(bad, Reason{Code: dataDoesNotRun, Member: m.Name})
		}
	}
	if len(bad) > 0 {
		return v.refuse(bad...)
	}
	return &state.Command{Bootstrap: &state.BootstrapCluster{Member: primary, Adopt: true, Guarded: p.Guard.Complete, SystemID: p.SystemID,
			Timeline: p.Timeline, History: p.History, Reason: Reason{Code: runsAsPrimary, Member: primary}.String()}},
		Reason{Code: adopts, Member: primary}
}

// unasked: it runs, and its agent could not ask it anything.
func unasked(r *health.Member) bool {
	return r.Process == health.ProcessRunning && r.Role == health.RoleUnknown
}

// notRunning says of each member why its data is not taken over.
func (v *clusterView) notRunning(seen map[string]*health.Member, names []string) (why []Reason) {
	for _, n := range names {
		switch r := seen[n]; {
		case r.Data == health.DataForeign:
			why = append(why, Reason{Code: foreignData, Member: n})
		case unasked(r):
			why = append(why, Reason{Code: agentRefuses, Member: n, Detail: strings.Join(r.Refusals, "; ")})
		case r.Process == health.ProcessRunning:
			why = append(why, Reason{Code: onlyStandbyRuns, Member: n})
		default:
			why = append(why, Reason{Code: dataDoesNotRun, Member: n})
		}
	}
	return why
}

func (v *clusterView) refuse(all ...Reason) (*state.Command, Reason) {
	why := join(all...)
	v.problem(health.NotAdoptable, "", why.String(), false)
	return nil, why
}

// preferred is the member of highest priority that may lead; among equals the first by name.
func (v *clusterView) preferred(names []string) string {
	best := ""
	for _, n := range names {
		m := v.conf.Member(n)
		if !m.MayLead {
			continue
		}
		if best == "" || m.Priority > v.conf.Member(best).Priority || m.Priority == v.conf.Member(best).Priority && n < best {
			best = n
		}
	}
	return best
}
