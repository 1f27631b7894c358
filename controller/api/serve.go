package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/identity"
)

// maxBody bounds the body of a request.
const maxBody = 1 << 20

// request is an HTTP request with the identity of its peer.
type request struct {
	*http.Request
	who identity.ID
}

// handle wraps a route: it checks the caller's role, sets a deadline, and answers JSON, or 204 for a nil answer.
func (a *API) handle(r route) http.Handler {
	var serve http.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		who, err := a.Identify(q)
		var out any
		if err == nil {
			q.Body = http.MaxBytesReader(w, q.Body, maxBody)
			out, err = r.do(q.Context(), &request{q, who})
		}
		if err != nil {
			a.refuse(w, q, err)
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, http.StatusOK, out)
	})
	if repeats[r.pattern] {
		serve = a.repeated(serve)
	}
	return a.guarded(r.roles, bounded(r.limit, serve))
}

// guarded lets only certificates of these roles pass.
func (a *API) guarded(roles []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		who, err := a.Identify(q)
		if err != nil {
			a.refuse(w, q, &faultError{status: http.StatusForbidden, code: codeForbidden, err: err})
			return
		}
		if !slices.Contains(roles, who.Role) {
			a.refuse(w, q, wrongRole(who, roles))
			return
		}
		next.ServeHTTP(w, q)
	})
}

func wrongRole(who identity.ID, roles []string) error {
	return &faultError{status: http.StatusForbidden, code: codeForbidden, err: fmt.Errorf(
		"%s %s may not do this: it needs a certificate of role %s; make one with `mainstay cert issue --role %s --name NAME`",
		who.Role, who.Name, strings.Join(roles, " or "), roles[0])}
}

// bounded gives a handler its deadline, for reading, working and writing.
func bounded(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ctx, cancel := context.WithTimeout(q.Context(), limit)
		defer cancel()
		grace := time.Now().Add(limit + time.Second) // to answer that the deadline has passed
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetReadDeadline(grace), rc.SetWriteDeadline(grace)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return // the connection is gone
		}
		next.ServeHTTP(w, q.WithContext(ctx))
	})
}

// body reads the request's JSON strictly: an unknown field is never ignored.
func (q *request) body(into any) error {
	data, err := readBody(q.Body)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return badRequest("the request has no body; it must be a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest("%s", jsonMistake(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("the body holds more than one JSON value")
	}
	return nil
}

func readBody(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(from)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, badRequest("the body is larger than 1 MiB")
	}
	if err != nil {
		return nil, badRequest("the body cannot be read: %v", err)
	}
	return data, nil
}

// jsonMistake names the field of a JSON mistake.
func jsonMistake(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("field %q must be a %s, not a JSON %s", kind.Field, kind.Type, kind.Value)
	case errors.As(err, &kind):
		return fmt.Sprintf("the body must be a JSON object, not a JSON %s", kind.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("the body is not JSON (at byte %d: %v)", syntax.Offset, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the body is not JSON: it ends too early"
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Sprintf("field %s is not known to this version; correct its name, or upgrade the controllers", field)
	}
	return "the body cannot be read: " + err.Error()
}

func answer(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(out) // the peer is gone if it fails
}

// refuse answers with the error, and logs it if the fault is the controllers'.
func (a *API) refuse(w http.ResponseWriter, q *http.Request, err error) {
	f := a.faultOf(err)
	if f.status == http.StatusInternalServerError {
		a.Logger.Error("a request failed", zap.String("request", q.Method+" "+q.URL.Path), zap.Error(err))
	}
	answer(w, f.status, f.wire())
}

func notFound(w http.ResponseWriter, q *http.Request) {
	f := &faultError{status: http.StatusNotFound, code: codeBad, err: fmt.Errorf(
		"this version has no %s %s; check that the client is of the same version", q.Method, q.URL.Path)}
	answer(w, f.status, f.wire())
}
