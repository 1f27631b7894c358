package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// accusation is what comparisons say against the data of the primary.
type accusation struct {
	of    string // the data's incarnation; "" for no accusation
	why   string
	pages []string
	// good are the replicas whose pages were compared, and against which nothing is known.
	good []string
}

// accused reads the comparisons that agents report. Where a verdict rests on one that no agent reports any more, every replica against
// which nothing is known may have the better page.
func (v *clusterView) accused() (a accusation) {
	p := v.c.Members[v.c.Primary]
	for i := range v.conf.Members {
		r := v.fresh(v.conf.Members[i].Name)
		if r == nil {
			continue
		}
		pages, why := r.Comparison.Accuses(v.c.Primary, p.Incarnation)
		if why == "" {
			continue
		}
		a.of, a.why = p.Incarnation, health.JoinDamage(a.why, why)
		for _, page := range pages {
			if !slices.Contains(a.pages, page) {
				a.pages = append(a.pages, page)
			}
		}
		for _, name := range r.Comparison.Members {
			if m := v.c.Members[name]; m != nil && m.Incarnation == r.Comparison.Incarnations[name] && !slices.Contains(a.good, name) {
				a.good = append(a.good, name)
			}
		}
	}
	if a.of == "" && p.DamagedAs == p.Incarnation && strings.Contains(p.Excluded, health.Compared) {
		a.of, a.why, a.good = p.Incarnation, p.Excluded, v.replicas()
	}
	a.good = slices.DeleteFunc(slices.Clone(a.good), func(name string) bool {
		r := v.fresh(name)
		return name == v.c.Primary || r == nil || v.against(name, r) != ""
	})
	return a
}

// freeze pauses the replay of a replica whose page is, or may be, better than the primary's: the next full-page image of the block would
// carry the damage over. One replica is frozen if without it a failover has a member to promote, and commits have as many replicas as they
// wait for: a frozen one may lose its stream and does not ask for it again, and shows no commit to those that wait for remote_apply. A
// further one is frozen if that is so even after the loss of one more.
func (v *clusterView) freeze() (*state.Command, Reason) {
	if v.conf.Freeze == platform.FreezeOff || v.c.Pause != nil {
		return nil, Reason{}
	}
	a := v.accused()
	if a.of == "" || v.c.Released(a.of, a.pages) {
		return nil, Reason{}
	}
	if cmd, why := v.furtherPages(a); cmd != nil {
		return cmd, why
	}
	for _, name := range v.toFreeze(a) {
		m := v.c.Members[name]
		if v.needsReplay(name) != "" {
			continue
		}
		return &state.Command{Freeze: &state.FreezeMember{Member: name, Incarnation: m.Incarnation, For: a.of, Why: a.why, Pages: a.pages,
			Further: v.c.AnyReleased(a.of)}}, Reason{Code: freezes, Member: name, Other: v.c.Primary, Detail: a.why}
	}
	return nil, Reason{}
}

// furtherPages adds what a comparison has found since to a freeze in force: its release is for all of it, and the frozen replica compares
// those pages, too.
func (v *clusterView) furtherPages(a accusation) (*state.Command, Reason) {
	for _, name := range v.c.Frozen() {
		f := v.c.Members[name].Frozen()
		if f.For != a.of || len(f.Lacks(a.pages)) == 0 {
			continue
		}
		return &state.Command{Freeze: &state.FreezeMember{Member: name, Incarnation: f.As, For: f.For, Why: a.why, Pages: a.pages,
			Further: true}}, Reason{Code: freezesForFurtherPages, Member: name, Other: v.c.Primary, Detail: a.why}
	}
	return nil, Reason{}
}

// toFreeze orders the replicas that could be frozen, the one that a failover needs least first.
func (v *clusterView) toFreeze(a accusation) (names []string) {
	for _, name := range a.good {
		r, m := v.fresh(name), v.c.Members[name]
		if m.HasStreamed && m.Frozen() == nil && m.Mend == nil && r.Incarnation == m.Incarnation && r.Role == health.RoleStandby &&
			!v.conf.Member(name).Leaving {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		a, b := v.conf.Member(x), v.conf.Member(y)
		return cmp.Or(falseFirst(a.MayLead, b.MayLead), falseFirst(!a.NoAck, !b.NoAck), cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(b.Name, a.Name))
	})
	return names
}

