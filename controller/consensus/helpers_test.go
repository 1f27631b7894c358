package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/test/kit"
	"mainstay/test/kit/certs"
)

// words is a Machine that collects the commands as words. "bad" is an error, "fatal" an unknown command, and "wait" blocks
// until gate is closed.
type words struct {
	gate chan struct{}

	mu       sync.Mutex
	all      []string
	restored int
}

func (w *words) Apply(index uint64, cmd []byte) (any, error) {
	switch string(cmd) {
	case "bad":
		return nil, errBad
	case "fatal":
		return nil, &FatalError{errors.New("unknown command")}
	case "wait":
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(cmd))
	return len(w.all), nil
}

var errBad = errors.New("bad word")

func (w *words) Snapshot() func() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	captured := slices.Clone(w.all)
	return func() ([]byte, error) { return json.Marshal(captured) }
}

func (w *words) Restore(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restored++
	w.all = nil
	return json.Unmarshal(b, &w.all)
}

func (w *words) has(want ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Equal(w.all, want)
}

// node is one controller of a test.
type node struct {
	t         *testing.T
	name      string
	dir       string
	address   string
	store     *identity.Store
	threshold uint64
	memory    string
	confirmed func(ctx context.Context, id string, others []Server) uint64

	mux     *identity.Mux
	machine *words
	log     *Log
}

// nodes makes controllers with certificates of one CA; none is started.
func nodes(t *testing.T, names ...string) []*node {
	t.Helper()
	ca := certs.New(t, "social")
	var all []*node
	for _, name := range names {
		n := &node{t: t, name: name, dir: t.TempDir() + "/raft", address: "127.0.0.1:0", store: ca.Store(identity.RoleController, name)}
		t.Cleanup(n.kill)
		all = append(all, n)
	}
	return all
}

func (n *node) open() (*Log, error) {
	mux, err := identity.Listen(n.address, n.store)
	if err != nil {
		n.t.Fatal(err)
	}
	n.address = mux.Addr().String()
	machine := &words{gate: make(chan struct{})}
	log, err := Open(Options{
		Dir: n.dir, Name: n.name, Address: n.address, Listener: mux.Raft(),
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return identity.Dial(ctx, address, n.store, identity.ProtoRaft, identity.RoleController, "")
		},
		Heartbeat: 400 * time.Millisecond, Election: 400 * time.Millisecond, Lease: 400 * time.Millisecond,
		SnapshotThreshold: n.threshold, Memory: n.memory, Confirmed: n.confirmed,
	}, machine)
	if err != nil {
		mux.Close()
		return nil, err
	}
	n.mux, n.machine, n.log = mux, machine, log
	return log, nil
}

func (n *node) start() *node {
	n.t.Helper()
	if _, err := n.open(); err != nil {
		n.t.Fatal(err)
	}
	return n
}

// kill ends the controller without handing anything over.
func (n *node) kill() {
	if n.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := n.log.Close(ctx); err != nil {
		n.t.Error(err)
	}
	n.mux.Close()
	n.log = nil
}

func (n *node) server() Server { return Server{ID: n.log.ID(), Address: n.address} }

// bootstrapped starts all and lets the first begin the log.
func bootstrapped(t *testing.T, all []*node) {
	t.Helper()
	var servers []Server
	for _, n := range all {
		servers = append(servers, n.start().server())
	}
	if err := all[0].log.Bootstrap(servers); err != nil {
		t.Fatal(err)
	}
}

func leaderOf(t *testing.T, all []*node) *node {
	t.Helper()
	var leader *node
	kit.Eventually(t, "a leader that commits", func() bool {
		for _, n := range all {
			if n.log != nil && n.log.IsLeader() {
				if _, _, err := n.log.Propose([]byte("bad"), time.Second).Result(); errors.Is(err, errBad) {
					leader = n
					return true
				}
			}
		}
		return false
	})
	return leader
}

func (n *node) say(word string) uint64 {
	n.t.Helper()
	index, _, err := n.log.Propose([]byte(word), 5*time.Second).Result()
	if err != nil {
		n.t.Fatalf("propose %q: %v", word, err)
	}
	return index
}
