package decide

import (
	"time"

	"mainstay/controller/state"
	"mainstay/health"
)

const (
	// mendBound is how long an agent may take to mend a page, the stop and the start of PostgreSQL included.
	mendBound = 5 * time.Minute
	// comparedBound is how long the page may wait to be compared again after that.
	comparedBound = time.Minute
)

// mend ends the mending of a page: once its agent has told how it went, and the member runs again; or where it cannot continue.
func (v *clusterView) mend() (*state.Command, Reason) {
	for i := range v.conf.Members {
		name := v.conf.Members[i].Name
		m := v.c.Members[name]
		if m.Mend == nil {
			continue
		}
		end := func(done bool, why Reason) (*state.Command, Reason) {
			return &state.Command{Mend: &state.MendPage{Member: name, Ended: m.Mend.Number, Done: done, Outcome: why.String()}}, why
		}
		r := v.fresh(name)
		if r != nil && r.Mended != nil && r.Mended.Number == m.Mend.Number && (r.Process == health.ProcessRunning || r.Needs != "") {
			why := Reason{Code: mendEnded, Member: name, Detail: r.Mended.Detail}
			if !r.Mended.Done {
				return end(false, why)
			}
			waits := v.heldFor(mendCompares, name)
			if c := r.Mended.Compared; c != nil {
				if c.Detail != "" {
					why = join(why, Reason{Code: mendCompared, Member: name, Detail: c.Detail})
				}
				return end(!c.Differs, why)
			} else if waits > comparedBound || name == v.c.Primary || r.Needs != "" { // then there is nothing to compare with, or no stream
				return end(true, join(why, Reason{Code: mendNotCompared}))
			}
			continue
		}
		switch waits := v.heldFor(mendWaits, name); {
		case name == v.c.Primary || m.Incarnation != m.Mend.As:
			return end(false, Reason{Code: mendOvertaken, Member: name})
		case r != nil && r.Corrupt != "": // it is not started, and needs a rebuild
			return end(false, Reason{Code: mendNeedless, Member: name, Detail: r.Corrupt})
		case r != nil && r.Needs != "": // its data cannot follow the primary, and its page is mended no more
			return end(false, Reason{Code: mendDiverged, Member: name, Detail: r.Needs})
		case waits > mendBound:
			return end(false, Reason{Code: mendTooLong, Member: name, For: mendBound})
		}
	}
	return nil, Reason{}
}

// CheckMend says what speaks against stopping a replica for the mending of a page, from another member's page.
func CheckMend(in Input, cluster, name, from string) (bad []Reason) {
	in.Conditions = in.Conditions.Clone()
	in.Conditions.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	v := &clusterView{Input: in, c: c, conf: conf, decision: &Decision{}}
	p, r := v.fresh(c.Primary), v.fresh(name)
	switch {
	case p == nil:
		return []Reason{{Code: primaryNotWell, Cluster: cluster, Member: c.Primary}}
	case r == nil || r.Process != health.ProcessRunning || r.Role != health.RoleStandby:
		return []Reason{{Code: noRunningStandby, Member: name}}
	case c.Members[name].Frozen() != nil:
		return []Reason{{Code: mendFrozen, Member: name}}
	}
	if until := v.unspared(p, name); until != "" {
		bad = append(bad, Reason{Code: mendNotSpared, Member: name, Detail: until})
	}
	if from != "" {
		if why := v.against(from, v.fresh(from)); why != "" {
			bad = append(bad, Reason{Code: mendFromDamaged, Member: name, Other: from, Detail: why})
		}
	}
	return bad
}
