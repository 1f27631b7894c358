package platform

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in PostgreSQL's write-ahead log. Zero is "no position".
type LSN uint64

// ParseLSN reads PostgreSQL's form, two hexadecimal halves with a slash: 0/6000198.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok {
		return 0, fmt.Errorf("%q is not an LSN: want two hexadecimal halves such as 0/6000198", s)
	}
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not an LSN: want two hexadecimal halves such as 0/6000198", s)
	}
	return LSN(h<<32 | l), nil
}

// String prints the LSN as PostgreSQL does.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText makes JSON use PostgreSQL's form.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (l *LSN) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLSN(string(b))
	return err
}

// Timeline is PostgreSQL's timeline number; zero is "unknown".
type Timeline uint32

// Fork is one line of a timeline history: Timeline was left at End.
type Fork struct {
	Timeline Timeline `json:"timeline"`
	End      LSN      `json:"end"`
}

// History is the ancestry of a timeline, oldest first, without the timeline itself.
type History []Fork

// Before returns the forks of timelines before t, as a copy.
func (h History) Before(t Timeline) History {
	var before History
	for _, f := range h {
		if f.Timeline < t {
			before = append(before, f)
		}
	}
	return before
}

// ForkOf returns where the history leaves timeline t, and whether t is an ancestor at all.
func (h History) ForkOf(t Timeline) (LSN, bool) {
	for _, f := range h {
		if f.Timeline == t {
			return f.End, true
		}
	}
	return 0, false
}