// falseFirst orders two values as cmp.Compare does.
func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// needsReplay says why a replica cannot be spared for a freeze, "" if it can.
func (v *clusterView) needsReplay(name string) string {
	p, spare := v.fresh(v.c.Primary), min(len(v.c.Frozen()), 1)
	if p == nil {
		return "nothing is heard of " + v.c.Primary
	}
	leaders, ackers := 0, 0
	for _, other := range v.replicas() {
		r := v.fresh(other)
		if other == name || v.c.Members[other].Frozen() != nil || r == nil || !r.Streams() || r.ReplayPaused {
			continue
		}
		if !v.unable(other, "").given() &&
			(v.site(other) == v.site(v.c.Primary) || v.conf.Failover.AcrossSites == platform.AcrossAutomatic) {
			leaders++
		}
		if s := sender(p, v.c.Members[other].Incarnation); s != nil && near(p, s) && v.State.MayAck(v.conf, v.c.Primary, other) {
			ackers++
		}
	}
	acks := max(v.c.Set().Acks, v.conf.Durability.Acks)
	switch {
	case leaders < 1+spare:
		return "without " + name + " no other replica could take over"
	case ackers < acks+spare:
		return fmt.Sprintf("commits wait for %d replicas, and without %s have %d", acks, name, ackers)
	}
	return ""
}

// frozen says why a member is not promoted automatically, if its replay is frozen.
func (v *clusterView) frozen(name string) Reason {
	if f := v.c.Members[name].Frozen(); f != nil {
		return Reason{Code: isFrozen, Cluster: v.c.Name, Member: name, Detail: f.Why}
	}
	return Reason{}
}

// onlyFrozenLeft tells an operator what there is to choose, if a frozen member is all that could be promoted.
func (v *clusterView) onlyFrozenLeft(ch choice) Reason {
	if ch.best != "" {
		return Reason{}
	}
	var left []string
	for _, s := range ch.all {
		if v.c.Members[s.Member].Frozen() != nil && slices.Contains(ch.byPolicy, s.Member) {
			left = append(left, s.Member)
		}
	}
	if len(left) == 0 {
		return Reason{}
	}
	slices.Sort(left)
	f := v.c.Members[left[0]].Frozen()
	return Reason{Code: onlyFrozenIsLeft, Cluster: v.c.Name, Member: left[0], Names: left, Detail: f.Why}
}

// frozenSilent says which frozen replicas receive nothing, for commits that wait; "" for none.
func (v *clusterView) frozenSilent() string {
	names := slices.DeleteFunc(v.c.Frozen(), func(name string) bool {
		r := v.fresh(name)
		return r == nil || v.streams(r)
	})
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; the replay of %s is frozen, and its stream has ended: released, it acknowledges again (`mainstay integrity release "+
		"%s --reason REASON`)", strings.Join(names, " and "), names[0])
}

// freezeSpeaks tells whether a problem of freezeProblems is about the primary's pages.
func (v *clusterView) freezeSpeaks() bool {
	a := v.accused()
	return len(v.c.Frozen()) > 0 || a.of != "" && !v.c.Released(a.of, a.pages) && len(a.good) > 0
}

// freezeProblems names the replicas that are frozen, and a primary whose damage may spread because none is.
func (v *clusterView) freezeProblems() {
	for _, name := range v.c.Frozen() {
		v.problem(health.ReplicaFrozen, name, v.frozenText(name), false)
	}
	if len(v.c.Frozen()) > 0 {
		return
	}
	if !v.freezeSpeaks() {
		return
	}
	a := v.accused()
	why, handled := "", false
	switch names := v.toFreeze(a); {
	case v.conf.Freeze == platform.FreezeOff:
		why = "`integrity: {freeze: off}` lets replay continue"
	case v.c.Pause != nil:
		why = "the cluster is paused"
	case len(names) == 0:
		why = "no good replica is ready for it"
	case v.needsReplay(names[0]) == "":
		why, handled = names[0]+" will be frozen", true
	default:
		why = v.needsReplay(names[0])
	}
	v.problem(health.ReplayNotFrozen, v.c.Primary, a.why+"; the next full-page image of such a block puts it in the place of the page of "+
		strings.Join(a.good, " and ")+", whose replay is not frozen: "+why, handled)
}

