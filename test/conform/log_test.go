package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/test/kit"
	"mainstay/test/sim/world"
)

// TestLog: the model of the replicated log and of who leads it against controller/consensus, three nodes in this process.
func TestLog(t *testing.T) {
	t.Parallel() // it waits, mostly
	Check(t, "log",
		func(_ *testing.T, seed uint64) Driver {
			return newLogScript(&modelControllers{world.NewControllers(seed, voters...)})
		},
		func(t *testing.T) Driver { return newLogScript(newNodes(t)) })
}

func newLogScript(c controllers) Driver {
	return &logScript{controllers: c, named: map[string]string{}, cut: map[string]bool{}}
}

// heartbeat is long enough that no leader is lost on a busy machine.
const heartbeat = 1500 * time.Millisecond

var voters = []string{"c1", "c2", "c3"}

// controllers are the voters of one log.
type controllers interface {
	Leads(name string) bool
	Say(name, word string) error
	Outcome(word string) string // "open", "committed", "refused" or "unknown"
	Isolate(name string, cut bool)
	Kill(name string)
	Start(name string)
	Log(name string) []string
	Pass(d time.Duration)
}

type logScript struct {
	controllers
	named map[string]string // the voters that the script has named
	cut   map[string]bool
}

// Do knows the verbs lead, follow, leads, say, outcome, committed, isolate, join, kill, start, log and same; see log.txt.
func (p *logScript) Do(_ context.Context, s Step) (string, error) {
	who := p.named[s.Args[0]]
	switch s.Verb {
	case "lead":
		return p.lead(s.Args[0])
	case "follow":
		for _, v := range voters {
			if !p.Leads(v) {
				p.named[s.Args[0]] = v
				return "found", nil
			}
		}
		return "none", nil
	case "leads":
		if p.Leads(who) {
			return "yes", nil
		}
		return "no", nil
	case "say":
		return "", p.Say(who, s.Args[1])
	case "outcome":
		return p.Outcome(s.Args[0]), nil
	case "committed":
		if p.Outcome(s.Args[0]) == "committed" {
			return "yes", nil
		}
		return "no", nil
	case "isolate", "join":
		p.cut[who] = s.Verb == "isolate"
		p.Isolate(who, p.cut[who])
	case "kill":
		p.Kill(who)
	case "start":
		p.Start(who)
	case "log":
		uncertain := func(w string) bool { return p.Outcome(w) == "unknown" || p.Outcome(w) == "open" }
		return strings.Join(slices.DeleteFunc(p.Log(who), uncertain), " "), nil
	case "same":
		if slices.Equal(p.Log(who), p.Log(p.named[s.Args[1]])) {
			return "yes", nil
		}
		return "no", nil
	default:
		return "", fmt.Errorf("there is no verb %s", s.Verb)
	}
	return "", nil
}

func (p *logScript) lead(as string) (string, error) {
	var leaders []string
	for _, v := range voters {
		if p.Leads(v) && !p.cut[v] {
			leaders = append(leaders, v)
		}
	}
	if len(leaders) == 1 {
		p.named[as] = leaders[0]
	}
	return []string{"none", "one", "two", "three"}[len(leaders)], nil
}

type modelControllers struct{ *world.Controllers }

// Pass is longer in a world with a slow machine's bounds.
func (m *modelControllers) Pass(d time.Duration) { m.Controllers.Pass(10 * d) }

// words is a machine that collects the commands.
type words struct {
	mu  sync.Mutex
	all []string
}

func (w *words) Apply(_ uint64, cmd []byte) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(cmd))
	return nil, nil
}

func (w *words) Snapshot() func() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	captured := slices.Clone(w.all)
	return func() ([]byte, error) { return json.Marshal(captured) }
}

func (w *words) Restore(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = nil
	return json.Unmarshal(b, &w.all)
}

// nodes are real ones. All connections between them are known by their ends, so that they can be cut.
type nodes struct {
	t        *testing.T
	all      map[string]*voter
	outcomes map[string]consensus.Pending // nil: it was refused before it came to the log

	mu    sync.Mutex
	cut   map[string]bool // names
	conns map[[2]string][]net.Conn
}

