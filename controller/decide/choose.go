package decide

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// choice is the outcome of looking at every member as a candidate.
type choice struct {
	best      string
	sealed    []state.Sealed // members that count for fences and completeness
	all       []state.Sealed // those, and members that are ahead of the best but may not lead
	byPolicy  []string       // sealed members that only a policy or an operator's wish keeps from promotion
	positions map[string]platform.LSN
	notChosen map[string]Reason
	// pending are replicas whose agents answer but whose seal is not in yet.
	pending []string
}

// choose ranks the sealed members of the attempt (S2, S5). Every member that is not chosen gets its reason.
func (v *clusterView) choose() choice {
	ch := choice{positions: map[string]platform.LSN{}, notChosen: map[string]Reason{}}
	var candidates []state.Sealed
	for _, name := range v.replicas() {
		r := v.fresh(name)
		if why := v.unsealed(name, r); why.given() {
			ch.notChosen[name] = why
			if r != nil && v.c.Members[name].CountsAs(r.Incarnation) && !r.Fails() && r.Needs == "" && r.Data == health.DataPresent {
				ch.pending = append(ch.pending, name)
			}
			continue
		}
		s := state.Sealed{Member: name, Incarnation: r.Incarnation, Timeline: r.Timeline, Position: r.Position,
			Known: r.PositionKnown && v.c.Descends(r.Timeline, r.Position)}
		if s.Known {
			ch.positions[name] = s.Position
		}
		ch.sealed = append(ch.sealed, s)
		if why := v.ineligible(name, r, s.Known); why.given() {
			ch.notChosen[name] = why
			continue
		}
		if why := v.unwanted(name); why.given() {
			ch.notChosen[name], ch.byPolicy = why, append(ch.byPolicy, name)
			continue
		}
		candidates = append(candidates, s)
	}
	ch.all = ch.sealed
	ch.rank(v, candidates)
	return ch
}

// instead takes the old primary, restarted in place: the replica that would have come first cannot be shown to be complete.
func (ch *choice) instead(primary string, incomplete error) {
	if ch.best != "" && incomplete != nil {
		ch.notChosen[ch.best] = Reason{Code: notShownComplete, Member: ch.best, Detail: incomplete.Error()}
	}
	ch.best = primary
}

// ahead is the most advanced sealed member, if it is ahead of the best and only a policy or a wish keeps it from leading;
// "" otherwise.
func (ch *choice) ahead() string {
	top := state.MostAdvanced(ch.all)
	for _, s := range ch.all {
		if s.Member == ch.best && s.Behind(top) && slices.Contains(ch.byPolicy, top.Member) && s.Timeline == top.Timeline {
			return top.Member
		}
	}
	return ""
}

// unsealed says why a member is not sealed, if it is not.
func (v *clusterView) unsealed(name string, r *health.Member) Reason {
	switch {
	case r == nil:
		return v.unheard(name)
	case !v.c.Members[name].CountsAs(r.Incarnation):
		return Reason{Code: olderCopy, Member: name, Other: v.conf.Member(name).Host}
	case r.Sealed != v.c.Attempt.Number:
		return Reason{Code: notSealed, Member: name, Detail: says(r)}
	}
	return Reason{}
}

// says is an agent's description of its member's trouble, as the end of a sentence.
func says(r *health.Member) string {
	if r.Error != "" {
		return ": " + r.Error
	}
	if r.Doing != "" {
		return " (" + r.Doing + ")"
	}
	return ""
}

// ineligible says why a sealed member cannot be promoted, if it cannot.
func (v *clusterView) ineligible(name string, r *health.Member, known bool) Reason {
	switch {
	case v.against(name, r) != "":
		return Reason{Code: excluded, Member: name, Detail: v.against(name, r)}
	case v.fenceOf(name) != nil:
		return Reason{Code: hostIsFenced, Member: name}
	case r.Corrupt != "":
		return Reason{Code: corrupt, Member: name, Detail: r.Corrupt}
	case r.Guard.Watchdog.Lacks() != "":
		return Reason{Code: noWatchdog, Member: name, Detail: r.Guard.Watchdog.Lacks()}
	case r.SystemID != v.c.SystemID:
		return Reason{Code: otherSystem, Member: name, Is: r.SystemID, Want: v.c.SystemID}
	case !v.c.Descends(r.Timeline, r.Position):
		return Reason{Code: diverged, Member: name,
			Is: fmt.Sprint(r.Timeline), At: r.Position, Want: fmt.Sprint(v.c.Timeline), Detail: v.c.Epoch.String()}
	case !known:
		return Reason{Code: endOfWALUnknown, Member: name}
	}
	return Reason{}
}

