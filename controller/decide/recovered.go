package decide

import (
	"slices"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// reaffirm gives the primary that is known, and answers as one, an epoch of the new generation after the controllers were
// recovered.
func (v *clusterView) reaffirm(p *health.Member) (*state.Command, Reason) {
	if why := v.overtaken(); why.given() {
		return v.leaveToOperator(why)
	}
	if !v.c.Unconfirmed || p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || p.Epoch != v.c.Epoch {
		return nil, Reason{}
	}
	return &state.Command{Reaffirm: &state.Reaffirm{Epoch: v.c.Epoch}},
		Reason{Code: stillLeads, Member: v.c.Primary}
}

// TwoRecoveries says what to do if two controllers were recovered separately, as one generation.
const TwoRecoveries = "another controller was recovered alone, as the same generation, and agents obey that one: " +
	"stop it for good, then stop this one and recover it once more (`mainstay controllers recover`), " +
	"so that a later generation ends both"

// recoveryProblems names the agents that obey another group of this generation. None of them obeys this one.
func recoveryProblems(in Input) (problems []health.Problem) {
	var hosts []string
	for host, at := range in.OtherGroup {
		if in.Now-at <= otherGroupFor {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	slices.Sort(hosts)
	return []health.Problem{{Kind: health.TwoRecoveries,
		Evidence: TwoRecoveries + ". They are on " + strings.Join(hosts, ", "), Actionable: true}}
}

// otherGroupFor is how long an agent's report that it obeys another group counts.
const otherGroupFor = time.Minute

// overtaken: the lost controllers promoted another primary, of which this log knows nothing, after the one that it
// knows; no reason if no agent reports that, or an operator has decided. Commits acknowledged since are not on the old primary, so
// neither its report nor its disk shows anything (S4).
func (v *clusterView) overtaken() Reason {
	if a := v.c.Attempt; !v.c.Unconfirmed || a != nil && a.Accepted != nil && a.Accepted.Completeness {
		return Reason{}
	}
	old := v.known(v.c.Primary)
	for _, m := range v.conf.Members {
		r := v.known(m.Name)
		if r == nil || !v.c.Epoch.Less(r.Epoch) {
			continue
		}
		if old == nil || old.Epoch.Less(r.Epoch) || r.Timeline != v.c.Timeline { // else the same one continued under a later epoch
			return Reason{Code: laterEpochElsewhere, Member: m.Name, Is: r.Epoch.String(), Want: v.c.Epoch.String(), Other: v.c.Primary}
		}
	}
	return Reason{}
}

func (v *clusterView) leaveToOperator(why Reason) (*state.Command, Reason) {
	return v.failoverWaits("", Reason{Code: operatorMustDecide, Cluster: v.c.Name, Because: []Reason{why}})
}

// promoteUnconfirmed: the old primary's own disk holds every commit that it acknowledged; any other member needs an operator's decision.
func (v *clusterView) promoteUnconfirmed(proof fencing.Proof, ch choice, old *health.Member) (*state.Command, Reason) {
	if proof.Kind == fencing.Stopped && v.restartable(old) {
		ch.best = v.c.Primary
		return v.promote(proof, ch, false, Reason{})
	}
	if cmd, why := v.stopToRestart(); cmd != nil {
		return cmd, why
	}
	return v.waitOrAccept(proof, ch, Reason{Code: controllersRecovered})
}
