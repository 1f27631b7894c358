package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"mainstay/test/platform/pgclient"
)

// closeLimit bounds how long running requests may take after the server was told to stop: less than the 10 seconds after
// when a service manager commonly kills. giveUp before that they no longer wait for a primary, and say so.
const (
	closeLimit = 8 * time.Second
	giveUp     = 2 * time.Second
)

// Server is one app server.
type Server struct {
	Name     string
	DSN      string
	Retry    time.Duration // see OpenStore
	Database pgclient.Options
	Logf     func(format string, args ...any) // required
}

// Serve answers requests on l until ctx ends, then lets running ones finish and returns. It listens at once, creates
// the tables as soon as there is a primary, and is not ready before. It closes l.
func (s Server) Serve(ctx context.Context, l net.Listener) error {
	s.Database.Name = s.Name
	store, err := OpenStore(s.DSN, s.Database, s.Retry)
	if err != nil {
		l.Close()
		return err
	}
	defer store.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	requests, cut := context.WithCancel(context.Background())
	defer cut()
	h := &http.Server{
		Handler:           Handler(store, s.Name),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      store.retry + 10*time.Second,
		IdleTimeout:       time.Minute,
	}
	served, schema := make(chan error, 1), make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	go func() { schema <- store.EnsureSchema(ctx) }()
	s.Logf("%s listens on %s", s.Name, l.Addr())

	var failed error
	for waiting := true; waiting; {
		select {
		case err := <-schema:
			schema = nil
			if err != nil && ctx.Err() == nil {
				failed, waiting = err, false
			} else if err == nil {
				s.Logf("%s has its tables", s.Name)
			}
		case err := <-served:
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		case <-ctx.Done():
			waiting = false
		}
	}
	cancel()
	if schema != nil {
		<-schema
	}
	defer time.AfterFunc(closeLimit-giveUp, cut).Stop()
	return errors.Join(failed, s.close(h, served))
}

func (s Server) close(h *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	err := h.Shutdown(ctx)
	if err != nil {
		h.Close()
		err = fmt.Errorf("requests still ran %v after the stop and were cut off: %w", closeLimit, err)
	}
	<-served
	s.Logf("%s stopped", s.Name)
	return err
}
