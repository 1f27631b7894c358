package feed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Limits of what an operator's tools ask.
const (
	verifyLimit  = 5 * time.Second
	quiesceLimit = 5 * time.Second
)

// healthz tells that the process runs and serves: a restart would not help while its database is gone.
func (a *app) healthz(w http.ResponseWriter, _ *http.Request) {
	quiesced, writes := a.gate.look()
	write(w, http.StatusOK, map[string]any{"ok": true, "name": a.name, "quiesced": quiesced, "writes": writes})
}

// ready tells a load balancer, or a reachability check, whether a writable primary is reached.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	a.say(w, a.store.Ready(r.Context()))
}

// verify makes a real post and reads it back.
func (a *app) verify(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), verifyLimit)
	defer cancel()
	a.say(w, a.store.verify(ctx, a.name))
}

func (s *Store) verify(ctx context.Context, name string) error {
	p := Post{ID: newUUID(), Author: "verify by " + name, Text: "a post that verifies the app"}
	if err := s.Add(ctx, p); err != nil {
		return fmt.Errorf("write a post: %w", err)
	}
	got, err := s.Get(ctx, p.ID)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if got.Author != p.Author || got.Text != p.Text {
		return errors.New("read it back: it is another post")
	}
	return nil
}

func (a *app) quiesce(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), quiesceLimit)
	defer cancel()
	a.say(w, a.gate.close(ctx))
}

func (a *app) resume(w http.ResponseWriter, _ *http.Request) {
	a.gate.open()
	a.say(w, nil)
}

// say answers yes by 200, and no by 503 with the reason.
func (a *app) say(w http.ResponseWriter, err error) {
	status, body := http.StatusOK, map[string]any{"ok": true, "name": a.name}
	if err != nil {
		status, body = http.StatusServiceUnavailable, map[string]any{"ok": false, "name": a.name, "error": err.Error()}
	}
	write(w, status, body)
}

// newUUID makes up a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
