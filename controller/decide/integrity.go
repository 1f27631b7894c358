package decide

import (
	"strings"

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
	for i := range v.conf.Members {
		name := v.conf.Members[i].Name
		r, m := v.fresh(name), v.c.Members[name]
		if r == nil || r.Incarnation != m.Incarnation || m.Excluded != "" || health.KnownDamage(r.Damage, m.Cleared) {
			continue
		}
		return &state.Command{Judge: &state.Judge{Member: name, Incarnation: m.Incarnation, Excluded: r.Damage}},
			Reason{Code: damageFound, Member: name, Detail: r.Damage}
	}
	return nil, Reason{}
}

// undamaged names the replicas that stream and against whose data nothing is known.
func (v *clusterView) undamaged() (names []string) {
	for _, name := range v.replicas() {
		if r := v.fresh(name); r != nil && r.Streams() && v.against(name, r) == "" {
			names = append(names, name)
		}
	}
	return names
}

// damageProblem says what is known against a member's data, and what follows from it.
func (v *clusterView) damageProblem(name, why string) {
	if name != v.c.Primary {
		v.problem(health.ReplicaCorrupt, name, why+"; it is not promoted, and is rebuilt from a primary against which nothing is known", true)
		return
	}
	next := "; nothing is known against the data of " + strings.Join(v.undamaged(), " and ") + ": hand over to it"
	if len(v.undamaged()) == 0 {
		next = "; no replica that streams has better data"
	}
	v.problem(health.PrimaryCorrupt, name, why+"; no replica is rebuilt from it"+next, false)
}
