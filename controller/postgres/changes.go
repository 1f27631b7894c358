package postgres

import (
	"context"
	"fmt"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// Followed is how far WAL was read for the changes that it names.
type Followed struct {
	End   platform.LSN // of the last record; where the reading began, if there was none
	Bytes int64        // of WAL
	Why   string       // it ended there
}

// Changes reads, also of a running server, the WAL of one timeline in pg_wal from a position on at which a record begins, up to another one
// (0: no bound), and calls visit for each change of relations' files that it names. WAL behind what was flushed may be written anew after a
// crash. pace is called with the bytes of each read before it is made; nil: never. The caller judges by Followed whether that was far
// enough: WAL that was removed, or is not written yet, is no error. The errors are those of the files and of pace, and one for WAL of a
// version or machine that only PostgreSQL's own programs can read.
func (i *Server) Changes(ctx context.Context, t platform.Timeline, from, until platform.LSN, pace func(context.Context, int) error,
	visit func(ondisk.Change)) (f Followed, err error) {
	defer i.wrap("read the WAL of", &err)
	c, native, err := i.control(ctx)
	if err != nil {
		return f, err
	}
	major, err := dataMajor(i.Data)
	if err != nil {
		return f, err
	}
	format := ondisk.Format{Major: major, SystemID: c.SystemID, Segment: c.SegmentSize, Page: c.BlockSize}
	if !native || !format.Known() {
		return f, errForeign
	}
	files := &walFiles{owner: i.Owner, dir: i.wal().dir(), segmentSize: c.SegmentSize, pageSize: c.BlockSize, pace: pace,
		line: []stretch{{t, 0, endless}}}
	walk := ondisk.NewWalk(format, []platform.Timeline{t}, from, 0)
	walk.Each(until, visit)
	end, err := files.follow(ctx, walk)
	switch {
	case err != nil:
		return f, err
	case end.Foreign:
		return f, errForeign
	case end.Last == 0:
		return Followed{End: from, Why: end.Why}, nil
	}
	return Followed{End: end.LSN, Bytes: int64(end.LSN - from), Why: end.Why}, nil
}

// Reaches tells whether that was far enough: the error says why not.
func (f *Followed) Reaches(until platform.LSN) error {
	if f.End < until {
		return fmt.Errorf("its WAL could be read to %s and not to %s: %s", f.End, until, f.Why)
	}
	return nil
}
