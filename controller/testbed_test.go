package controller

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/test/kit"
	"mainstay/test/kit/certs"
)

// bed is a CA, and the controllers of one test, in this process on loopback.
type bed struct {
	t      *testing.T
	dir    string
	ca     certs.Authority
	logger *zap.Logger

	mu     sync.Mutex
	nodes  map[string]*node
	stores map[string]*identity.Store
}

type node struct {
	*running
	cfg  config.Controller
	stop context.CancelFunc
	done chan struct{}
	err  error // of Run, once done is closed
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), ca: certs.New(t, "social"), nodes: map[string]*node{}, stores: map[string]*identity.Store{},
		logger: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))}
	return b
}

func (b *bed) store(role, name string) *identity.Store {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.stores[role+name]; s != nil {
		return s
	}
	s := b.ca.Store(role, name)
	b.stores[role+name] = s
	return s
}

// config is a controller's file, on a port that was free a moment ago.
func (b *bed) config(name string) config.Controller {
	b.t.Helper()
	address := kit.FreeAddress(b.t)
	return config.Controller{Name: name, Site: "east", Listen: address, Advertise: address, Data: filepath.Join(b.dir, "data-"+name),
		TLS: config.TLS(b.ca.Files(identity.RoleController, name))}
}

func (b *bed) start(cfg config.Controller) *node {
	b.t.Helper()
	c, err := Open(cfg, Options{Version: "test", Logger: b.logger})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &node{running: c.begin(), cfg: cfg, stop: stop, done: make(chan struct{})}
	b.mu.Lock()
	b.nodes[cfg.Name] = n
	b.mu.Unlock()
	go func() {
		defer close(n.done)
		n.err = n.until(ctx)
	}()
	b.t.Cleanup(func() { b.end(n) })
	return n
}

// end stops a controller and waits for it; crash does so without handing over.
func (b *bed) end(n *node) {
	b.t.Helper()
	n.stop()
	select {
	case <-n.done:
	case <-time.After(20 * time.Second):
		b.t.Errorf("controller %s does not end", n.cfg.Name)
		return
	}
	if n.err != nil {
		b.t.Errorf("controller %s ended with: %v", n.cfg.Name, n.err)
	}
}

func (b *bed) crash(n *node) {
	b.t.Helper()
	n.abrupt = true // read after the context has ended
	b.end(n)
}

// three starts and initialises three controllers.
func (b *bed) three() []*node {
	b.t.Helper()
	var nodes []*node
	var addresses []string
	for _, name := range []string{"c1", "c2", "c3"} {
		n := b.start(b.config(name))
		nodes, addresses = append(nodes, n), append(addresses, n.cfg.Advertise)
	}
	b.initialise(addresses...)
	return nodes
}

// one starts and initialises a single controller.
func (b *bed) one() *node {
	b.t.Helper()
	n := b.start(b.config("c1"))
	b.initialise(n.cfg.Advertise)
	return n
}

func (b *bed) initialise(addresses ...string) {
	b.t.Helper()
	var list wire.Controllers
	err := b.client(identity.RoleOperator, "jane").DoAt(b.ctx(30*time.Second), addresses[0], "POST", "/v1/controllers/init",
		wire.InitRequest{Addresses: addresses}, &list)
	if err != nil {
		b.t.Fatal("init: ", err)
	}
	if len(list.Members) != len(addresses) {
		b.t.Fatalf("init answers %+v", list)
	}
}

func (b *bed) ctx(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), max(d, kit.Patience))
	b.t.Cleanup(cancel)
	return ctx
}

// client speaks as role and name to all controllers started so far.
func (b *bed) client(role, name string) *wire.Client {
	b.t.Helper()
	b.mu.Lock()
	var addresses []string
	for _, n := range b.nodes {
		addresses = append(addresses, n.cfg.Advertise)
	}
	b.mu.Unlock()
	c := wire.NewClient(addresses, b.store(role, name).ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	b.t.Cleanup(c.Close)
	return c
}

// eventually waits for a condition; what describes it.
func (b *bed) eventually(what string, limit time.Duration, holds func() bool) {
	b.t.Helper()
	kit.Within(b.t, max(limit, kit.Patience), what, holds)
}

func (b *bed) leader() *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.nodes {
		select {
		case <-n.done:
			continue
		default:
		}
		if n.list.Leading() {
			return n
		}
	}
	return nil
}

func (b *bed) apply(c *wire.Client, p *platform.Platform) wire.ApplyAnswer {
	b.t.Helper()
	var out wire.ApplyAnswer
	if err := c.Do(b.ctx(10*time.Second), "PUT", "/v1/platform", wire.ApplyRequest{Platform: p}, &out); err != nil {
		b.t.Fatal("apply: ", err)
	}
	return out
}

// social is a small platform: one cluster of three members on two sites.
func social() *platform.Platform {
	p := &platform.Platform{Name: "social", Sites: []platform.Site{{Name: "east"}, {Name: "west"}}}
	c := platform.Cluster{Name: "feed", Durability: platform.Durability{Acks: 1, From: "any", WhenShort: "block"},
		Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"}, Lease: 3 * time.Second}
	for i, h := range []string{"e1", "e2", "w1"} {
		site := map[byte]string{'e': "east", 'w': "west"}[h[0]]
		p.Hosts = append(p.Hosts, platform.Host{Name: "db-" + h, Site: site, Address: "127.0.0.1"})
		c.Members = append(c.Members, platform.Member{Name: "feed-" + h, Host: "db-" + h, Port: 5501 + i, Priority: 10 - i, MayLead: true})
	}
	p.Clusters = []platform.Cluster{c}
	return p
}

func refusal(t *testing.T, err error) *wire.RefusalError {
	t.Helper()
	var r *wire.RefusalError
	if !errors.As(err, &r) {
		t.Fatalf("%v, want a refusal", err)
	}
	return r
}
