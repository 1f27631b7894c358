package postgres

import (
	"regexp"
	"slices"

	"mainstay/health/integrity/serverlog"
)

const (
	// mostOfLog bounds what is read of each log for damaged pages, in bytes.
	mostOfLog = 512 << 10
	// mostPages bounds how many of them are kept.
	mostPages = 1000
)

// ReadPages are the damaged pages that a server has read, as far as its log names them, in English or beside a SQLSTATE: its counts
// (Status.Damage) do not say of which pages they are, and grow each time that one of them is read. It is not for concurrent use.
type ReadPages struct {
	Pages   []string // path and block, such as "base/5/16384 block 3", sorted
	Unnamed string   // Status.Damage as it was when the log named fewer reads than were counted; "" if it has named them all

	of    Status  // that the rest is about
	since *origin // nil before the first
	// spare is how many more reads the log has recently named than were counted, and below zero how many fewer. Log and counts do not come at
	// one moment: a line may be written a moment after its read is counted, and up to 14 a read is counted a moment after its line.
	spare int64
}

// saysTwice is the version from which on PostgreSQL says so twice, to the log alone and in the session's error.
const saysTwice = 18

// invalidPage is what PostgreSQL says of a page that it has read (PageIsVerified's callers). From 18 on it quotes the path.
var invalidPage = regexp.MustCompile(`^invalid page in block (\d+) of relation "?([0-9A-Za-z_/]+)`)

// invalid is the page that an entry says to be invalid; file is "" for none.
func invalid(e serverlog.Entry) (file, block string) {
	if m := invalidPage.FindStringSubmatch(e.Message); m != nil {
		return m[2], m[1]
	}
	return e.Page()
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Follow takes what the server has counted, and reads the log if that has changed. It is called at each look: what the log does not name by
// the next one it does not name at all.
func (r *ReadPages) Follow(i *Server, s *Status) {
	first := r.since == nil
	older := s.Damage != "" && s.Damaged < r.of.Damaged && r.of.Started.Equal(s.Started) // than what the last look has taken
	if older || !first && r.spare >= 0 && s.Damage == r.of.Damage {
		return
	}
	now := i.origin()
	if s.Damage == "" {
		*r = ReadPages{since: &now}
		return
	}
	if first { // of what an earlier agent has seen, the end of the log may tell
		r.since = &origin{}
	}
	counted := s.Damaged - r.of.Damaged
	if counted < 0 { // the counts ended with the earlier postmaster
		counted = s.Damaged
	}
	named := int64(0)
	others := int64(0) // entries whose severity is not known
	for _, e := range i.said(*r.since, mostOfLog, first) {
		file, block := invalid(e)
		if file == "" {
			continue
		}
		r.Pages = append(r.Pages, file+" block "+block)
		switch logs := i.Binaries.Major >= saysTwice; {
		case e.Severity == "LOG":
			named += toInt(logs)
		case e.Severity == "WARNING" || e.Severity == "ERROR":
			named += toInt(!logs)
		case logs:
			others++
		default:
			named++
		}
	}
	named += (others + 1) / 2
	slices.Sort(r.Pages)
	r.Pages = slices.Compact(r.Pages)
	short := r.spare < 0
	r.spare = min(r.spare+named-counted, named)
	if r.spare < 0 && short || len(r.Pages) > mostPages {
		r.Unnamed, r.spare = s.Damage, 0
	}
	r.Pages, r.since = r.Pages[:min(mostPages, len(r.Pages))], &now
	r.of.Damage, r.of.Damaged, r.of.Started = s.Damage, s.Damaged, s.Started
}