// frozenText says what a frozen replica does, what it costs and for how long, and what there is to decide.
func (v *clusterView) frozenText(name string) string {
	f, r, p := v.c.Members[name].Frozen(), v.fresh(name), v.fresh(v.c.Primary)
	text := "its replay is frozen since " + f.Since + ": " + f.Why
	switch {
	case r == nil:
		return text + ". Its agent is not heard" + v.frozenAdvice(name)
	case r.Frozen == nil || r.Frozen.Incarnation != f.As:
		return text + ". PostgreSQL has not confirmed the pause" + says(r) + "; an agent of an earlier build does not know how: upgrade it" +
			v.frozenAdvice(name)
	}
	text += fmt.Sprintf(". It is paused at %s", r.Frozen.At)
	for _, page := range r.Frozen.Compared {
		text += ". " + page.Page + ", compared again since: " + page.Detail
	}
	if p != nil && p.Role == health.RolePrimary && p.Position > r.Frozen.At {
		text += ". " + v.keptFor(name, f, r, p)
	}
	return text + v.frozenAdvice(name)
}

// keptFor says how much WAL waits for a frozen replica, where, and for how long that can continue.
func (v *clusterView) keptFor(name string, f *state.Freeze, r, p *health.Member) string {
	all := int64(p.Position - r.Frozen.At)
	kept, lasts := all, "it receives"
	text := fmt.Sprintf("%d MB of WAL wait for it", all>>20)
	limit := fmt.Sprintf("; from %d MB on it receives no more, and max_slot_wal_keep_size of %s ends what that keeps: then only a rebuild "+
		"brings it back", r.Frozen.Keeps>>20, p.Name)
	if r.Streams() {
		text += ", on " + name
	} else {
		kept, lasts = int64(p.Position-min(p.Position, r.Position)), "its slot lasts"
		text += fmt.Sprintf(", %d MB on %s, which receives nothing, and %d MB on %s in its slot", int64(r.Position-r.Frozen.At)>>20, name,
			kept>>20, p.Name)
		limit = fmt.Sprintf("; beyond max_slot_wal_keep_size of %s (%d MB) the slot is lost: then only a rebuild brings it back", p.Name,
			r.Frozen.Keeps>>20)
	}
	switch {
	case r.Frozen.Keeps == 0:
		return text
	case !r.Streams() && kept > r.Frozen.Keeps:
		return text + fmt.Sprintf(". That is more than max_slot_wal_keep_size of %s (%d MB): its slot is lost, or may be with any checkpoint "+
			"there. Its pages are not; once released, only a rebuild brings it back", p.Name, r.Frozen.Keeps>>20)
	}
	text += limit
	since, err := time.Parse(time.RFC3339, f.Since)
	if took := v.Wall.Sub(since); err == nil && took > time.Minute && all > 0 && kept < r.Frozen.Keeps {
		left := time.Duration(float64(took) / float64(all) * float64(r.Frozen.Keeps-kept))
		text += fmt.Sprintf(". At the rate so far %s for another %s", lasts, left.Round(time.Minute))
	}
	return text
}

func (v *clusterView) frozenAdvice(name string) string {
	advice := "read the good page there, mend the primary or switch over, then"
	if p := v.c.Members[v.c.Primary]; p != nil && v.c.Members[name].Freeze.For != p.Incarnation {
		advice = v.c.Primary + " is the primary by now, with other data than that: see whether it has the good page, or read it there; then"
	}
	return ". It is not promoted automatically, since a promotion replays the rest, and stopping short of that would lose commits: " + advice +
		" `mainstay integrity release " + name + "`. Do not resume its replay by SQL"
}
