package health

import (
	"fmt"
	"strings"
	"time"
)

// ServerLog is what PostgreSQL's log has said against a member's data or its disk since its agent reads it. It proves nothing: a session
// can log anything. It is a reason to check.
type ServerLog struct {
	Form string `json:"form,omitempty"` // "stderr", "csvlog" or "jsonlog"; "" if it was not found
	// Unread is the reason why the log, or a part of it, is not read; "" for none. What it says is then not known.
	Unread string    `json:"unread,omitempty"`
	Signs  []LogSign `json:"signs,omitempty"` // at most one of each kind
}

// LogSign are the entries of one kind, such as SignOfDamage.
type LogSign struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	Text  string `json:"text"` // the last one
	// FirstMS and LastMS are how long ago the first and the last one was read, in milliseconds, to the minute.
	FirstMS int64 `json:"firstMS,omitempty"`
	LastMS  int64 `json:"lastMS,omitempty"`
}

// The kinds of entries.
const (
	SignOfDamage   = "damage"   // SQLSTATE XX001 or XX002, or a file of the data that is not there
	SignOfStorage  = "storage"  // SQLSTATE 58030, or a checkpoint that failed
	SignOfPanic    = "panic"    // the server ended itself
	SignOfInternal = "internal" // SQLSTATE XX000, which has many causes
	// SignOfWAL is not the log's: the agent has found that WAL which a primary had synced is damaged or gone.
	SignOfWAL = "wal"
)

// Signs are all kinds.
var Signs = []string{SignOfDamage, SignOfStorage, SignOfPanic, SignOfInternal, SignOfWAL}

// SignLasts is how long after its last entry a kind is a problem.
const SignLasts = 24 * time.Hour

// Sign is what the log has said of a kind within SignLasts; nil for nothing. SignOfInternal is no reason for a problem.
func (l *ServerLog) Sign(kind string) *LogSign {
	if l == nil {
		return nil
	}
	for n := range l.Signs {
		if s := &l.Signs[n]; s.Kind == kind && time.Duration(s.LastMS)*time.Millisecond < SignLasts {
			return s
		}
	}
	return nil
}

// String says how often, when and what.
func (s *LogSign) String() string {
	age := "within the last minute"
	if d := time.Duration(s.LastMS) * time.Millisecond; d >= time.Minute {
		age = strings.TrimSuffix(d.Round(time.Minute).String(), "0s") + " ago"
	}
	if s.Count == 1 {
		return fmt.Sprintf("once, %s: %s", age, s.Text)
	}
	return fmt.Sprintf("%d times, the last %s: %s", s.Count, age, s.Text)
}
