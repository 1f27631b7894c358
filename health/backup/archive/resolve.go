package archive

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// Point is where a recovery should stop: recovery_target_lsn, and recovery_target_inclusive.
type Point struct {
	LSN       platform.LSN
	Inclusive bool
	// End tells that the archive ends before anything follows that the point excludes: recover all of it, without a target, and compare the
	// end with LSN. With a target that no record follows, PostgreSQL would refuse.
	End bool
	// Newest is the latest time that was found up to the point, in commits, aborts, restore points and checkpoints. Where End is set and it
	// is before the time that was asked for, commits between both may not have been archived.
	Newest time.Time
}

// NoSuchPointError is returned for a restore point that is not in the archive.
type NoSuchPointError struct {
	Name, Target string
	From, To     platform.LSN // that were searched
}

func (e *NoSuchPointError) Error() string {
	return fmt.Sprintf("there is no restore point %q between %s and %s in the archive at target %s", e.Name, e.From, e.To, e.Target)
}

// AtTime finds the point of a time on the way of a timeline, from a backup's redo on: before the first commit or abort in the order of WAL
// whose time is later. Times are the clock of the primary that wrote them, and not in order: commits that follow in WAL with an earlier
// time are not recovered, as with PostgreSQL's own recovery_target_time.
func (r *Reader) AtTime(ctx context.Context, t platform.Timeline, from platform.LSN, at time.Time) (Point, error) {
	p, found := Point{}, false
	end, err := r.marks(ctx, t, from, func(m ondisk.Mark) {
		switch {
		case found:
		case m.Time.After(at) && (m.Kind == ondisk.Commit || m.Kind == ondisk.Abort):
			p.LSN, found = m.Begin, true
		case m.Time.After(p.Newest):
			p.Newest = m.Time
		}
	}, func() bool { return found })
	if err == nil && !found {
		p.LSN, p.End = end.LSN, true
	}
	return p, err
}

// AtName finds the first restore point of that name on the way of a timeline, from a backup's redo on; NoSuchPointError if there is none.
func (r *Reader) AtName(ctx context.Context, t platform.Timeline, from platform.LSN, name string) (Point, error) {
	p, found := Point{Inclusive: true}, false
	end, err := r.marks(ctx, t, from, func(m ondisk.Mark) {
		if m.Kind == ondisk.RestorePoint && m.Name == name && !found {
			p.LSN, p.Newest, found = m.Begin, m.Time, true
		}
	}, func() bool { return found })
	if err == nil && !found {
		err = &NoSuchPointError{name, r.name, from, end.LSN}
	}
	return p, err
}
