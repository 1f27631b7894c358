package postgres

import (
	"os"
	"path/filepath"
	"regexp"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// walFolder is the files of a member's pg_wal: segments, histories of timelines, and marks for the archiver. It needs neither the server
// nor PostgreSQL's programs.
type walFolder struct {
	data  string // data directory, whose mode new files take
	owner Owner
}

func (i *Server) wal() walFolder { return walFolder{i.Data, i.Owner} }

func (w walFolder) dir() string { return filepath.Join(w.data, "pg_wal") }

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

// segment is one WAL file.
type segment struct {
	timeline platform.Timeline
	number   uint64 // position divided by the segment's size
}

func (s segment) name(size uint64) string {
	return ondisk.Segment{Timeline: s.timeline, Number: s.number}.Name(size)
}

func parseSegment(name string, size uint64) (segment, bool) {
	s, ok := ondisk.ParseSegment(name, size)
	return segment{s.Timeline, s.Number}, ok
}

// segments lists the WAL files in pg_wal.
func (w walFolder) segments(size uint64) ([]segment, error) {
	entries, err := os.ReadDir(w.dir())
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
