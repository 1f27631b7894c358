package decide

import (
	"errors"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// reaffirm gives the primary that is known, and answers as one, an epoch of the new generation after the controllers were
// recovered.
func (l *look) reaffirm(p *health.Member) (*state.Command, Reason) {
	if !l.c.Doubtful || p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || p.Epoch != l.c.Epoch {
		return nil, Reason{}
	}
	return &state.Command{Reaffirm: &state.Reaffirm{Epoch: l.c.Epoch, Guarded: p.Guard.Complete}},
		Reason{RuleUpkeep, l.c.Primary + " still leads: it goes on under an epoch of the new generation"}
}

// errDoubtful is why nothing shows completeness after a recovery.
var errDoubtful = errors.New("the controllers were recovered since: what the lost ones did is not known")

// promoteDoubtful: the old primary's own disk holds what it acknowledged; anybody else needs an operator's word.
func (l *look) promoteDoubtful(proof fencing.Proof, ch choice, old *health.Member) (*state.Command, Reason) {
	if proof.Kind == fencing.Stopped && l.restartable(old) {
		ch.best = l.c.Primary
		return l.promote(proof, ch, false, "")
	}
	if cmd, why := l.stopToRestart(); cmd != nil {
		return cmd, why
	}
	return l.waitOrAccept(proof, ch, errDoubtful)
}
