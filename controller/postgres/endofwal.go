package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// EndOfWAL reads, on a stopped server, where valid WAL ends, and on which timeline: from the latest checkpoint's redo
// on, over the newest timeline in pg_wal that descends from the checkpoint's. A clean shutdown's checkpoint is the last
// record, so its end is found here too. It is where PostgreSQL's recovery would end, and unknown where that is in doubt.
func (i *Server) EndOfWAL(ctx context.Context) (p Position, err error) {
	defer i.wrap("find the end of WAL of", &err)
	if err := i.stopped(); err != nil {
		return Position{}, err
	}
	c, native, err := i.control(ctx)
	if err != nil {
		return Position{}, err
	}
	t, from, err := i.wal().newest(c)
	if err != nil {
		return Position{}, err
	}
	if native {
		p, err := i.walk(ctx, c, t)
		if !errors.Is(err, errForeign) {
			return p, err
		}
	}
	end, err := i.endOn(ctx, c, t, from)
	if err != nil {
		return Position{Timeline: t}, err
	}
	return Position{LSN: end, Known: end >= c.MinRecovery && end > c.Checkpoint, Timeline: t}, nil
}

// errForeign is returned for WAL of a version or machine that only PostgreSQL's own programs can read.
var errForeign = errors.New("this WAL has a layout that Mainstay does not know")

// walk follows the WAL of a line of timelines in this process.
func (i *Server) walk(ctx context.Context, c Control, t platform.Timeline) (Position, error) {
	p := Position{Timeline: t}
	major, err := dataMajor(i.Data)
	if err != nil {
		return p, err
	}
	format := ondisk.Format{Major: major, SystemID: c.SystemID, Segment: c.SegmentSize, Page: c.BlockSize}
	if !format.Known() {
		return p, errForeign
	}
	stretches, err := i.wal().stretches(t)
	if err != nil {
		return p, err
	}
	files := &walFiles{owner: i.Owner, dir: i.wal().dir(), segmentSize: c.SegmentSize, pageSize: c.BlockSize, line: stretches}
	end, err := files.follow(ctx, ondisk.NewWalk(format, lineOf(stretches), c.Redo, c.Checkpoint))
	switch {
	case err != nil:
		return p, err
	case end.Foreign:
		return p, errForeign
	case end.Last == 0:
		return p, &NoWALError{t, c.Redo, end.Why}
	}
	p.LSN, p.Known = end.LSN, end.LSN >= c.MinRecovery && end.Checkpoint && !end.Doubt && !files.strayed
	return p, nil
}

// stretches is the line of a timeline, oldest first, itself included. One without a history file counts as without
// ancestors, as for PostgreSQL.
func (w walFolder) stretches(t platform.Timeline) ([]stretch, error) {
	h, err := w.readHistory(t)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []stretch
	var begin platform.LSN
	for _, f := range h {
		out = append(out, stretch{f.Timeline, begin, f.End})
		begin = f.End
	}
	return append(out, stretch{t, begin, endless}), nil
}

func lineOf(all []stretch) (line []platform.Timeline) {
	for _, s := range all {
		line = append(line, s.timeline)
	}
	return line
}

// newest finds the timeline whose WAL continues from the checkpoint, and where to start reading it: at redo, or, on a
// later timeline, at the segment in which it forks: earlier ones may exist under the old timeline's name only.
func (w walFolder) newest(c Control) (platform.Timeline, platform.LSN, error) {
	all, err := w.segments(c.SegmentSize)
	if err != nil {
		return 0, 0, err
	}
	timelines := map[platform.Timeline]bool{}
	for _, s := range all {
		timelines[s.timeline] = true
	}
	for _, t := range slices.Backward(slices.Sorted(maps.Keys(timelines))) {
		if t <= c.Timeline {
			break
		}
		h, err := w.readHistory(t)
		if err != nil {
			return 0, 0, fmt.Errorf("pg_wal has WAL of timeline %d but not its history: %w", t, err)
		}
		fork, ok := h.ForkOf(c.Timeline)
		if !ok || fork < c.Redo || len(h) == 0 {
			continue // of another line of descent
		}
		last := uint64(h[len(h)-1].End) / c.SegmentSize * c.SegmentSize
		if slices.Contains(all, segment{t, last / c.SegmentSize}) {
			return t, max(c.Redo, platform.LSN(last)), nil
		}
	}
	return c.Timeline, c.Redo, nil
}

// NoWALError is returned when pg_wal holds no valid record where one was looked for.
type NoWALError struct {
	Timeline platform.Timeline
	From     platform.LSN
	Text     string // why
}

func (e *NoWALError) Error() string {
	return fmt.Sprintf("no valid WAL from %s on timeline %d: %s", e.From, e.Timeline, e.Text)
}

// None tells that the segment was there and simply ends before From, which is no damage.
func (e *NoWALError) None() bool { return dumpNone.MatchString(e.Text) }
