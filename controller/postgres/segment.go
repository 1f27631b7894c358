package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"mainstay/controller/platform"
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
