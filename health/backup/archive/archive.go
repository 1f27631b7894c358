// Package archive keeps a cluster's WAL at targets, and reads it there.
//
// An Archiver copies complete segments from the pg_wal of one member: what a checked replica has, not what the primary sends. A Reader
// tells what a target holds, and finds times and names in it; Get serves PostgreSQL's restore_command. A caller gives positions that
// PostgreSQL has flushed, and gets the position that all targets hold: WAL before it may be recycled.
//
// It must never keep a segment whose pages or records are not right, never replace one that is, and never serve WAL of another branch:
// that is kept apart, in the folder conflict.
package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// ErrUnreadable is returned for WAL whose pages or records are not what PostgreSQL has written.
var ErrUnreadable = errors.New("the WAL is unreadable")

// Gap is WAL that is missing: all segments from First to Last. Recovery ends before it.
type Gap struct {
	Target      string // where it is missing
	Timeline    platform.Timeline
	First, Last string // names of segments
}

func (g Gap) String() string {
	if g.First == g.Last {
		return fmt.Sprintf("segment %s of timeline %d is missing at target %s", g.First, g.Timeline, g.Target)
	}
	return fmt.Sprintf("the segments from %s to %s of timeline %d are missing at target %s", g.First, g.Last, g.Timeline, g.Target)
}

// GapError is returned where something needs WAL behind a gap.
type GapError struct{ Gap Gap }

func (e *GapError) Error() string {
	return e.Gap.String() + ": a restore ends before it; take a new backup, and verify it"
}

// names are those of one cluster's objects.
type names struct{ cluster string }

const (
	packedSuffix  = ".zst"
	partialSuffix = ".partial"
)

func (n names) root() string { return n.cluster + "/wal/" }

func (n names) folder(t platform.Timeline) string { return fmt.Sprintf("%s%08X/", n.root(), uint32(t)) }

func (n names) segment(t platform.Timeline, name string) string {
	return n.folder(t) + name + packedSuffix
}

func (n names) partial(t platform.Timeline, name string) string {
	return n.folder(t) + name + partialSuffix + packedSuffix
}

// conflict is where what another branch has under a name is kept, by the beginning of its SHA-256.
func (n names) conflict(folder, name, sum string) string {
	return fmt.Sprintf("%sconflict/%s.%.16s%s", folder, name, sum, packedSuffix)
}

func (n names) history(t platform.Timeline) string {
	return n.root() + ondisk.HistoryName(t) + packedSuffix
}

// contents is what a target holds of a cluster's WAL.
type contents struct {
	segments, partials map[ondisk.Segment]bool
	histories          map[platform.Timeline]bool
}

// parse reads the names of objects below the root; others are left alone.
func (n names) parse(objects []string, size uint64) contents {
	c := contents{map[ondisk.Segment]bool{}, map[ondisk.Segment]bool{}, map[platform.Timeline]bool{}}
	for _, object := range objects {
		name, packed := strings.CutSuffix(strings.TrimPrefix(object, n.root()), packedSuffix)
		if t, ok := ondisk.ParseHistoryName(name); ok && packed {
			c.histories[t] = true
			continue
		}
		_, file, _ := strings.Cut(name, "/")
		whole, partial := strings.CutSuffix(file, partialSuffix)
		s, ok := ondisk.ParseSegment(whole, size)
		switch {
		case !ok || !packed || fmt.Sprintf("%08X/%s", uint32(s.Timeline), file) != name:
		case partial:
			c.partials[s] = true
		default:
			c.segments[s] = true
		}
	}
	return c
}

// line is the ancestry of a timeline, itself included, oldest first.
type line []stretch

// stretch is a timeline, and where it left the one before.
type stretch struct {
	timeline platform.Timeline
	begin    platform.LSN
}

func lineOf(h platform.History, t platform.Timeline) line {
	var l line
	var begin platform.LSN
	for _, f := range h {
		l = append(l, stretch{f.Timeline, begin})
		begin = f.End
	}
	return append(l, stretch{t, begin})
}

// of is the segment of that number which the line needs: the newest timeline that had begun by its end. Its file begins with the WAL of the
// timeline before.
func (l line) of(number, size uint64) ondisk.Segment {
	for _, s := range slices.Backward(l) {
		if number >= uint64(s.begin)/size {
			return ondisk.Segment{Timeline: s.timeline, Number: number}
		}
	}
	return ondisk.Segment{Timeline: l[0].timeline, Number: number}
}

func (l line) timelines() (all []platform.Timeline) {
	for _, s := range l {
		all = append(all, s.timeline)
	}
	return all
}

// has tells whether a segment is one that the line needs.
func (l line) has(s ondisk.Segment, size uint64) bool { return l.of(s.Number, size) == s }
