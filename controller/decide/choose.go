package decide

import (
	"fmt"
	"sort"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// choice is the outcome of looking at every member as a candidate.
type choice struct {
	best      string
	sealed    []state.Sealed  // who counts for fences and completeness
	all       []state.Sealed  // those, and who is ahead of the best but may not lead
	barred    map[string]bool // sealed members against which only a policy or an operator's wish speaks
	positions map[string]platform.LSN
	notChosen map[string]string
	// pending are replicas whose agents answer but whose seal is not in yet.
	pending []string
}

// choose ranks the sealed members of the attempt (S2, S5). Every member that is not chosen gets its reason.
func (l *look) choose() choice {
	ch := choice{positions: map[string]platform.LSN{}, notChosen: map[string]string{}, barred: map[string]bool{}}
	var candidates []state.Sealed
	for _, name := range l.replicas() {
		r := l.fresh(name)
		if why := l.unsealed(name, r); why != "" {
			ch.notChosen[name] = why
			if r != nil && r.Error == "" && r.Needs == "" && r.Data == health.DataPresent {
				ch.pending = append(ch.pending, name)
			}
			continue
		}
		s := state.Sealed{Member: name, Incarnation: r.Incarnation, Timeline: r.Timeline, Position: r.Position, Known: r.PositionKnown && l.c.Descends(r.Timeline, r.Position)}
		if s.Known {
			ch.positions[name] = s.Position
		}
		ch.sealed = append(ch.sealed, s)
		if why := l.ineligible(name, r, s.Known); why != "" {
			ch.notChosen[name] = why
			continue
		}
		if why := l.unwanted(name); why != "" {
			ch.notChosen[name], ch.barred[name] = why, true
			continue
		}
		candidates = append(candidates, s)
	}
	ch.all = ch.sealed
	ch.rank(l, candidates)
	return ch
}

// instead takes the old primary, restarted in place: the replica that would have come first cannot be shown to be complete.
func (ch *choice) instead(primary string, incomplete error) {
	if ch.best != "" && incomplete != nil {
		ch.notChosen[ch.best] = "it cannot be shown to hold every acknowledged commit: " + incomplete.Error()
	}
	ch.best = primary
}

// ahead is the most advanced sealed member, if it is ahead of the best and only a policy or a wish keeps it from leading;
// "" otherwise.
func (ch *choice) ahead() string {
	top := state.MostAdvanced(ch.all)
	for _, s := range ch.all {
		if s.Member == ch.best && s.Behind(top) && ch.barred[top.Member] && s.Timeline == top.Timeline {
			return top.Member
		}
	}
	return ""
}

func (l *look) unsealed(name string, r *health.Member) string {
	switch {
	case r == nil:
		return l.unheard(name)
	case r.Sealed != l.c.Attempt.Number:
		return "not sealed yet" + because(r)
	}
	return ""
}

func because(r *health.Member) string {
	if r.Error != "" {
		return ": " + r.Error
	}
	if r.Doing != "" {
		return " (" + r.Doing + ")"
	}
	return ""
}

// ineligible says why a sealed member cannot be promoted, "" if it can.
func (l *look) ineligible(name string, r *health.Member, known bool) string {
	switch {
	case l.c.Members[name].Excluded != "":
		return l.c.Members[name].Excluded
	case l.fenceOf(name) != nil:
		return "its host is fenced"
	case r.Corrupt != "":
		return r.Corrupt
	case r.Guard.Watchdog.Lacks() != "":
		return r.Guard.Watchdog.Lacks()
	case r.SystemID != l.c.SystemID:
		return fmt.Sprintf("its system identifier %s is not the cluster's %s", r.SystemID, l.c.SystemID)
	case !l.c.Descends(r.Timeline, r.Position):
		return fmt.Sprintf("diverged: it is on timeline %d at %s, epoch %s has timeline %d; it must be rewound first", r.Timeline, r.Position, l.c.Epoch, l.c.Timeline)
	case !known:
		return "the end of its WAL is not known yet"
	}
	return ""
}

// unwanted says which policy or wish speaks against a member that could be promoted, "" if none does.
func (l *look) unwanted(name string) string {
	m, asked := l.conf.Member(name), l.c.Attempt.To
	switch {
	case m.Leaving:
		return "it is being removed; apply a platform file that has it, to allow it"
	case l.insisted() && asked != name:
		return asked + " was asked for"
	case asked == name:
		return ""
	case !m.MayLead:
		return "may-lead is false; set it to true to allow it"
	case l.site(name) == l.site(l.c.Primary) || l.conf.Failover.AcrossSites == platform.AcrossAutomatic:
		return ""
	case l.conf.Failover.AcrossSites == platform.AcrossApproval && l.c.Attempt.Approved != "":
		return ""
	case l.conf.Failover.AcrossSites == platform.AcrossApproval:
		return fmt.Sprintf("it is on another site and failover.across-sites is approval: `mainstay approve %s` allows it", l.approvable())
	default:
		return fmt.Sprintf("it is on another site and failover.across-sites is %s; run `mainstay failover %s --to %s --accept-loss REASON`", l.conf.Failover.AcrossSites, l.c.Name, name)
	}
}

// insisted: an operator named a member and took the consequences on himself. Whom a switchover was to promote is a wish
// among equals once its clean stop has failed: then failover's rules apply.
func (l *look) insisted() bool {
	a := l.c.Attempt
	return a.To != "" && a.Accepted != nil && a.Accepted.By != byPolicy
}

// rank orders candidates: most advanced, then the old primary's site, then priority, then name: a total order. Members
// that are ahead but not eligible are left out of what the choice is measured by, if the rest is complete without them.
func (ch *choice) rank(l *look, candidates []state.Sealed) {
	if len(candidates) == 0 {
		return
	}
	home := l.site(l.c.Primary)
	sort.Slice(candidates, func(i, j int) bool {
		a, b := candidates[i], candidates[j]
		ma, mb := l.conf.Member(a.Member), l.conf.Member(b.Member)
		switch {
		case a.Timeline != b.Timeline || a.Position != b.Position:
			return b.Behind(a)
		case (a.Member == l.c.Attempt.To) != (b.Member == l.c.Attempt.To):
			return a.Member == l.c.Attempt.To
		case (l.site(a.Member) == home) != (l.site(b.Member) == home):
			return l.site(a.Member) == home
		case ma.Priority != mb.Priority:
			return ma.Priority > mb.Priority
		}
		return a.Member < b.Member
	})
	best := candidates[0]
	ch.best = best.Member
	for _, other := range candidates[1:] {
		ch.notChosen[other.Member] = whyBehind(l, best, other)
	}
	kept := ch.sealed[:0:0]
	for _, s := range ch.sealed {
		if s.Known && best.Behind(s) {
			ch.notChosen[s.Member] += fmt.Sprintf(" (it is ahead, at %s)", s.Position)
			continue
		}
		kept = append(kept, s)
	}
	ch.sealed = kept
}

func whyBehind(l *look, best, other state.Sealed) string {
	switch {
	case best.Member == l.c.Attempt.To && other.Position == best.Position:
		return "as advanced as " + best.Member + ", which was asked for"
	case other.Timeline < best.Timeline:
		return fmt.Sprintf("on timeline %d, behind %s on %d", other.Timeline, best.Member, best.Timeline)
	case other.Position < best.Position:
		return fmt.Sprintf("%d bytes behind %s", best.Position-other.Position, best.Member)
	case l.site(other.Member) != l.site(best.Member):
		return "as advanced as " + best.Member + ", but on another site than the primary was"
	case l.conf.Member(other.Member).Priority != l.conf.Member(best.Member).Priority:
		return "as advanced as " + best.Member + ", of lower priority"
	}
	return "as advanced as " + best.Member + ", which comes first by name"
}
