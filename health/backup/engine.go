package backup

import (
	"context"
	"errors"
	"io"

	"go.uber.org/zap"

	"mainstay/controller/postgres"
)

// Engine makes and restores backups on one host. All its work goes through staging, one run at a time.
type Engine struct {
	// Staging is a directory of the agent's own, on a filesystem with room for a copy and a packed copy. It is made where it is missing.
	// PostgreSQL's user must be able to enter the folders above it, and its path has at most 60 characters: sockets are in it.
	Staging string
	// Server is the local member. Make asks it and copies from it; restores use its programs, owner and superuser alone.
	Server *postgres.Server
	Limits Limits
	Log    *zap.Logger // nil: none
}

// ErrBusy is returned when another run uses staging, or a call of an earlier one still hangs in the disk.
var ErrBusy = errors.New("another backup or restore runs on this host, or a call of an earlier one hangs in the disk")

// ErrNotThere is returned by a WAL for a file that the archive does not have.
var ErrNotThere = errors.New("the archive does not have this file")

// WAL is an archive as recovery reads it.
type WAL interface {
	// Fetch writes a WAL segment or a history file, by PostgreSQL's name and unpacked, to w. ErrNotThere is for a file that the archive does
	// not have, and for no other reason: any other error ends the recovery.
	Fetch(ctx context.Context, name string, w io.Writer) error
}

// Make takes a backup, checks it and releases it if it is good. The record is never nil and tells how far it came. The error is nil where
// the verdict is Good or Bad; with one, the verdict is Unverified. progress may be nil; it is called from the run's goroutines, one at a
// time, and must not block.
func (e *Engine) Make(ctx context.Context, o Order, progress func(Progress)) (*Record, error) {
	r, err := e.begin(ctx, o.ID, progress)
	if err != nil {
		return unstarted(e, o, err), err
	}
	defer r.end()
	r.rate = o.Rate
	m := &making{run: r, order: o, record: newRecord(e, o)}
	err = m.make(ctx)
	out := *m.record // a step that hangs may still write to the other one
	return &out, err
}

// TestRestore restores a released backup from a target into staging, checks it as Make does, and removes it. The error is nil where the
// verdict is Good or Bad; a target that has lost the backup, or has it damaged, makes it Bad.
func (e *Engine) TestRestore(ctx context.Context, o Restoration, progress func(Progress)) (*Tested, error) {
	return e.restore(ctx, o, "", progress)
}

// Restore restores a released backup into a directory, which must be absent or empty, recovers it as far as was asked, checks it, and
// leaves it cleanly stopped, synced and with the configuration that it was backed up with. Unless the verdict is Good it removes what it
// has written. The directory above must be there, and have room.
func (e *Engine) Restore(ctx context.Context, o Restoration, into string, progress func(Progress)) (*Tested, error) {
	return e.restore(ctx, o, into, progress)
}
