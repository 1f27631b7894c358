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
