package wire

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNoLeader is returned (wrapped, with what each controller said) when controllers answer but none of them leads or
// knows who does: they are electing one, or a majority of them is missing.
var ErrNoLeader = errors.New("no controller knows a leader; `mainstay controllers list` shows who answers")

// ErrUncertain is returned (wrapped) when a request that changes something was sent and no answer came: it may have been
// carried out. Nothing is sent twice.
var ErrUncertain = errors.New("no answer came, so it may have been carried out; look at `mainstay status` before you ask again")

// Refusal is an answer that is not 2xx.
type Refusal struct {
	Status  int    // HTTP's
	Address string // who answered
	Err     Error
}

func (r *Refusal) Error() string {
	if r.Err.Message == "" {
		return fmt.Sprintf("%s answered with HTTP status %d", r.Address, r.Status)
	}
	return r.Err.Message
}

// ErrUnreachable is returned when not one address answered.
type ErrUnreachable struct {
	Tried []Attempt // in the order tried
}

// Attempt is one address that did not answer, and why.
type Attempt struct {
	Address string
	Err     error
}

func (e *ErrUnreachable) Error() string {
	if len(e.Tried) == 0 {
		return "no address to connect to; name the controllers with --controllers or in the context"
	}
	var parts []string
	for _, a := range e.Tried {
		parts = append(parts, fmt.Sprintf("%s: %v", a.Address, a.Err))
	}
	return "nobody answers: " + strings.Join(parts, "; ")
}

// Unwrap gives the causes to errors.Is.
func (e *ErrUnreachable) Unwrap() []error {
	var errs []error
	for _, a := range e.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

// sentError marks a failure after the request may have reached the peer.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }
func (e *sentError) Unwrap() error { return e.err }
