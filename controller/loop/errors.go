package loop

import (
	"errors"
	"fmt"
)

// ErrNotLeader is the error of a request that only the leader may answer.
var ErrNotLeader = errors.New("this controller is not the leader")

// ErrDiskStalled is wrapped by Out.Fatal of Decide when a barrier has not been committed in time. The leader must exit: Raft's
// heartbeats continue while its log write hangs, so no election follows and every lease would lapse (L6).
var ErrDiskStalled = errors.New("a barrier has not been committed in time; " +
	"check this controller's disk and its connection to the other controllers")

// ErrGivenUp is wrapped by Out.Fatal of Decide when agents obey a later generation of the platform than this leader's (S3).
var ErrGivenUp = errors.New("`mainstay controllers recover` replaced this controller's group: stop this controller, " +
	"empty its data folder, and add it under a new name with `mainstay controllers add`")

// GivenUpError is ErrGivenUp with the generation that agents obey.
type GivenUpError struct {
	PlatformID         string
	Generation, Obeyed uint64
}

func (e *GivenUpError) Error() string {
	return fmt.Sprintf("agents obey generation %d of platform %s, but this leader has generation %d: %v",
		e.Obeyed, e.PlatformID, e.Generation, ErrGivenUp)
}

func (e *GivenUpError) Unwrap() error { return ErrGivenUp }
