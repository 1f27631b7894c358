package postgres

import (
	"context"
	"slices"

	"mainstay/controller/platform"
)

// endOn finds the end of valid WAL on a timeline, quietly first, and where pg_waldump's last words do not say which
// record was the last, by listing them all.
func (i *Server) endOn(ctx context.Context, c Control, t platform.Timeline, from platform.LSN) (platform.LSN, error) {
	all, err := i.wal().segments(c.SegmentSize)
	if err != nil {
		return 0, err
	}
	until := unbroken(all, t, from, c.SegmentSize).String()
	text, err := i.dump(ctx, t, from, func(record) {}, "-e", until, "--quiet")
	if err != nil {
		return 0, err
	}
	if m := dumpEnd.FindStringSubmatch(text); m != nil {
		return platform.ParseLSN(m[2])
	}
	if m := dumpBad.FindStringSubmatch(text); m != nil {
		at, err := platform.ParseLSN(m[1])
		if err != nil {
			return 0, err
		}
		r, err := i.recordAt(ctx, t, at)
		return r.end(c.BlockSize, c.SegmentSize), err
	}
	var last record
	text, err = i.dump(ctx, t, from, func(r record) { last = r }, "-e", until)
	if err != nil {
		return 0, err
	}
	if last.start == 0 {
		return 0, &NoWALError{t, from, text}
	}
	return last.end(c.BlockSize, c.SegmentSize), nil
}

// unbroken is the end of the last segment that can be reached from a position without a gap; at least the end of its own.
// pg_waldump waits five seconds for a segment that is not there, as after a base backup or a switch of segments: it must not
// look for one.
func unbroken(all []segment, t platform.Timeline, from platform.LSN, size uint64) platform.LSN {
	n := uint64(from)/size + 1
	for slices.Contains(all, segment{t, n}) {
		n++
	}
	return platform.LSN(n * size)
}
