package foreign

import (
	"context"
	"fmt"
	"slices"

	"mainstay/controller/platform"
)

// source is what a restore takes from one of the programs.
type source struct {
	have      archived
	histories histories
	data      func(context.Context, scratch) (manifest string, err error) // restores the files; manifest is a name in data
	segment   func(ctx context.Context, s scratch, name string) error     // fetches a segment or history file
}

// restore plans first: an archive that lacks what is needed is known before a large backup is copied.
func (r *runner) restore(ctx context.Context, o Restore, b Backup, from source) (Restored, error) {
	doing := "restore " + o.ID
	if b.State != Done {
		return Restored{}, r.failed(doing, ErrNoBackup, fmt.Sprintf("its state is: %s. %s", b.State, b.Problem))
	}
	t, line, err := from.histories.choose(b, o.Timeline)
	if err != nil {
		return Restored{}, r.wrapped(doing, err)
	}
	w, err := plan(from.have, b, line, t, o.Until)
	if err != nil {
		return Restored{}, r.wrapped(doing, err)
	}
	if w.gap != nil && (o.Until.LSN != 0 || w.short(b)) {
		return Restored{}, r.wrapped(doing, w.gap) // not even what was asked for is there
	}
	s, err := newScratch(ctx, r.user, o.Into)
	if err != nil {
		return Restored{}, r.wrapped(doing, err)
	}
	manifest, err := from.data(ctx, s)
	if err != nil {
		return Restored{}, r.told(doing, err)
	}
	names := append(slices.Clone(w.names), from.have.lineFiles(line, t)...)
	if err := each(ctx, names, func(ctx context.Context, name string) error { return from.segment(ctx, s, name) }); err != nil {
		return Restored{}, r.told(doing, err)
	}
	done := Restored{Backup: b, Data: s.data(), WAL: s.wal(), Timeline: t, SegmentSize: b.segmentLength, Reaches: w.reaches}
	err = s.do(ctx, func() error {
		var err error
		done.Tablespaces, err = s.settle(manifest)
		return err
	})
	if err != nil {
		return Restored{}, r.failed(doing, ErrScratch, err.Error())
	}
	if manifest != "" {
		done.Manifest = s.manifest()
	}
	if w.gap != nil {
		return done, r.wrapped(doing, w.gap)
	}
	return done, nil
}

// short tells whether the segments before the gap do not even reach the end of the backup.
func (w way) short(b Backup) bool { return uint64(w.reaches)+b.segmentLength < uint64(b.Stop) }

// choose returns the timeline to recover along, and its ancestry. 0 is the newest that descends from the backup.
func (h histories) choose(b Backup, wanted platform.Timeline) (platform.Timeline, platform.History, error) {
	if wanted == 0 {
		wanted = newest(h, b)
	}
	if wanted == b.Timeline {
		return wanted, h[wanted], nil
	}
	if _, known := h[wanted]; !known {
		return 0, nil, fmt.Errorf("%w: no history of timeline %d", ErrNotArchived, wanted)
	}
	if !descends(h[wanted], b) {
		return 0, nil, fmt.Errorf("%w: timeline %d does not come from the end of this backup, %s on timeline %d", ErrNoBackup, wanted, b.Stop,
			b.Timeline)
	}
	return wanted, h[wanted], nil
}

// lineFiles are the history files of a line that the archive has. One of another line would lead recovery astray.
func (a archived) lineFiles(line platform.History, t platform.Timeline) (names []string) {
	for _, name := range a.histories() {
		n := timelineOf(name)
		if _, ancestor := line.ForkOf(n); ancestor || n == t {
			names = append(names, name)
		}
	}
	return names
}

// archive judges the WAL that a repository has for a backup.
func (e *Evidence) archive(have archived, h histories, b Backup) {
	if _, err := whole(have, b, h[b.Timeline], b.Timeline, Until{Immediate: true}); err != nil {
		e.found("%v", err)
		return
	}
	t, line, err := h.choose(b, 0)
	var w way
	if err == nil {
		w, err = whole(have, b, line, t, Until{})
	}
	if err != nil {
		e.later("%v", err)
		return
	}
	e.checked("%d WAL segments are there, to %s on timeline %d", len(w.names), w.reaches, t)
}

// whole is plan where a gap is an error.
func whole(have archived, b Backup, line platform.History, t platform.Timeline, until Until) (way, error) {
	w, err := plan(have, b, line, t, until)
	if err == nil && w.gap != nil {
		err = w.gap
	}
	return w, err
}
