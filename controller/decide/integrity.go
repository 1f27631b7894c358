package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// against is what is known against the data of a member (S5): the verdict in the log, or evidence in its report that is still to be
// recorded; "" for nothing.
func (v *clusterView) against(name string, r *health.Member) string {
	m := v.c.Members[name]
	if m.Excluded == "" && r != nil && !health.KnownDamage(r.Damage, m.Cleared) {
		return r.Damage
	}
	return m.Excluded
}

// judge records evidence of damage that a report brings. It outlives the report: PostgreSQL forgets its count of bad pages in a crash, and
// the member may be stopped when its data is needed.
func (v *clusterView) judge() (*state.Command, Reason) {
	for i, r := range v.allFresh() {
		name := v.conf.Members[i].Name
		m := v.c.Members[name]
		if r == nil || r.Incarnation == "" || m.Excluded != "" {
			continue
		}
		if r.Incarnation != m.Incarnation && m.HasStreamed { // an old report
			continue
		}
		damage := v.evidence(name, r)
		if health.KnownDamage(damage, m.Cleared) {
			continue
		}
		return &state.Command{Judge: &state.Judge{Member: name, Incarnation: r.Incarnation, Excluded: damage}},
			Reason{Code: damageFound, Member: name, Detail: damage}
	}
	return nil, Reason{}
}

// Evidence is all that speaks against the data of a member so that it is not promoted, also what an operator has set aside; "" for nothing.
func Evidence(in Input, cluster, name string) string {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || c.Members[name] == nil {
		return ""
	}
	v := &clusterView{Input: in, c: c, conf: conf}
	damage := c.Members[name].Excluded
	if r := v.known(name); r != nil {
		damage = health.JoinDamage(damage, v.evidence(name, r))
	}
	return damage
}

// evidence is what agents report against the data of a member.
func (v *clusterView) evidence(name string, r *health.Member) string {
	return health.JoinDamage(health.JoinDamage(r.Damage, v.compared(name, r)), v.inspected(name, r))
}

// inspected is what a check of the structure has shown against the data of a member. Damage that WAL does not carry is that copy's own.
// Rows, index entries and the like may have come from the primary, and then each member has them: an exclusion would leave none to promote,
// and a copy would bring them again. So they count only where a comparison has found that this member's file differs, and a check of the
// structure of a member that has the other page has not found them.
func (v *clusterView) inspected(name string, r *health.Member) string {
	f := r.Checks.FoundBy()
	if f == nil || f.Incarnation != r.Incarnation && !r.Had(f.Incarnation) {
		return ""
	}
	var files []string
	for _, d := range f.Damage {
		if d.Own || v.differs(name, f.Incarnation, d) {
			files = append(files, d.String())
		}
	}
	return health.NamePages(health.Inspected, files, 0)
}

// differs tells whether the damaged file of a member's data is another one than that of members whose own is sound: of all that a
// comparison suspects beside it; or, where it names the member, of one of the others.
func (v *clusterView) differs(name, incarnation string, file health.RelationFile) bool {
	for _, by := range v.allFresh() {
		if by == nil || by.Comparison == nil || by.Comparison.Incarnations[name] != incarnation {
			continue
		}
		c := by.Comparison
		for _, d := range c.Damage {
			if !d.Settled || !slices.Contains(d.Suspects, name) || !file.In(d) {
				continue
			}
			unsound := func(other string) bool { return !v.soundFile(other, c.Incarnations[other], file) }
			if d.Named {
				others := slices.DeleteFunc(slices.Clone(c.Members), func(o string) bool { return slices.Contains(d.Suspects, o) })
				if len(slices.DeleteFunc(others, unsound)) > 0 {
					return true
				}
				continue
			}
			others := slices.DeleteFunc(slices.Clone(d.Suspects), func(o string) bool { return o == name })
			if len(others) > 0 && !slices.ContainsFunc(others, unsound) {
				return true
			}
		}
	}
	return false
}

// soundFile tells whether a check of the structure of that data of a member has reached its end, and has not found that damage.
func (v *clusterView) soundFile(name, incarnation string, file health.RelationFile) bool {
	r := v.fresh(name)
	if r == nil {
		return false
	}
	f := r.Checks.FoundBy()
	return f != nil && f.Complete && f.Incarnation == incarnation && r.Incarnation == incarnation && !f.Has(file)
}

