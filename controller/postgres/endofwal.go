package postgres

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"mainstay/controller/platform"
)

func (i *Instance) walDir() string { return filepath.Join(i.Data, "pg_wal") }

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

// segment is one WAL file.
type segment struct {
	timeline platform.Timeline
	number   uint64 // position divided by the segment's size
}

func (s segment) name(size uint64) string {
	per := (1 << 32) / size
	return fmt.Sprintf("%08X%08X%08X", uint32(s.timeline), s.number/per, s.number%per)
}

func parseSegment(name string, size uint64) (segment, bool) {
	if !segmentName.MatchString(name) {
		return segment{}, false
	}
	t, _ := strconv.ParseUint(name[:8], 16, 32)
	hi, _ := strconv.ParseUint(name[8:16], 16, 32)
	lo, _ := strconv.ParseUint(name[16:], 16, 32)
	return segment{platform.Timeline(t), hi*((1<<32)/size) + lo}, true
}

// segments lists the WAL files in pg_wal.
func (i *Instance) segments(size uint64) ([]segment, error) {
	entries, err := os.ReadDir(i.walDir())
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		if s, ok := parseSegment(e.Name(), size); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// EndOfWAL reads, on a stopped server, where valid WAL ends, and on which timeline: from the latest checkpoint's redo
// on, over the newest timeline in pg_wal that descends from the checkpoint's. A clean shutdown's checkpoint is the last
// record, so its end is found here too.
func (i *Instance) EndOfWAL(ctx context.Context) (p Position, err error) {
	defer i.wrap("find the end of WAL of", &err)
	if err := i.stopped(); err != nil {
		return Position{}, err
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return Position{}, err
	}
	t, from, err := i.newest(c)
	if err != nil {
		return Position{}, err
	}
	end, err := i.endOn(ctx, c, t, from)
	if err != nil {
		return Position{Timeline: t}, err
	}
	return Position{LSN: end, Known: end >= c.MinRecovery && end > c.Checkpoint, Timeline: t}, nil
}

// newest finds the timeline whose WAL goes on from the checkpoint, and where to start reading it: at redo, or, on a
// later timeline, at the segment in which it forks: earlier ones may exist under the old timeline's name only.
func (i *Instance) newest(c Control) (platform.Timeline, platform.LSN, error) {
	all, err := i.segments(c.SegmentSize)
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
		h, err := i.readHistory(t)
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

// endOn finds the end of valid WAL on a timeline, quietly first, and where pg_waldump's last words do not say which
// record was the last, by listing them all.
func (i *Instance) endOn(ctx context.Context, c Control, t platform.Timeline, from platform.LSN) (platform.LSN, error) {
	all, err := i.segments(c.SegmentSize)
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
// pg_waldump waits five seconds for a segment that is not there, as after a base backup or a switch of segments: it is not to
// look for one.
func unbroken(all []segment, t platform.Timeline, from platform.LSN, size uint64) platform.LSN {
	n := uint64(from)/size + 1
	for slices.Contains(all, segment{t, n}) {
		n++
	}
	return platform.LSN(n * size)
}

// NoWALError is returned when pg_wal holds no valid record where one was looked for.
type NoWALError struct {
	Timeline platform.Timeline
	From     platform.LSN
	Text     string // pg_waldump's
}

func (e *NoWALError) Error() string {
	return fmt.Sprintf("no valid WAL from %s on timeline %d: %s", e.From, e.Timeline, e.Text)
}

// None tells that the segment was there and simply ends before From, which is no damage.
func (e *NoWALError) None() bool { return dumpNone.MatchString(e.Text) }
