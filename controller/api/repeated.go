package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"mainstay/controller/delta"
	"mainstay/controller/wire"
)

// repeats are the requests that every host or controller sends continuously with nearly the same body.
var repeats = map[string]bool{"POST /v1/report": true, "POST /v1/votes": true}

// repeated lets a handler's requests arrive and its answers leave as differences to those before (wire.Client.Repeat). It runs after the
// check of the sender's role.
func (a *API) repeated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		has := q.Header.Get(wire.HasHeader)
		if has == "" {
			next.ServeHTTP(w, q)
			return
		}
		who, err := a.Identify(q)
		if err != nil {
			a.refuse(w, q, err)
			return
		}
		x := a.exchanges.With(who.Role + " " + who.Name + " " + q.URL.Path)
		body, err := readRepeated(x, w, q)
		if err != nil {
			a.refuse(w, q, err)
			return
		}
		x.Requests.Keep(body)
		q.Body = io.NopCloser(bytes.NewReader(body))
		held := heldAnswer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(&held, q)
		sendRepeated(x, &held, has)
	})
}

// readRepeated returns the whole body of a request.
func readRepeated(x *delta.Exchange, w http.ResponseWriter, q *http.Request) ([]byte, error) {
	body, err := readBody(http.MaxBytesReader(w, q.Body, maxBody))
	title := q.Header.Get(wire.DeltaHeader)
	if err != nil || title == "" {
		return body, err
	}
	body, err = x.Requests.Decode(title, body, maxBody)
	if errors.Is(err, delta.ErrNoBase) {
		return nil, &faultError{status: http.StatusPreconditionFailed, code: codeBad, err: err}
	}
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return body, nil
}

// sendRepeated sends an answer, as a difference if the sender has an earlier answer that is kept here.
func sendRepeated(x *delta.Exchange, a *heldAnswer, has string) {
	answer := a.body.Bytes()
	h := a.ResponseWriter.Header()
	h.Del("Cache-Control")                  // no cache keeps the answer to a POST
	h["Content-Type"], h["Date"] = nil, nil // net/http adds none
	h.Set(wire.KeptHeader, "1")
	send := answer
	if title, difference, ok := x.Answers.Encode(has, answer); ok {
		h.Set(wire.DeltaHeader, title)
		send = difference
	}
	x.Answers.Keep(answer)
	a.ResponseWriter.WriteHeader(a.status)
	if len(send) > 0 {
		a.ResponseWriter.Write(send) // the peer is gone if it fails
	}
}

// heldAnswer holds an answer until it is complete.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader keeps the status.
func (a *heldAnswer) WriteHeader(status int) { a.status = status }

// Write keeps a part of the body. It never fails.
func (a *heldAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }
