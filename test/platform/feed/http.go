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
//	GET  /healthz                     200 after a real read, else 503
//
// 503 says that no primary answered in time; a write may then have happened or not, and can be repeated as it was.
func Handler(s *Store, name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /posts", func(w http.ResponseWriter, r *http.Request) {
		var p Post
		err := decode(w, r, &p)
		if err == nil {
			err = s.Add(r.Context(), p)
		}
		reply(w, http.StatusCreated, map[string]string{"id": p.ID}, err)
	})
	mux.HandleFunc("GET /posts", func(w http.ResponseWriter, r *http.Request) {
		posts, err := s.ByAuthor(r.Context(), r.URL.Query().Get("author"))
		reply(w, http.StatusOK, posts, err)
	})
	mux.HandleFunc("GET /posts/{id}", func(w http.ResponseWriter, r *http.Request) {
		p, err := s.Get(r.Context(), r.PathValue("id"))
		reply(w, http.StatusOK, p, err)
	})
	mux.HandleFunc("POST /posts/{id}/like", func(w http.ResponseWriter, r *http.Request) {
		var like struct{ Who string }
		err := decode(w, r, &like)
		if err == nil {
			err = s.Like(r.Context(), r.PathValue("id"), like.Who)
		}
		reply(w, http.StatusNoContent, nil, err)
	})
	mux.HandleFunc("POST /lookup", func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ IDs []string }
		err := decode(w, r, &ask)
		var found []string
		if err == nil {
			found, err = s.Present(r.Context(), ask.IDs)
		}
		reply(w, http.StatusOK, map[string][]string{"ids": found}, err)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { health(w, r, s, name) })
	return mux
}

func health(w http.ResponseWriter, r *http.Request, s *Store, name string) {
	status, body := http.StatusOK, map[string]any{"ok": true, "name": name}
	if err := s.Healthy(r.Context()); err != nil {
		status, body = http.StatusServiceUnavailable, map[string]any{"ok": false, "name": name, "error": err.Error()}
	}
	write(w, status, body)
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
	case errors.Is(err, ErrUnavailable):
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
