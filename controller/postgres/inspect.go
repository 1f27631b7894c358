package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// DataState is the kind of content of a data directory.
type DataState int

// The zero value knows nothing, so permits nothing.
const (
	DataUnknown DataState = iota
	DataAbsent
	DataEmpty
	DataForeign // something that is no PostgreSQL data
	DataPresent
)

func (s DataState) String() string {
	return [...]string{"unknown", "absent", "empty", "foreign", "present"}[s]
}

// Data is the result of an inspection of the data directory, without any server.
type Data struct {
	State         DataState
	Major         int
	Control       Control // only if State is DataPresent
	StandbySignal bool
	// Rewinding: a rewind began here and did not finish; the data is neither old nor new and must be rebuilt.
	Rewinding bool
}

// VersionError is returned when the data directory is of another major version than the programs.
type VersionError struct {
	Data       string
	Has, Wants int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is of PostgreSQL %d, the configured programs are of %d; point the member to the programs of %d",
		e.Data, e.Has, e.Wants, e.Has)
}

const standbySignal = "standby.signal"

// InspectData looks at the data directory.
func (i *Server) InspectData(ctx context.Context) (d Data, err error) {
	defer i.wrap("inspect the data of", &err)
	entries, err := os.ReadDir(i.Data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Data{State: DataAbsent}, nil
	case err != nil:
		return Data{}, err
	case len(entries) == 0:
		return Data{State: DataEmpty}, nil
	case !exists(filepath.Join(i.Data, "PG_VERSION")):
		return Data{State: DataForeign}, nil
	}
	d.State = DataPresent
	if d.Major, err = dataMajor(i.Data); err != nil {
		return d, err
	}
	d.StandbySignal = exists(filepath.Join(i.Data, standbySignal))
	d.Rewinding = exists(i.rewindMark())
	if d.Major != i.Binaries.Major {
		return d, &VersionError{i.Data, d.Major, i.Binaries.Major}
	}
	d.Control, err = i.ControlData(ctx)
	return d, err
}
