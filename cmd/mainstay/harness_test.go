package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// bench is a home with a contexts file, a CA, and what one command line said.
type bench struct {
	t     *testing.T
	home  string
	ca    string
	env   map[string]string
	asks  bool
	stdin string
	out   string
	err   string
	edit  func(*program) // last touch before a run; nil for none
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, home: t.TempDir(), env: map[string]string{}}
	b.ca = filepath.Join(b.home, "ca")
	b.env["HOME"] = b.home
	if err := identity.InitCA(b.ca, "social"); err != nil {
		t.Fatal(err)
	}
	b.issue(identity.RoleOperator, "anna")
	return b
}

func (b *bench) issue(role, name string) identity.Files {
	b.t.Helper()
	if _, err := identity.Issue(b.ca, b.ca, identity.Request{Role: role, Name: name}); err != nil {
		b.t.Fatal(err)
	}
	base := filepath.Join(b.ca, role+"-"+name)
	return identity.Files{CA: filepath.Join(b.ca, "ca.crt"), Cert: base + ".crt", Key: base + ".key"}
}

// contexts writes the contexts file: one context, demo, with these controllers.
func (b *bench) contexts(controllers ...string) {
	b.write(".config/mainstay/config.yaml",
		fmt.Sprintf(
			"current: demo\ncontexts:\n  demo:\n    controllers: [\"%s\"]\n    tls: {ca: %s/ca.crt, cert: %s/operator-anna.crt, "+
				"key: %s/operator-anna.key}\n",
			strings.Join(controllers, `", "`), b.ca, b.ca, b.ca))
}

func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) run(args ...string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return b.runFor(ctx, args...)
}

func (b *bench) runFor(ctx context.Context, args ...string) int {
	b.t.Helper()
	var out, errs bytes.Buffer
	p := &program{
		stdin: strings.NewReader(b.stdin), stdout: &out, stderr: &errs, env: func(k string) string { return b.env[k] }, asks: b.asks,
		signals: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) },
		hangups: func() (<-chan os.Signal, func()) { return nil, func() {} },
		dial:    dialWire,
		runController: func(context.Context, config.Controller, daemon) error {
			return errors.New("no controller in this test")
		},
		runAgent: func(context.Context, config.Agent, daemon) error { return errors.New("no agent in this test") },
	}
	if b.edit != nil {
		b.edit(p)
	}
	code := p.run(ctx, args)
	b.out, b.err = out.String(), errs.String()
	return code
}

// want runs a command line and checks its exit code and what it says; texts that begin with ! must not be there.
func (b *bench) want(code int, args []string, texts ...string) {
	b.t.Helper()
	if got := b.run(args...); got != code {
		b.t.Errorf("mainstay %s: exit code %d, want %d", strings.Join(args, " "), got, code)
	}
	for _, text := range texts {
		forbidden, not := strings.CutPrefix(text, "!")
		if strings.Contains(b.out+b.err, forbidden) == not {
			b.t.Errorf("mainstay %s: %q: present %v, want %v", strings.Join(args, " "), forbidden, not, !not)
		}
	}
	if b.t.Failed() {
		b.t.Logf("stdout:\n%s\nstderr:\n%s", b.out, b.err)
	}
}

// server stands in for a controller or an agent: TLS and identity are real, the answers are the test's.
type server struct {
	address string
	mux     *http.ServeMux

	mu    sync.Mutex
	calls []string
	bods  map[string]string // last body by call
}

func (b *bench) server(role, name string) *server {
	b.t.Helper()
	store, err := identity.Load(b.issue(role, name))
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	s := &server{address: l.Addr().String(), mux: http.NewServeMux(), bods: map[string]string{}}
	h := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Serve(tls.NewListener(l, store.ServerConfig(identity.ProtoHTTP)))
	}()
	b.t.Cleanup(func() { h.Close(); <-done })
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20))
	call := r.Method + " " + r.URL.Path
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.bods[call] = body.String()
	s.mu.Unlock()
	r.Body = http.NoBody
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, body.Bytes())))
}

type bodyKey struct{}

func bodyOf(r *http.Request, into any) {
	json.Unmarshal(r.Context().Value(bodyKey{}).([]byte), into)
}

// answer makes the server give a fixed answer: a value with 200, or a wire.Error with its status.
func (s *server) answer(pattern string, status int, value any) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, status, value) })
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func (s *server) body(call string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bods[call]
}

// all are the calls so far.
func (s *server) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *server) called(call string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == call {
			n++
		}
	}
	return n
}

// leader is a bench with one controller that leads.
func leader(t *testing.T) (*bench, *server) {
	t.Helper()
	b := newBench(t)
	s := b.server(identity.RoleController, "c1")
	b.contexts(s.address)
	return b, s
}

func notLeader() wire.Error {
	return wire.Error{Message: "not the leader, and none is known", Code: "not-leader"}
}
