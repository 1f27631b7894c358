package supervisor

import (
	"context"
	"errors"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/fencing/process"
)

// stall measures how long repeated attempts have not succeeded. Its caller supplies the time and holds the lock. The zero value counts
// nothing.
type stall struct {
	counting bool
	from     time.Duration // counted from here, if counting
	tried    time.Duration // when the last attempt ended, or the first began
}

// begin notes that an attempt begins.
func (s *stall) begin(now time.Duration) {
	if !s.counting {
		*s = stall{counting: true, from: now, tried: now}
	}
}

// since restarts the count there: an attempt that began then has succeeded.
func (s *stall) since(begun, now time.Duration) { *s = stall{counting: true, from: begun, tried: now} }

// failed notes that an attempt has failed.
func (s *stall) failed(now time.Duration) { s.tried = now }

// excused notes an attempt that was refused for a reason that neither proves nor disproves a stall: the time since the attempt before
// does not count, but the count up to then stays.
func (s *stall) excused(now time.Duration) {
	s.from += now - s.tried
	s.tried = now
}

// age is the count at now. It excludes time before fair, when this process itself was late.
func (s *stall) age(now, fair time.Duration) time.Duration {
	if !s.counting {
		return 0
	}
	return max(0, now-max(s.from, fair))
}

// hung tells whether a look was not answered in time, as opposed to answered with an error.
func hung(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || pgdial.SQLState(err) == cancelled
}

// cancelled is the SQLSTATE of a statement that the server itself ended at the agent's deadline.
const cancelled = "57014"

func saturated(err error) bool { return pgdial.SQLState(err) == pgdial.TooManyConnections }

// beside tells whether a write probe failed for a reason outside the write path: no slot is left, Mainstay's table or its rights were
// removed, or the fault is this process's own. A timeout, or a disk that is full or fails, is never outside it.
func beside(err error) bool {
	switch code := pgdial.SQLState(err); {
	case saturated(err), process.Starved(err):
		return true
	case code == "55P03", code == "25006": // the probe's row is locked, or the transaction is read-only
		return true
	default:
		class := code[:min(2, len(code))]
		return class == "28" || class == "3D" || class == "3F" || class == "42" || class == "P0" // P0: raised by a trigger
	}
}