type voter struct {
	name, dir, address string
	store              *identity.Store
	mux                *identity.Mux
	machine            *words
	log                *consensus.Log // nil while it does not run
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	n := &nodes{t: t, all: map[string]*voter{}, outcomes: map[string]consensus.Pending{}}
	n.cut, n.conns = map[string]bool{}, map[[2]string][]net.Conn{}
	certs := t.TempDir()
	kit.Check(t, identity.InitCA(certs, "conform"))
	var servers []consensus.Server
	for _, name := range voters {
		paths, err := identity.Issue(certs, certs, identity.Request{Role: identity.RoleController, Name: name})
		kit.Check(t, err)
		s, err := identity.Load(identity.Files{CA: certs + "/ca.crt", Cert: paths[0], Key: paths[1]})
		kit.Check(t, err)
		n.all[name] = &voter{name: name, dir: t.TempDir() + "/raft", store: s}
		t.Cleanup(func() { n.Kill(name) })
		n.Start(name)
		servers = append(servers, consensus.Server{ID: n.all[name].log.ID(), Address: n.all[name].address})
	}
	kit.Check(t, n.all[voters[0]].log.Bootstrap(servers))
	return n
}

func (n *nodes) Pass(d time.Duration) { time.Sleep(d) }

func (n *nodes) Start(name string) {
	v := n.all[name]
	listen := v.address
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	mux, err := identity.Listen(listen, v.store)
	kit.Check(n.t, err)
	if v.mux == nil {
		v.address = mux.Addr().String() // for good: the others read it
	}
	v.mux, v.machine = mux, &words{}
	v.log, err = consensus.Open(consensus.Options{
		Dir: v.dir, Name: name, Address: v.address, Listener: mux.Raft(),
		Dial:      func(ctx context.Context, to string) (net.Conn, error) { return n.dial(ctx, v, to) },
		Heartbeat: heartbeat, Election: heartbeat, Lease: heartbeat,
	}, v.machine)
	kit.Check(n.t, err)
}

var errCut = errors.New("the network is cut")

func (n *nodes) dial(ctx context.Context, v *voter, address string) (net.Conn, error) {
	to := ""
	for _, other := range n.all {
		if other.address == address {
			to = other.name
		}
	}
	if n.severed(v.name, to, nil) {
		return nil, errCut
	}
	c, err := identity.Dial(ctx, address, v.store, identity.ProtoRaft, identity.RoleController, "")
	if err == nil && n.severed(v.name, to, c) {
		return nil, errors.Join(errCut, c.Close())
	}
	return c, err
}

// severed tells whether two are cut off, and remembers a connection if they are not.
func (n *nodes) severed(from, to string, c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[from] || n.cut[to] {
		return true
	}
	if c != nil {
		ends := [2]string{from, to}
		n.conns[ends] = append(n.conns[ends], c)
	}
	return false
}

func (n *nodes) Isolate(name string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[name] = cut
	for ends, all := range n.conns {
		if !cut || !slices.Contains(ends[:], name) {
			continue
		}
		for _, c := range all {
			_ = c.Close() // its other end may have ended it
		}
		delete(n.conns, ends)
	}
}

func (n *nodes) Kill(name string) {
	v := n.all[name]
	if v.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := v.log.Close(ctx); err != nil {
		n.t.Error(err)
	}
	_ = v.mux.Close() // its listener may be closed already
	v.log = nil
}

func (n *nodes) Leads(name string) bool {
	v := n.all[name]
	return v.log != nil && v.log.IsLeader()
}

func (n *nodes) Say(name, word string) error {
	v := n.all[name]
	if v.log == nil {
		return fmt.Errorf("%s does not run", name)
	}
	n.outcomes[word] = v.log.Propose([]byte(word), patience/2)
	return nil
}

func (n *nodes) Outcome(word string) string {
	p := n.outcomes[word]
	select {
	case <-p.Done():
	default:
		return "open"
	}
	switch _, _, err := p.Result(); {
	case err == nil:
		return "committed"
	case errors.Is(err, consensus.ErrUnknown):
		return "unknown"
	}
	return "refused"
}

func (n *nodes) Log(name string) []string {
	m := n.all[name].machine
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}
