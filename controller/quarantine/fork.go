package quarantine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// notCountableError is returned when the WAL that a rewind would discard is unknown or spans several timelines: a rebuild then keeps the
// data whole instead.
type notCountableError struct{ why string }

func (e *notCountableError) Error() string { return e.why }

// fork reads the ancestry of the data's timeline, and finds where it left the goal's history.
func fork(ctx context.Context, pg *postgres.Server, timeline platform.Timeline,
	goal platform.Goal) (platform.History, platform.Fork, error) {
	own, err := pg.ReadHistory(ctx, timeline)
	if err != nil {
		return nil, platform.Fork{}, err
	}
	line := append(slices.Clone(own), platform.Fork{Timeline: timeline, End: endless})
	at, err := divergence(line, goal)
	return line, at, err
}

const endless = platform.LSN(math.MaxUint64)

// divergence is the first timeline of an ancestry, and the position on it, that is not part of the goal's history. An ancestry ends
// with the present timeline, which has no end.
func divergence(line platform.History, goal platform.Goal) (platform.Fork, error) {
	for n, f := range line {
		end, common := goal.History.ForkOf(f.Timeline)
		if f.Timeline == goal.Timeline {
			end, common = endless, true
		}
		switch {
		case !common && n == 0:
			return platform.Fork{}, &notCountableError{fmt.Sprintf("timeline %d and timeline %d have no common history", f.Timeline, goal.Timeline)}
		case !common:
			return platform.Fork{Timeline: f.Timeline, End: line[n-1].End}, nil
		case end < f.End:
			return platform.Fork{Timeline: f.Timeline, End: end}, nil
		case end > f.End:
			return platform.Fork{Timeline: line[n+1].Timeline, End: f.End}, nil
		}
	}
	return platform.Fork{},
		&notCountableError{fmt.Sprintf("the data is on timeline %d, like the primary, so where it left the primary's history is unknown",
			goal.Timeline)}
}

// BeyondRewind tells whether a rewind could not keep the WAL that it would discard; then only a rebuild remains, which keeps everything.
func BeyondRewind(err error) bool {
	var none *postgres.NoWALError
	var many *notCountableError
	return errors.As(err, &none) || errors.As(err, &many)
}