// everywhere names another member whose check of the structure has found all that a member's has; "" for none.
func (v *clusterView) everywhere(name string, f *health.StructureFound) string {
	if f == nil || len(f.Damage) == 0 {
		return ""
	}
	for i, r := range v.allFresh() {
		other := v.conf.Members[i].Name
		if r == nil || other == name || r.Checks.FoundBy() == nil || r.Checks.Found.Incarnation != r.Incarnation {
			continue
		}
		if !slices.ContainsFunc(f.Damage, func(d health.RelationFile) bool { return !r.Checks.Found.Has(d) }) {
			return other
		}
	}
	return ""
}

// compared is what comparisons of the cluster's members, which its agents have made, have proven against the data of one.
// What was said of it under a former name still holds: a rewind keeps the pages that it need not replace.
func (v *clusterView) compared(name string, r *health.Member) (damage string) {
	for _, by := range v.allFresh() {
		if by == nil || by.Comparison == nil {
			continue
		}
		if of := by.Comparison.Incarnations[name]; of == r.Incarnation || r.Had(of) {
			damage = health.JoinDamage(damage, by.Comparison.Against(name, of))
		}
	}
	return damage
}

// suspected says what deep checks have found of the data of a member that it does not exclude; "" for nothing. Of a primary's pages it says
// nothing where a freeze, or the want of one, does.
func (v *clusterView) suspected(name string, r *health.Member) (found string) {
	if name != v.c.Primary || !v.freezeSpeaks() {
		for _, by := range v.allFresh() {
			if by == nil || by.Comparison.Against(name, r.Incarnation) != "" { // that excludes it, or an operator has set it aside
				continue
			}
			_, why := by.Comparison.Accuses(name, r.Incarnation)
			found = health.JoinDamage(found, why)
		}
	}
	if damage := r.Checks.Of(platform.CheckStructure).Damage; damage != "" {
		text := health.Inspected + damage
		if other := v.everywhere(name, r.Checks.FoundBy()); other != "" {
			text += ". That of " + other + " found it as well, so that it came with the WAL: REINDEX of an index whose table is sound, on the " +
				"primary, mends it on every member"
		}
		found = health.JoinDamage(found, text)
	}
	return found
}

// undamaged names the replicas that stream, whose replay is not frozen, and against whose data nothing is known.
func (v *clusterView) undamaged() (names []string) {
	for _, name := range v.replicas() {
		if r := v.fresh(name); r != nil && r.Streams() && !v.frozen(name).given() && v.against(name, r) == "" {
			names = append(names, name)
		}
	}
	return names
}

// proven names the replica that takes the role of a primary whose data is damaged: it could take over now, its site is one to which a
// failover may go, and all its files were read since the damage was known, without a finding. The one with the highest priority comes
// first. "" for none.
func (v *clusterView) proven() (best string) {
	for _, name := range v.replicas() {
		r, m := v.fresh(name), v.conf.Member(name)
		if r == nil || !r.Scan.Clean() || r.Scan.For != v.c.Members[v.c.Primary].DamagedAs || !m.MayLead ||
			v.site(name) != v.site(v.c.Primary) && v.conf.Failover.AcrossSites != platform.AcrossAutomatic ||
			len(v.SwitchoverBlockers(name)) > 0 {
			continue
		}
		if best == "" || m.Priority > v.conf.Member(best).Priority {
			best = name
		}
	}
	return best
}

// leaveDamage begins a switchover away from a primary whose data is damaged, where the cluster's policy says so. It is tried once in an
// epoch: what stopped it needs a person.
func (v *clusterView) leaveDamage() (*state.Command, Reason) {
	damage := v.c.Members[v.c.Primary].Excluded
	if damage == "" || v.conf.Failover.OnCorruption != platform.AutomaticOnCorruption || v.c.Pause != nil || v.triedToLeave() {
		return nil, Reason{}
	}
	to := v.proven()
	if to == "" {
		return nil, Reason{}
	}
	why := Reason{Code: leavesDamage, Member: v.c.Primary, Other: to, Detail: damage}
	return &state.Command{Begin: &state.Begin{Kind: state.Switchover, To: to, Reason: why.String()}}, why
}

