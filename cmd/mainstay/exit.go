package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"mainstay/controller/wire"
)

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitTimeout = 4
)

// usageError is returned when the command line, a MAINSTAY_* variable or the contexts file does not make sense.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// refusedError is returned when this command refuses to send a request, or the operator answers no.
type refusedError struct{ why string }

func (e refusedError) Error() string { return e.why }

func refusedf(format string, args ...any) error { return refusedError{fmt.Sprintf(format, args...)} }

// timeoutError is returned when the wait has ended before the operation.
type timeoutError struct{ what string }

func (e timeoutError) Error() string { return e.what }

// unprintedError is returned when the answer cannot be written to standard output.
type unprintedError struct{ err error }

func (e unprintedError) Error() string {
	return "standard output: " + e.err.Error() + ": the answer is incomplete; `mainstay status` shows whether a change was made"
}

func (e unprintedError) Unwrap() error { return e.err }

// quietError ends the command with a code and prints nothing more.
type quietError struct{ code int }

func (e quietError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// codeOf maps an error to the exit code.
func codeOf(err error) int {
	var usage usageError
	var refused refusedError
	var late timeoutError
	var quiet quietError
	var answer *wire.RefusalError
	var away *wire.UnreachableError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.As(err, &answer):
		return codeOfStatus(answer.Status)
	case errors.As(err, &away) && away.Certificates():
		return exitRefused
	}
	return exitFailed
}

func codeOfStatus(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusNotFound:
		return exitRefused
	case http.StatusGatewayTimeout:
		return exitTimeout
	}
	return exitFailed
}

// writeJSON prints a value indented, without escaping <, > and &.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
