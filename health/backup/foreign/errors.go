package foreign

import (
	"errors"
	"fmt"
	"strings"
)

// What goes wrong with a program, beside what it says itself. Each comes inside an *Error.
var (
	// ErrNoProgram is returned when the program is not where the configuration says.
	ErrNoProgram = errors.New("the program is not installed there")
	// ErrTooOld is returned when the program is of a version that is not supported.
	ErrTooOld = errors.New("this version is too old")
	// ErrUnknown is returned when the program does not know the stanza or server.
	ErrUnknown = errors.New("the program does not know it")
	// ErrNoBackup is returned when the repository has no such backup, or none that can be restored.
	ErrNoBackup = errors.New("there is no such backup to restore")
	// ErrUnreadable is returned when the repository cannot be read.
	ErrUnreadable = errors.New("the repository cannot be read")
	// ErrConfig is returned when the program cannot read its configuration, or does not accept it.
	ErrConfig = errors.New("the program's configuration cannot be used")
	// ErrUser is returned when the program refuses to run as that user.
	ErrUser = errors.New("the program refuses to run as this user")
	// ErrBusy is returned when another backup of the cluster is running.
	ErrBusy = errors.New("another backup is running")
	// ErrDamaged is returned when a backup or its WAL is damaged.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrUnsupported is returned when the program cannot do what was asked for.
	ErrUnsupported = errors.New("the program cannot do that")
	// ErrAnswer is returned when the program's answer is not understood.
	ErrAnswer = errors.New("the answer is not understood")
	// ErrFailed is returned when the program failed for another reason, which it says.
	ErrFailed = errors.New("the program failed")
	// ErrNotArchived is returned when the archive ends before the place to which WAL was asked for.
	ErrNotArchived = errors.New("the archive does not reach so far")
	// ErrScratch is returned when the scratch folder cannot be used.
	ErrScratch = errors.New("the scratch folder cannot be used")
)

// Error is what every call of a Repository returns, in one line.
type Error struct {
	Of    string // "pgBackRest, stanza main"
	Doing string // "list the backups"
	Err   error
	Said  string // more of the reason, mostly the program's own words; may be ""
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s: %v", e.Of, e.Doing, e.Err)
	if e.Said != "" {
		text += ": " + e.Said
	}
	return oneLine(text)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// GapError is returned when WAL segments between the backup and the end of the archive are missing.
type GapError struct {
	Missing []string // names, oldest first; at most mostNamed
	Count   int
}

const mostNamed = 10

func (e *GapError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("the archive lacks segment %s, and holds later ones: recovery ends before it", e.Missing[0])
	}
	return fmt.Sprintf("the archive lacks %d segments from %s on, and holds later ones: recovery ends before it", e.Count, e.Missing[0])
}

// mostSaid is how much of a program's words a message repeats, in bytes.
const mostSaid = 600

// oneLine makes one line of a program's words.
func oneLine(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > mostSaid {
		line = strings.ToValidUTF8(line[:mostSaid], "") + " ..."
	}
	return line
}