// triedToLeave: such a switchover was given up in this epoch.
func (v *clusterView) triedToLeave() bool {
	return slices.ContainsFunc(v.c.Operations, func(o state.Operation) bool {
		return o.Kind == state.Switchover && o.By == byMainstay && v.c.Epoch.Less(o.Epoch)
	})
}

// damageProblem says what is known against a member's data, and what follows from it.
func (v *clusterView) damageProblem(name, why string) {
	if p := v.fresh(v.c.Primary); name != v.c.Primary {
		next, handled := "; it is not promoted, and is rebuilt from a primary against which nothing is known", true
		if r := v.fresh(name); p != nil && r != nil && r.Streams() && v.sound(p) {
			if until := v.unspared(p, name); until != "" {
				next, handled = "; it is not promoted, and is rebuilt once "+until, false
			}
		}
		v.problem(health.ReplicaCorrupt, name, why+next, handled)
		return
	}
	next, handled := "; nothing is known against the data of "+strings.Join(v.undamaged(), " and ")+": hand over with `mainstay switchover "+
		v.c.Name+"`", false
	switch automatic := v.conf.Failover.OnCorruption == platform.AutomaticOnCorruption && v.c.Pause == nil; {
	case len(v.undamaged()) == 0:
		next = "; no replica that streams and could take over has better data"
		if frozen := v.c.Frozen(); len(frozen) > 0 {
			next += " (the replay of " + strings.Join(frozen, " and ") + " is frozen)"
		}
	case automatic && v.triedToLeave():
		next += " (the automatic switchover was given up; see `mainstay history`)"
	case automatic:
		next, handled = "; its role moves once all files of "+strings.Join(v.undamaged(), " or ")+" have been read without a finding", true
	}
	v.problem(health.PrimaryCorrupt, name, why+"; no replica is rebuilt from it"+next+". `mainstay integrity check "+v.c.Name+
		" --depth pages` reads the pages of all members now", handled)
}

// returnBound is how long a replica with damaged data, such as a former primary, may take to stream where commits cannot do without it.
const returnBound = time.Minute

// mayRepair tells whether the data of a replica that asks for it may be discarded now.
func (v *clusterView) mayRepair(p, r *health.Member) bool {
	m := v.c.Members[r.Name]
	if m.Frozen() != nil || m.Mend != nil {
		return false
	}
	damaged := m.DamagedAs != "" && (m.DamagedAs == m.Incarnation || r.Had(m.DamagedAs))
	switch streams := r.Streams() && sender(p, m.Incarnation) != nil; {
	case streams && damaged:
		return p.Damage == "" && v.unspared(p, r.Name) == ""
	case streams: // the report is from before an operator has set the evidence aside
		return false
	case damaged && v.View.NotStreaming(m.Incarnation, v.Now) <= platform.Suspect(v.conf.Lease):
		return false // the stream may have ended because the primary has: then a failover needs what the replica holds
	case damaged && v.unspared(p, r.Name) != "" && v.heldFor(damagedReturns, r.Name) <= returnBound:
		return false // commits need it: it streams as it is, and is rebuilt once it can be spared
	}
	return !v.lineAtFault(p, r).given()
}

// unspared says until when a replica that streams must not be stopped for a copy, which takes hours; "" if it may be: no other one is being
// repaired, and without it commits have as many caught-up replicas as they wait for. Otherwise they would wait for the copy.
func (v *clusterView) unspared(p *health.Member, name string) string {
	for _, other := range v.replicas() {
		if other != name && !v.c.Members[other].HasStreamed && !v.conf.Member(other).Leaving {
			return other + " is repaired"
		}
	}
	left := v.caughtUpAckers(p)
	if s := sender(p, v.c.Members[name].Incarnation); s != nil && near(p, s) && v.c.Members[name].Frozen() == nil &&
		v.State.MayAck(v.conf, v.c.Primary, name) {
		left--
	}
	acks := max(v.c.Set().Acks, v.conf.Durability.Acks)
	if left >= acks {
		return ""
	}
	where := ""
	if v.conf.Durability.From == platform.FromOtherSite {
		where = " on another site"
	}
	return fmt.Sprintf("commits have enough other replicas (they wait for %d, and without it have %d): add a replica%s, or lower `acks`",
		acks, left, where)
}
