package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hashicorp/raft"
)

var (
	// ErrNotLeader is returned when this controller is not the leader, or is handing over. Nothing was committed.
	ErrNotLeader = errors.New("this controller is not the leader")
	// ErrBusy is returned when a proposal was not accepted: too many are pending, or the leader's disk hangs. Nothing was committed.
	ErrBusy = errors.New("the log accepts no proposal now")
	// ErrUnknown is returned when a proposal may or may not be committed, now or later: it timed out, or leadership was lost meanwhile.
	// Read the state before proposing it again.
	ErrUnknown = errors.New("it is not known whether the proposal was committed")
	// ErrBootstrapped is returned when Bootstrap finds a log that has already begun.
	ErrBootstrapped = errors.New("the controllers are already initialised")
	// ErrInUse is returned when another process has locked the folder.
	ErrInUse = errors.New("in use by another controller")
	// ErrClosed is returned when the log was closed or has failed; Err tells which of the two.
	ErrClosed = errors.New("the log is closed")
)

// FatalError is returned by Machine.Apply for a command that it does not know. The log stops: a command skipped here and applied
// elsewhere would make the controllers' states differ for ever.
type FatalError struct{ Err error }

func (e *FatalError) Error() string {
	return fmt.Sprintf("%v; the log stops at this command, because none is ever skipped: run the version of mainstay that wrote it", e.Err)
}

func (e *FatalError) Unwrap() error { return e.Err }

// StoreError is returned when the folder of the log cannot be used or trusted.
type StoreError struct {
	Path    string // of the file
	Problem string
	Name    string // of this controller
	Address string // at which the others reach it
	Dir     string // to move away
	Err     error  // nil, or the cause
}

func (e *StoreError) Error() string {
	s := e.Path + ": " + e.Problem
	if e.Err != nil {
		s += " (" + e.Err.Error() + ")"
	}
	return s + fmt.Sprintf("; stop this controller, move %s away, `mainstay controllers remove %s`, start it again with an empty folder, "+
		"and let it join again: `mainstay controllers add %s`",
		filepath.Clean(e.Dir), e.Name, e.Address)
}

func (e *StoreError) Unwrap() error { return e.Err }

// WriteError is the cause of a log that stopped because its store could not be written. The usual reason is a full disk.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string {
	cause := e.Err
	if path := (*fs.PathError)(nil); errors.As(cause, &path) {
		cause = path.Err // the message already has the path
	}
	return fmt.Sprintf("write %s: %v; the log has stopped; check the disk (space, the kernel's log), then start the controller again",
		e.Path, cause)
}

func (e *WriteError) Unwrap() error { return e.Err }

// certain maps raft's errors to this package's, and separates proposals that certainly were not committed from those that may have been.
func certain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}
