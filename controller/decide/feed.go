package decide

import (
	"time"

	"mainstay/controller/state"
)

// feedBound is how long a hand-over of WAL may take; then the attempt goes on without it.
const feedBound = 30 * time.Second

// feed waits until the one that may lead holds what the one that may not has. Both are sealed, but for this: nothing comes
// from the old primary, and what arrives was acknowledged, if at all, before.
func (l *look) feed(f *state.Feed) (*state.Command, Reason) {
	from, to := l.fresh(f.From), l.fresh(f.To)
	switch {
	case from == nil || to == nil:
		return l.advanceSeal(nil, Reason{Code: handOverCutOff, Member: f.From, Other: f.To})
	case to.Timeline == from.Timeline && to.Position >= from.Position:
		return l.advanceSeal(nil, Reason{Code: handedOver, Member: f.To, Other: f.From, At: from.Position})
	case l.Watch.held(l.c.Name+"/feed/"+l.c.Attempt.Number.String()) > feedBound:
		return l.advanceSeal(nil, Reason{Code: handOverTooLong, Member: f.From, Other: f.To, For: feedBound})
	}
	return nil, Reason{Code: takesWAL, Member: f.To, Other: f.From, At: to.Position, Past: from.Position}
}

// advanceSeal notes a step of an attempt that seals; feed is the hand-over that goes on after it.
func (l *look) advanceSeal(feed *state.Feed, why Reason) (*state.Command, Reason) {
	return &state.Command{Advance: &state.Advance{Attempt: l.c.Attempt.Number, Phase: state.PhaseSeal, Feed: feed, Note: why.String()}}, why
}
