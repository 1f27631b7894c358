package poolwatch

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"
)

// serve listens at an address, "" for a new one, until the test or stop ends it.
func serve(t *testing.T, address string) (at string, stop func()) {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	stop = func() { s.Close(); <-done }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for " + what)
		}
	}
}

func (w *Watch) served(t *testing.T, name string, stints int) {
	t.Helper()
	until(t, name+" to have served", func() bool {
		n := 0
		for _, s := range w.Stints() {
			if s.Instance == name && s.To > s.From {
				n++
			}
		}
		return n >= stints
	})
}

func TestOverlap(t *testing.T) {
	e, stopE := serve(t, "")
	x, stopX := serve(t, "")
	stopX()
	w := Start(t.Context(), []Instance{{Name: "e", Site: "east", Address: e}, {Name: "w", Site: "west", Address: x}})
	defer w.Stop()
	w.served(t, "e", 1)
	stopE()
	until(t, "e to stop", func() bool { serving, _ := w.Serving("e"); return !serving })
	_, stopX = serve(t, x)
	w.served(t, "w", 1)
	stopX()
	until(t, "w to stop", func() bool { serving, _ := w.Serving("w"); return !serving })
	serve(t, e)
	w.served(t, "e", 2)
	if o := w.Overlaps(); len(o) > 0 {
		t.Errorf("one after the other, and accused: %v", o)
	}
	serve(t, x)
	w.served(t, "w", 2)
	until(t, "the overlap to be seen", func() bool { return len(w.Overlaps()) > 0 })
}

func TestWhoCannotBeWatched(t *testing.T) {
	no := errors.New("no such host")
	w := Start(t.Context(), []Instance{{Name: "e", On: func(func()) error { return no }}})
	if err := w.Stop(); !errors.Is(err, no) {
		t.Errorf("Stop returned %v", err)
	}
}
