package target

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"mainstay/fencing/program"
)

var (
	// ErrExists is returned by Put when an object of that name has another content.
	ErrExists = errors.New("there is an object of that name with another content")
	// ErrNotThere is returned when the target answers and has no such object. It never stands for a target that does not answer.
	ErrNotThere = errors.New("there is no such object")
	// ErrDamaged is returned when an object has not the content of its receipt.
	ErrDamaged = errors.New("the object is damaged")

	errStalled = errors.New("no byte has moved")
	errGone    = errors.New("the folder is not there")
)

// Reason is why a target could not do what it was asked.
type Reason string

// Reasons.
const (
	Other       Reason = ""
	Exists      Reason = "exists"
	NotThere    Reason = "not-there"
	Damaged     Reason = "damaged"
	Full        Reason = "full"
	ReadOnly    Reason = "read-only"
	Denied      Reason = "denied"
	Unreachable Reason = "unreachable"
	Slow        Reason = "slow"
	Failed      Reason = "failed" // a program or server said why not
	Source      Reason = "source" // the target did its part: the content to store could not be read
)

// does says what an operator does about a reason.
var does = map[Reason]string{
	Exists:      "it was not replaced: look at both, and remove the wrong one",
	NotThere:    "look whether it was removed, or never stored",
	Damaged:     "do not restore from it: take another copy",
	Full:        "the target is full: remove what is not needed there, or enlarge it",
	ReadOnly:    "the target is read-only: mount it for writing",
	Denied:      "the target refuses: look at its permissions and credentials",
	Unreachable: "the target cannot be reached: look at its mount, address and network",
	Slow:        "the target is too slow or hangs: look at its load and network",
	Failed:      "look at what it says, and at its log",
	Source:      "look at the disk it is read from",
}

// Error is what went wrong at a target, in one line, with what to do.
type Error struct {
	Target string
	Name   string // of the object or folder; may be empty
	Doing  string // put, replace, get, list, remove, verify
	Err    error
}

// Reason classifies the error.
func (e *Error) Reason() Reason {
	for _, c := range []struct {
		reason Reason
		any    []error
	}{
		{Exists, []error{ErrExists}},
		{NotThere, []error{ErrNotThere}},
		{Damaged, []error{ErrDamaged}},
		{Full, []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}},
		{ReadOnly, []error{syscall.EROFS}},
		{Denied, []error{fs.ErrPermission}},
		{Slow, []error{errStalled, program.ErrHung, context.DeadlineExceeded, program.ErrLate, syscall.ETIMEDOUT}},
		{Unreachable, []error{errGone, syscall.ESTALE, syscall.ENOTCONN, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH,
			syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EIO, io.ErrUnexpectedEOF}},
	} {
		for _, err := range c.any {
			if errors.Is(e.Err, err) {
				return c.reason
			}
		}
	}
	return e.byType()
}

func (e *Error) byType() Reason {
	var source *sourceError
	var classified interface{ reason() Reason }
	var network *net.OpError // syscall.Errno is a net.Error as well
	var name *net.DNSError
	var timeout interface{ Timeout() bool }
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(e.Err, &source):
		return Source
	case errors.As(e.Err, &classified):
		return classified.reason()
	case errors.As(e.Err, &timeout) && timeout.Timeout():
		return Slow
	case errors.As(e.Err, &network), errors.As(e.Err, &name), errors.As(e.Err, &authority), errors.As(e.Err, &host):
		return Unreachable
	}
	return Other
}

func (e *Error) Error() string {
	about := e.Target
	if e.Name != "" {
		about += ", " + e.Name
	}
	text := fmt.Sprintf("target %s: %s: %v", about, e.Doing, e.Err)
	if do := does[e.Reason()]; do != "" {
		text += "; " + do
	}
	return strings.Join(strings.Fields(text), " ")
}

func (e *Error) Unwrap() error { return e.Err }

// sourceError is one of the reader that a caller gave.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read the content to store: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func damaged(found, want Receipt) error {
	if found.Size != want.Size {
		return fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, found.Size, want.Size)
	}
	return fmt.Errorf("%w: its SHA-256 is %.12s instead of %.12s", ErrDamaged, found.SHA256, want.SHA256)
}
