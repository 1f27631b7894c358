package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

const maxBody = 1 << 20 // bytes of a request

// Handler serves the store:
//
//	POST /posts {id, author, text}    201 once committed; 409 if the id is another post's
//	GET  /posts?author=NAME           200 with the latest posts
//	GET  /posts/{id}                  200, or 404
//	POST /posts/{id}/like {who}       204 once committed, or 404
//	POST /lookup {ids: [...]}         200 with those ids that exist
//	GET  /healthz                     200: the process lives and serves, whatever its database does
//	GET  /ready                       200 if it reaches a writable primary, else 503, within a second
//	POST /verify                      200 once a post was committed and read back, else 503
//	POST /quiesce                     200 once no write runs; from then on writes are refused, by 503
//	POST /resume                      200; writes are taken again
//
// 503 says that no primary answered in time; a write may then have happened or not, and can be repeated as it was.
func Handler(s *Store, name string) http.Handler {
	a := &app{store: s, name: name, gate: newGate()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /posts", a.write(a.post))
	mux.HandleFunc("GET /posts", a.latest)
	mux.HandleFunc("GET /posts/{id}", a.read)
	mux.HandleFunc("POST /posts/{id}/like", a.write(a.like))
	mux.HandleFunc("POST /lookup", a.lookup)
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /ready", a.ready)
	mux.HandleFunc("POST /verify", a.write(a.verify))
	mux.HandleFunc("POST /quiesce", a.quiesce)
	mux.HandleFunc("POST /resume", a.resume)
	return mux
}

// app is one app server's answers.
type app struct {
	store *Store
	name  string
	gate  *gate
}

// write lets a request through that writes, unless the app is quiesced.
func (a *app) write(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.gate.enter() {
			reply(w, 0, nil, ErrQuiesced)
			return
		}
		defer a.gate.leave()
		next(w, r)
	}
}

func (a *app) post(w http.ResponseWriter, r *http.Request) {
	var p Post
	err := decode(w, r, &p)
	if err == nil {
		err = a.store.Add(r.Context(), p)
	}
	reply(w, http.StatusCreated, map[string]string{"id": p.ID}, err)
}

func (a *app) latest(w http.ResponseWriter, r *http.Request) {
	posts, err := a.store.ByAuthor(r.Context(), r.URL.Query().Get("author"))
	reply(w, http.StatusOK, posts, err)
}

func (a *app) read(w http.ResponseWriter, r *http.Request) {
	p, err := a.store.Get(r.Context(), r.PathValue("id"))
	reply(w, http.StatusOK, p, err)
}

func (a *app) like(w http.ResponseWriter, r *http.Request) {
	var like struct{ Who string }
	err := decode(w, r, &like)
	if err == nil {
		err = a.store.Like(r.Context(), r.PathValue("id"), like.Who)
	}
	reply(w, http.StatusNoContent, nil, err)
}

func (a *app) lookup(w http.ResponseWriter, r *http.Request) {
	var ask struct{ IDs []string }
	err := decode(w, r, &ask)
	var found []string
	if err == nil {
		found, err = a.store.Present(r.Context(), ask.IDs)
	}
	reply(w, http.StatusOK, map[string][]string{"ids": found}, err)
}

// decode reads a JSON body. Errors: *Invalid.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into); err != nil {
		return &Invalid{"body", fmt.Sprintf("a JSON object of at most %d bytes (%v)", maxBody, err)}
	}
	return nil
}

func reply(w http.ResponseWriter, ok int, body any, err error) {
	if err == nil {
		write(w, ok, body)
		return
	}
	var invalid *Invalid
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &invalid):
		status = http.StatusBadRequest
	case errors.Is(err, ErrConflict):
		status = http.StatusConflict
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrQuiesced):
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	write(w, status, map[string]string{"error": err.Error()})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		json.NewEncoder(w).Encode(body)
	}
}
