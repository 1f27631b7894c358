package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"mainstay/controller/consensus"
	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// The codes of wire.Error.
const (
	codeNotLeader = "not-leader"
	codeRefused   = "refused"
	codeBad       = "bad-request"
	codeForbidden = "forbidden"
	codeTimeout   = "timeout"
	codeFailed    = "failed"
)

// RefusedError is returned when a command was committed but the state refuses it: nothing was changed. The Controllers port returns it
// for a change that it refuses. It becomes 409, with the reason.
type RefusedError struct{ Err error }

func (r *RefusedError) Error() string { return r.Err.Error() }
func (r *RefusedError) Unwrap() error { return r.Err }

// faultError is an error with its HTTP status.
type faultError struct {
	status int
	code   string
	leader string
	err    error
}

func (f *faultError) Error() string { return f.err.Error() }
func (f *faultError) Unwrap() error { return f.err }

func (f *faultError) wire() wire.Error {
	return wire.Error{Message: f.err.Error(), Code: f.code, Leader: f.leader}
}

func badRequest(format string, args ...any) error {
	return &faultError{status: http.StatusBadRequest, code: codeBad, err: fmt.Errorf(format, args...)}
}

func refused(format string, args ...any) error { return &RefusedError{fmt.Errorf(format, args...)} }

func notThere(format string, args ...any) error {
	return &faultError{status: http.StatusNotFound, code: codeBad, err: fmt.Errorf(format, args...)}
}

// faultOf finds the status of an error.
func (a *API) faultOf(err error) *faultError {
	var f *faultError
	var r *RefusedError
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, loop.ErrNotLeader), errors.Is(err, consensus.ErrNotLeader):
		return a.notLeader()
	case errors.As(err, &r), errors.Is(err, state.ErrMoved), errors.Is(err, state.ErrPlatformMoved):
		return &faultError{status: http.StatusConflict, code: codeRefused, err: err}
	case errors.Is(err, context.Canceled):
		return timedOut(errors.New("this controller stopped before it had an answer"))
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut(fmt.Errorf("no answer in time: %w", err))
	case errors.Is(err, consensus.ErrUnknown), errors.Is(err, consensus.ErrBusy):
		return timedOut(err)
	}
	return &faultError{status: http.StatusInternalServerError, code: codeFailed, err: err}
}

// timedOut is the fault of a request whose outcome is not known.
func timedOut(err error) *faultError {
	err = fmt.Errorf("%w; check `mainstay status` before you try again", err)
	return &faultError{status: http.StatusGatewayTimeout, code: codeTimeout, err: err}
}

// notLeader names the leader or, where there is none, the cause. The client names the next command, once: without a leader every controller
// gives this answer.
func (a *API) notLeader() *faultError {
	f := &faultError{status: http.StatusMisdirectedRequest, code: codeNotLeader}
	name, address := a.Controllers.Leader()
	switch {
	case address != "" && !a.Controllers.Leading():
		f.leader = address
		f.err = fmt.Errorf("controller %s is not the leader; %s at %s is", a.Name, name, address)
	case a.Controllers.Leading():
		f.err = fmt.Errorf("controller %s has just been elected and is not ready yet", a.Name)
	case a.States.State().PlatformID == "" && !a.Controllers.Identity().Initialised:
		f.err = fmt.Errorf("controller %s is not initialised; run `mainstay controllers init`, or `mainstay controllers add` if the others are",
			a.Name)
	default:
		f.err = fmt.Errorf("controller %s knows no leader", a.Name)
	}
	return f
}

func forbidden(format string, args ...any) error {
	return &faultError{status: http.StatusForbidden, code: codeForbidden, err: fmt.Errorf(format, args...)}
}
