package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/delta"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/test/kit/certs"
)

// echo answers each report with what arrived, over TLS. On the way it counts the bytes of the bodies that cross the network.
type echo struct {
	api     *API
	old     atomic.Bool // it is of a build that knows no differences
	fails   atomic.Bool
	in, out atomic.Int64
}

type said struct {
	Report string `json:"report"`
	Number int    `json:"number"`
}

func (e *echo) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	e.in.Add(q.ContentLength)
	next := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var s said
		if err := (&request{Request: q}).body(&s); err != nil {
			e.api.refuse(w, q, err)
			return
		}
		if e.fails.Load() {
			e.api.refuse(w, q, &RefusedError{errors.New("it is refused")})
			return
		}
		answer(w, http.StatusOK, s)
	})
	counted := &counting{w, &e.out}
	if e.old.Load() {
		next.ServeHTTP(counted, q)
		return
	}
	e.api.repeated(next).ServeHTTP(counted, q)
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// TestRepeated: what is sent again and again crosses the network as a difference, both ways; whoever is restarted or replaced in between
// by an older build, what arrives is what was sent.
func TestRepeated(t *testing.T) {
	ca := certs.New(t, "social")
	e := &echo{api: &API{Options: Options{Name: "c1", Controllers: nowhere{}, Identify: func(*http.Request) (identity.ID, error) {
		return identity.ID{Role: identity.RoleAgent, Name: "db-1"}, nil
	}}}}
	mux, err := identity.Listen("127.0.0.1:0", ca.Store(identity.RoleController, "c1"))
	if err != nil {
		t.Fatal(err)
	}
	s, ended := &http.Server{Handler: e}, make(chan struct{})
	go func() {
		defer close(ended)
		s.Serve(mux.HTTP())
	}()
	t.Cleanup(func() {
		s.Close()
		mux.Close()
		<-ended
	})
	config := ca.Store(identity.RoleAgent, "db-1").ClientConfig(identity.RoleController, "", identity.ProtoHTTP)
	address := mux.Addr().String()
	client := wire.NewClient([]string{address}, config)
	t.Cleanup(func() { client.Close() })

	long := strings.Repeat(`a report of which little changes; `, 40)
	number := 0
	post := func(text string) (in, out int64, err error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		number++
		sent, got := said{text, number}, said{}
		in, out = e.in.Load(), e.out.Load()
		if err = client.Repeat(ctx, address, http.MethodPost, "/v1/report?x=1", sent, &got); err == nil && got != sent {
			t.Fatalf("%d: %+v came back", number, got)
		}
		return e.in.Load() - in, e.out.Load() - out, err
	}
	whole := int64(len(long))
	for _, step := range []struct {
		name            string
		before          func()
		text            string
		leastIn, mostIn int64
		leastOut        int64
		mostOut         int64
	}{
		{"the first one is whole", func() {}, long, whole, whole + 50, whole, whole + 50},
		{"then differences", func() {}, long, 1, 60, 1, 60},
		{"of more", func() {}, long + "more", 1, 60, 1, 60},
		{"another text altogether", func() {}, strings.Repeat("else", 300), 1, whole, 1, whole},
		{"and again", func() {}, strings.Repeat("else", 300), 1, 60, 1, 60},
		{"the controller was restarted: the difference is refused, and all of it sent", func() { e.api.exchanges = delta.Exchanges{} },
			long, whole, whole + 100, whole, whole + 200},
		{"an older build cannot read a difference", func() { e.old.Store(true) }, long, whole, whole + 100, whole, whole + 300},
		{"and gets whole ones", func() {}, long, whole, whole + 50, whole, whole + 50},
		{"a newer one says again that it keeps them", func() { e.old.Store(false) }, long, whole, whole + 50, 1, whole + 50},
		{"differences again", func() {}, long, 1, 60, 1, 60},
		{"the client was restarted", func() { client.Close(); client = wire.NewClient([]string{address}, config) }, long, whole, whole + 50,
			whole, whole + 50},
	} {
		step.before()
		in, out, err := post(step.text)
		if err != nil || in < step.leastIn || in > step.mostIn || out < step.leastOut || out > step.mostOut {
			t.Errorf("%s: %d bytes sent and %d received, %v", step.name, in, out, err)
		}
	}

	// A refusal is repeated, too.
	e.fails.Store(true)
	for range 3 {
		var refusal *wire.RefusalError
		if _, _, err := post(long); !errors.As(err, &refusal) || refusal.Status != http.StatusConflict || refusal.Err.Message != "it is refused" {
			t.Errorf("refused: %v", err)
		}
	}
}

// What a sender says of a difference is checked.
func TestRepeatedBadInput(t *testing.T) {
	a := &API{Options: Options{Name: "c1", Controllers: nowhere{}, Identify: func(*http.Request) (identity.ID, error) {
		return identity.ID{Role: identity.RoleAgent, Name: "db-1"}, nil
	}}}
	for title, status := range map[string]int{
		"":                                  http.StatusOK,
		"one":                               http.StatusBadRequest,
		"0123456789abcdef fedcba9876543210": http.StatusPreconditionFailed,
	} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/report", strings.NewReader(`{"report":"a report"}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set(wire.HasHeader, wire.HasNone)
		q.Header.Set(wire.DeltaHeader, title)
		got := httptest.NewRecorder()
		a.repeated(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			b, err := io.ReadAll(q.Body)
			fmt.Fprintf(w, "%q %v", b, err)
		})).ServeHTTP(got, q)
		if got.Code != status || status != http.StatusOK && !json.Valid(got.Body.Bytes()) {
			t.Errorf("title %q: %d %s", title, got.Code, got.Body)
		}
	}
}