// unwanted says which policy or wish speaks against a member that could be promoted, if one does.
func (v *clusterView) unwanted(name string) Reason {
	m, asked := v.conf.Member(name), v.c.Attempt.To
	switch {
	case m.Leaving:
		return Reason{Code: beingRemoved, Member: name}
	case v.insisted() && asked != name:
		return Reason{Code: anotherAsked, Member: name, Other: asked}
	case v.frozen(name).given() && !(v.insisted() && asked == name):
		return v.frozen(name)
	case asked == name:
		return Reason{}
	case !m.MayLead:
		return Reason{Code: mayNotLead, Member: name}
	case v.site(name) == v.site(v.c.Primary) || v.conf.Failover.AcrossSites == platform.AcrossAutomatic:
		return Reason{}
	case v.conf.Failover.AcrossSites == platform.AcrossApproval && v.c.Attempt.Approved != "":
		return Reason{}
	case v.conf.Failover.AcrossSites == platform.AcrossApproval:
		return Reason{Code: needsApproval, Member: name, Other: v.approvable()}
	}
	return Reason{Code: mayNotLeaveSite, Cluster: v.c.Name, Member: name, Is: string(v.conf.Failover.AcrossSites)}
}

// insisted: an operator named a member and accepted the consequences. The target of a switchover is only a preference
// among equals once its clean stop has failed: then failover's rules apply.
func (v *clusterView) insisted() bool {
	a := v.c.Attempt
	return a.To != "" && a.Accepted != nil && a.Accepted.By != byPolicy
}

// rank orders candidates: most advanced, then the old primary's site, then as equals does: a total order. Members that are ahead but not
// eligible do not count in the comparison, if the rest is complete without them.
func (ch *choice) rank(v *clusterView, candidates []state.Sealed) {
	if len(candidates) == 0 {
		return
	}
	home := v.site(v.c.Primary)
	sort.Slice(candidates, func(i, j int) bool {
		a, b := candidates[i], candidates[j]
		switch {
		case a.Timeline != b.Timeline || a.Position != b.Position:
			return b.Behind(a)
		case (a.Member == v.c.Attempt.To) != (b.Member == v.c.Attempt.To):
			return a.Member == v.c.Attempt.To
		case (v.site(a.Member) == home) != (v.site(b.Member) == home):
			return v.site(a.Member) == home
		}
		order, _ := v.equals(a.Member, b.Member)
		return order < 0
	})
	best := candidates[0]
	ch.best = best.Member
	for _, other := range candidates[1:] {
		ch.notChosen[other.Member] = whyBehind(v, best, other)
	}
	kept := ch.sealed[:0:0]
	for _, s := range ch.sealed {
		if s.Known && best.Behind(s) {
			ch.notChosen[s.Member] = Reason{Code: aheadOfBest, Member: s.Member, At: s.Position, Because: []Reason{ch.notChosen[s.Member]}}
			continue
		}
		kept = append(kept, s)
	}
	ch.sealed = kept
}

func whyBehind(v *clusterView, best, other state.Sealed) Reason {
	why := Reason{Code: laterByName, Member: other.Member, Other: best.Member}
	switch {
	case best.Member == v.c.Attempt.To && other.Position == best.Position:
		why.Code = bestWasAsked
	case other.Timeline < best.Timeline:
		why.Code, why.Is, why.Want = olderTimeline, fmt.Sprint(other.Timeline), fmt.Sprint(best.Timeline)
	case other.Position < best.Position:
		why.Code, why.Number = behind, int(best.Position-other.Position)
	case v.site(other.Member) != v.site(best.Member):
		why.Code = otherSite
	default:
		_, why.Code = v.equals(best.Member, other.Member)
	}
	return why
}

// equals orders two members that are as advanced and as near, below 0 where a comes first, and says why the other one does not: data that
// was made with the host's collations, data that nothing speaks against, priority, data whose files were found clean more recently, name.
func (v *clusterView) equals(a, b string) (order int, why Code) {
	for _, by := range []struct {
		order int
		why   Code
	}{
		{falseFirst(v.otherCollations(a), v.otherCollations(b)), otherCollations},
		{falseFirst(v.doubted(a), v.doubted(b)), dataInDoubt},
		{cmp.Compare(v.conf.Member(b).Priority, v.conf.Member(a).Priority), lowerPriority},
		{v.cleaner(a, b), cleanEarlier},
	} {
		if by.order != 0 {
			return by.order, by.why
		}
	}
	return cmp.Compare(a, b), laterByName
}

// doubted tells whether something speaks against a member's data, though it proves nothing.
func (v *clusterView) doubted(name string) bool {
	r := v.fresh(name)
	return r != nil && (v.suspected(name, r) != "" || len(signs(r)) > 0)
}

// cleaner orders two members by when a scan last read all their files and found nothing, the most recent first.
func (v *clusterView) cleaner(a, b string) int {
	age := func(name string) int64 {
		if r := v.fresh(name); r != nil && r.Scan.Clean() {
			return r.Scan.AgeMS
		}
		return math.MaxInt64
	}
	return cmp.Compare(age(a), age(b))
}
