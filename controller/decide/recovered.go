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
func (l *look) reaffirm(p *health.Member) (*state.Command, Reason) {
	if why := l.overtaken(); why.given() {
		return l.leaveToOperator(why)
	}
	if !l.c.Doubtful || p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || p.Epoch != l.c.Epoch {
		return nil, Reason{}
	}
	return &state.Command{Reaffirm: &state.Reaffirm{Epoch: l.c.Epoch}},
		Reason{Code: stillLeads, Member: l.c.Primary}
}

// TwoRecoveries is what to do where two controllers were recovered by themselves, as one generation.
const TwoRecoveries = "another controller was recovered by itself, as the same generation, and agents obey that one: " +
	"stop it for good, then stop this one and recover it once more (`mainstay controllers recover`), " +
	"so that a later generation ends both"

// recoveryProblems names the agents that obey another group of this generation. None of them obeys this one.
func recoveryProblems(in Input) (problems []health.Problem) {
	var hosts []string
	for host, at := range in.Strange {
		if in.Now-at <= strangeFor {
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

// strangeFor is for how long an agent's word that it obeys another group counts.
const strangeFor = time.Minute

// overtaken: the lost controllers had made another member primary, of which this log knows nothing, after the one that it
// knows; no reason where no agent tells of that, or an operator has decided. What was acknowledged since is not on the old primary, so
// neither its word nor its disk shows anything (S4).
func (l *look) overtaken() Reason {
	if a := l.c.Attempt; !l.c.Doubtful || a != nil && a.Accepted != nil && a.Accepted.Completeness {
		return Reason{}
	}
	old := l.known(l.c.Primary)
	for _, m := range l.conf.Members {
		r := l.known(m.Name)
		if r == nil || !l.c.Epoch.Less(r.Epoch) {
			continue
		}
		if old == nil || old.Epoch.Less(r.Epoch) || r.Timeline != l.c.Timeline { // else the same one went on under a later epoch
			return Reason{Code: laterEpochElsewhere, Member: m.Name, Is: r.Epoch.String(), Want: l.c.Epoch.String(), Other: l.c.Primary}
		}
	}
	return Reason{}
}

func (l *look) leaveToOperator(why Reason) (*state.Command, Reason) {
	return l.failoverWaits("", Reason{Code: operatorMustDecide, Cluster: l.c.Name, Because: []Reason{why}})
}

// promoteDoubtful: the old primary's own disk holds what it acknowledged; anybody else needs an operator's word.
func (l *look) promoteDoubtful(proof fencing.Proof, ch choice, old *health.Member) (*state.Command, Reason) {
	if proof.Kind == fencing.Stopped && l.restartable(old) {
		ch.best = l.c.Primary
		return l.promote(proof, ch, false, Reason{})
	}
	if cmd, why := l.stopToRestart(); cmd != nil {
		return cmd, why
	}
	return l.waitOrAccept(proof, ch, Reason{Code: controllersRecovered})
}
