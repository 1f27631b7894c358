package agent

import (
	"context"
	"errors"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/fencing/process"
)

// stall measures for how long something that is tried again and again has not ended well. Whoever feeds it brings the time
// and the lock. The zero value has nothing to count.
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

// since begins to count anew from there: an attempt that began then has ended well.
func (s *stall) since(begun, now time.Duration) { *s = stall{counting: true, from: begun, tried: now} }

// failed notes that an attempt has ended, and not well.
func (s *stall) failed(now time.Duration) { s.tried = now }

// excused notes an attempt that was turned away for a reason that neither proves nor disproves a stall: the time since the
// attempt before does not count, and what had been counted until then is not forgotten.
func (s *stall) excused(now time.Duration) {
	s.from += now - s.tried
	s.tried = now
}

// age is what has been counted at now; no time before fair counts, when this process was late itself.
func (s *stall) age(now, fair time.Duration) time.Duration {
	if !s.counting {
		return 0
	}
	return max(0, now-max(s.from, fair))
}

// pulseEvery is how often the agent looks at itself.
const pulseEvery = 100 * time.Millisecond

// pulse tells whether this process is given its turn: it ought to tick every pulseEvery. A starved or stopped agent sees
// everything late, and must not take its own lateness for a member's.
type pulse struct{ last, late time.Duration }

// tick notes that a tick came at now, late if it came more than slack behind its time.
func (p *pulse) tick(now, slack time.Duration) {
	if p.last != 0 && now-p.last > pulseEvery+slack {
		p.late = now
	}
	p.last = now
}

// fair is since when this process has had its turns; now, if a tick is overdue.
func (p *pulse) fair(now, slack time.Duration) time.Duration {
	if p.last != 0 && now-p.last > pulseEvery+slack {
		return now
	}
	return p.late
}

// hung tells whether a look was not answered in time, rather than not well.
func hung(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || pgdial.SQLState(err) == cancelled
}

// cancelled is the SQLSTATE of a statement that the server ended at the same deadline as ours.
const cancelled = "57014"

func saturated(err error) bool { return pgdial.SQLState(err) == pgdial.TooManyConnections }

// beside tells whether a write probe was turned away for a reason beside the write path: no slot is left, our table or its rights have been
// taken away, or the fault is this process's own. What did not end in time, and a disk that is full or fails, is never beside it.
func beside(err error) bool {
	switch code := pgdial.SQLState(err); {
	case saturated(err), process.Starved(err):
		return true
	case code == "55P03", code == "25006": // our row is locked, the transaction may not write
		return true
	default:
		class := code[:min(2, len(code))]
		return class == "28" || class == "3D" || class == "3F" || class == "42" || class == "P0" // a trigger's own word
	}
}
