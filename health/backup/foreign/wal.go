package foreign

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// mostSegments bounds the way from a backup to the end of an archive. It is 16 TB at the usual size.
const mostSegments = 1 << 20

var (
	segmentForm = regexp.MustCompile(`^[0-9A-F]{24}$`)
	historyForm = regexp.MustCompile(`^[0-9A-F]{8}\.history$`)
)

// archived are the segments and history files of an archive, each with its SHA-1 where the archive has it, else "".
type archived map[string]string

// segmentAt is the name of the segment with a number on a timeline.
func segmentAt(t platform.Timeline, number, size uint64) string {
	per := uint64(1<<32) / size
	return fmt.Sprintf("%08X%08X%08X", uint32(t), number/per, number%per)
}

// segmentSize is the only size at which a position lies in the segment of that name; 0 for none.
func segmentSize(at platform.LSN, name string) uint64 {
	if !segmentForm.MatchString(name) {
		return 0
	}
	for size := uint64(1 << 20); size <= 1<<30; size *= 2 {
		if segmentAt(timelineOf(name), uint64(at)/size, size) == name {
			return size
		}
	}
	return 0
}

// timelineOf is the timeline of a segment or of a history file.
func timelineOf(name string) platform.Timeline {
	n, _ := strconv.ParseUint(name[:8], 16, 32) // the forms allow nothing else
	return platform.Timeline(n)
}

// ancestry reads a history file: a line is timeline, position, reason.
func ancestry(text string) (h platform.History, err error) {
	for line := range strings.Lines(text) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if number == "" || strings.HasPrefix(number, "#") {
			continue
		}
		t, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("history line %q: %w", line, err)
		}
		where, _, _ := strings.Cut(rest, "\t")
		end, err := platform.ParseLSN(where)
		if err != nil {
			return nil, fmt.Errorf("history line %q: %w", line, err)
		}
		h = append(h, platform.Fork{Timeline: platform.Timeline(t), End: end})
	}
	return h, nil
}

// descends tells whether recovery of a backup can reach a timeline with that ancestry: it must leave the backup's behind the backup's end.
func descends(h platform.History, b Backup) bool {
	fork, ok := h.ForkOf(b.Timeline)
	return ok && fork >= b.Stop
}

// newest is the highest timeline of those whose ancestries are known to which a backup can be recovered.
func newest(histories map[platform.Timeline]platform.History, b Backup) platform.Timeline {
	best := b.Timeline
	for t, h := range histories {
		if t > best && descends(h, b) {
			best = t
		}
	}
	return best
}

// way is the WAL from a backup to where it must reach.
type way struct {
	names   []string // to fetch, oldest first; without those behind a gap
	gap     *GapError
	reaches platform.LSN // start of the last of names
}

// plan lists the segments of a timeline from a backup on. What is required and missing is an ErrNotArchived or, where later segments are
// there, a gap.
func plan(have archived, b Backup, line platform.History, t platform.Timeline, until Until) (way, error) {
	size := b.segmentLength
	if size == 0 {
		return way{}, fmt.Errorf("%w: its first segment %q cannot hold its start %s", ErrAnswer, b.First, b.Start)
	}
	first, least := uint64(b.Start)/size, uint64(max(b.Stop, 1)-1)/size
	if until.LSN != 0 && until.LSN < b.Stop {
		return way{}, fmt.Errorf("%w: %s lies before its end %s; take an older backup", ErrNoBackup, until.LSN, b.Stop)
	}
	if until.LSN != 0 {
		least = max(least, uint64(until.LSN)/size)
	}
	name := func(number uint64) string { return segmentAt(owner(line, b.Timeline, t, number, size), number, size) }
	last := least
	if !until.Immediate && until.LSN == 0 {
		last = max(last, lastOf(have, size, name))
	}
	if last < first || last-first > mostSegments {
		return way{}, fmt.Errorf("%w: WAL from %s to %s", ErrAnswer, name(first), name(last))
	}
	var w way
	var missing []string
	for n := first; n <= last; n++ {
		_, ok := have[name(n)]
		switch {
		case !ok:
			missing = append(missing, name(n))
		case len(missing) > 0:
			w.gap = &GapError{Missing: missing[:min(len(missing), mostNamed)], Count: len(missing)}
		default:
			w.names, w.reaches = append(w.names, name(n)), platform.LSN(n*size)
		}
	}
	if len(missing) > 0 && w.gap == nil {
		return w, fmt.Errorf("%w: segment %s is missing", ErrNotArchived, missing[0])
	}
	if until.LSN != 0 && w.gap == nil { // the record that begins there may continue
		if _, ok := have[name(last+1)]; ok {
			w.names = append(w.names, name(last+1))
		}
	}
	return w, nil
}

// owner is the timeline whose segment recovery reads: the newest of the line that has begun by then.
func owner(line platform.History, from, to platform.Timeline, number, size uint64) platform.Timeline {
	t := from
	for i, f := range line {
		next := to
		if i+1 < len(line) {
			next = line[i+1].Timeline
		}
		if f.Timeline >= from && uint64(f.End)/size <= number {
			t = next
		}
	}
	return t
}

// lastOf is the number of the last segment of a line that an archive has; 0 for none.
func lastOf(have archived, size uint64, name func(uint64) string) (last uint64) {
	per := uint64(1<<32) / size
	for n := range have {
		if !segmentForm.MatchString(n) {
			continue
		}
		high, _ := strconv.ParseUint(n[8:16], 16, 32)
		low, _ := strconv.ParseUint(n[16:], 16, 32)
		if number := high*per + low; low < per && number > last && name(number) == n {
			last = number
		}
	}
	return last
}

// histories are the names of an archive's history files, oldest first.
func (a archived) histories() (names []string) {
	for n := range a {
		if historyForm.MatchString(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}
