package decide

import (
	"time"

	"mainstay/controller/state"
)

// catchUpOfSealedBound is how long a hand-over of WAL may take; then the attempt continues without it.
const catchUpOfSealedBound = 30 * time.Second

// catchUp waits until the member that may lead holds all WAL of the one that may not. Both are sealed, except for this: nothing
// comes from the old primary, and any commit that arrives was acknowledged, if at all, before.
func (v *clusterView) catchUp(f *state.CatchUp) (*state.Command, Reason) {
	from, to := v.fresh(f.From), v.fresh(f.To)
	switch {
	case from == nil || to == nil:
		return v.advanceSeal(nil, Reason{Code: handOverCutOff, Member: f.From, Other: f.To})
	case to.Timeline == from.Timeline && to.Position >= from.Position:
		return v.advanceSeal(nil, Reason{Code: handedOver, Member: f.To, Other: f.From, At: from.Position})
	case v.heldFor(sealedCatchesUp, v.c.Attempt.Number.String()) > catchUpOfSealedBound:
		return v.advanceSeal(nil, Reason{Code: handOverTooLong, Member: f.From, Other: f.To, For: catchUpOfSealedBound})
	}
	return nil, Reason{Code: takesWAL, Member: f.To, Other: f.From, At: to.Position, Past: from.Position}
}

// advanceSeal notes a step of an attempt that seals; catchUp is the hand-over that continues after it.
func (v *clusterView) advanceSeal(catchUp *state.CatchUp, why Reason) (*state.Command, Reason) {
	return &state.Command{Advance: &state.Advance{Attempt: v.c.Attempt.Number, Phase: state.PhaseSeal, CatchUp: catchUp, Note: why.String()}},
		why
}
