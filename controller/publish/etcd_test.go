package publish_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/publish"
	"mainstay/controller/publish/sinktest"
)

type server struct{ url string }

func newServer(t *testing.T, options ...string) *server {
	return &server{sinktest.StartEtcd(t, options...)}
}

func (s *server) conf() *config.Etcd {
	return &config.Etcd{Endpoints: []string{s.url}, Prefix: "/mainstay", Lease: 2 * time.Second}
}

func (s *server) sink(t *testing.T) publish.Sink { return s.logging(t, zap.NewNop()) }

func (s *server) logging(t *testing.T, logger *zap.Logger) publish.Sink {
	t.Helper()
	e, err := publish.NewEtcd(s.conf(), logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func (s *server) client(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.url}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := c.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) == 0 {
		return ""
	}
	return string(got.Kvs[0].Value)
}

func (s *server) read(t *testing.T) sinktest.Read {
	c := s.client(t)
	return func(t *testing.T, cluster string) (*publish.Topology, string) {
		t.Helper()
		key := "/mainstay/social/clusters/" + cluster
		primary := get(t, c, key+"/primary")
		text := get(t, c, key)
		if text == "" {
			return nil, primary
		}
		var out publish.Topology
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return &out, primary
	}
}

func (s *server) readApp(t *testing.T) sinktest.ReadApp {
	c := s.client(t)
	return func(t *testing.T, app string) (*publish.AppTopology, map[string]string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		key := "/mainstay/social/apps/" + app
		got, err := c.Get(ctx, key+"/sites/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		sites := map[string]string{}
		for _, kv := range got.Kvs {
			sites[strings.TrimPrefix(string(kv.Key), key+"/sites/")] = string(kv.Value)
		}
		text := get(t, c, key)
		if text == "" {
			return nil, sites
		}
		var out publish.AppTopology
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return &out, sites
	}
}

func TestEtcdConforms(t *testing.T) {
	s := newServer(t)
	sinktest.Run(t, s.sink, s.read(t), s.readApp(t))
}

// The announced primary disappears when no leader renews it; the topology, with which old leaders are compared,
// stays.
func TestEtcdLeaseEnds(t *testing.T) {
	s := newServer(t)
	sink, read, readApp := s.sink(t), s.read(t), s.readApp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	bootstrapped := publish.Topology{Cluster: "a", Opened: true, Primary: &publish.Endpoint{Member: "a1", Address: "10.0.0.1", Port: 5432}}
	if err := sink.Publish(ctx, "social", bootstrapped); err != nil {
		t.Fatal(err)
	}
	// Repeated, it outlives its lease.
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		if err := sink.Publish(ctx, "social", bootstrapped); err != nil {
			t.Fatal(err)
		}
		<-time.After(300 * time.Millisecond)
	}
	if _, primary := read(t, "a"); primary != "10.0.0.1:5432" {
		t.Fatalf("primary %q", primary)
	}
	web := publish.AppTopology{App: "web", Sites: map[string][]publish.AppEndpoint{"east": {{Instance: "web1", Address: "10.0.0.9:80"}}}}
	if err := sink.PublishApp(ctx, "social", web); err != nil {
		t.Fatal(err)
	}
	if _, sites := readApp(t, "web"); sites["east"] != "10.0.0.9:80" {
		t.Fatalf("sites %v", sites)
	}
	await(t, "the primary's key to go", func() bool { _, primary := read(t, "a"); return primary == "" })
	if there, _ := read(t, "a"); there == nil {
		t.Error("the topology went with it")
	}
	if there, sites := readApp(t, "web"); there == nil || len(sites) != 0 {
		t.Errorf("of an app whose keys no leader renews: %+v, %v", there, sites)
	}
	// A lease that was lost meanwhile is taken anew.
	await(t, "it to be published again", func() bool { return sink.Publish(ctx, "social", bootstrapped) == nil })
	if _, primary := read(t, "a"); primary != "10.0.0.1:5432" {
		t.Errorf("primary %q", primary)
	}
}

// fill writes until etcd is out of space, and returns how to end that.
func (s *server) fill(t *testing.T) (free func()) {
	t.Helper()
	c := s.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	for n := 0; ; n++ {
		if _, err := c.Put(ctx, fmt.Sprintf("/filling/%d", n), strings.Repeat("x", 10_000)); errors.Is(err, rpctypes.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		gone, err := c.Delete(ctx, "/filling/", clientv3.WithPrefix())
		if err == nil {
			_, err = c.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical())
		}
		if err == nil {
			_, err = c.Defragment(ctx, s.url)
		}
		if err == nil {
			_, err = c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Out of space, etcd renews leases and takes no new value: what became false disappears at once, and what is true stays.
func TestEtcdOutOfSpace(t *testing.T) {
	s := newServer(t, "--quota-backend-bytes", "500000")
	core, logs := observer.New(zap.WarnLevel)
	sink, other, read, readApp := s.logging(t, zap.New(core)), s.sink(t), s.read(t), s.readApp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	topology := func(cluster, address string, number uint64) publish.Topology {
		return publish.Topology{Cluster: cluster, Epoch: platform.Epoch{Generation: 1, Number: number}, Opened: true,
			Primary: &publish.Endpoint{Member: "m", Address: address, Port: 5432}}
	}
	app := func(index uint64, address string) publish.AppTopology {
		return publish.AppTopology{App: "web", Index: index, Sites: map[string][]publish.AppEndpoint{
			"east": {{Instance: "web1", Address: address}}, "west": {{Instance: "web2", Address: "10.0.1.9:80"}}}}
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := sink.Publish(ctx, "social", topology(name, "10.0.0.1", 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.PublishApp(ctx, "social", app(1, "10.0.0.9:80")); err != nil {
		t.Fatal(err)
	}
	free := s.fill(t)
	for n := range 2 { // the second finds nothing to delete
		if err := sink.Publish(ctx, "social", topology("a", "10.0.0.2", 2)); err == nil || !strings.Contains(err.Error(), "alarm disarm") {
			t.Errorf("of a failover: %v", err)
		}
		if _, primary := read(t, "a"); primary != "" {
			t.Errorf("a failover leaves the former primary published: %q (%d)", primary, n)
		}
	}
	key := zap.String("key", "/mainstay/social/clusters/a/primary")
	if n := logs.FilterMessageSnippet("the key was deleted").FilterField(key).Len(); n != 1 {
		t.Errorf("%d lines of the deletion: %v", n, logs.All())
	}
	if err := sink.PublishApp(ctx, "social", app(2, "10.0.0.10:80")); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("of an app: %v", err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); { // longer than the lease
		if err := sink.Publish(ctx, "social", topology("b", "10.0.0.1", 1)); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatalf("of what has not changed: %v", err)
		}
		<-time.After(300 * time.Millisecond)
	}
	if _, primary := read(t, "b"); primary != "10.0.0.1:5432" {
		t.Errorf("a primary that has not changed disappeared: %q", primary)
	}
	if _, sites := readApp(t, "web"); len(sites) != 1 || sites["west"] != "10.0.1.9:80" {
		t.Errorf("sites of the app: %v", sites)
	}
	// Another leader gets no lease, and deletes what the former one has published.
	if err := other.Publish(ctx, "social", topology("c", "10.0.0.2", 2)); err == nil || !strings.Contains(err.Error(), "alarm disarm") {
		t.Errorf("of another leader: %v", err)
	}
	if _, primary := read(t, "c"); primary != "" {
		t.Errorf("another leader leaves the former primary published: %q", primary)
	}
	free()
	for _, name := range []string{"a", "c"} {
		if err := sink.Publish(ctx, "social", topology(name, "10.0.0.2", 2)); err != nil {
			t.Fatal(err)
		}
		if _, primary := read(t, name); primary != "10.0.0.2:5432" {
			t.Errorf("with space again, the primary of %s is %q", name, primary)
		}
	}
}

// A sink that can correct nothing lets its lease end.
func TestEtcdThatHangs(t *testing.T) {
	s := newServer(t)
	core, logs := observer.New(zap.WarnLevel)
	sink, read := s.logging(t, zap.New(core)), s.read(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sink.Publish(ctx, "social", publish.Topology{Cluster: "a", Opened: true,
		Primary: &publish.Endpoint{Member: "m", Address: "10.0.0.1", Port: 5432}}); err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(ctx)
	end()
	if err := sink.Publish(over, "social", publish.Topology{Cluster: "a", Version: 1}); err == nil {
		t.Fatal("published without an answer")
	}
	if n := logs.FilterMessageSnippet("lease is not renewed").Len(); n != 1 {
		t.Errorf("%d lines that the lease ends", n)
	}
	// Another cluster's success does not renew the lease of what may be false.
	await(t, "the key to go", func() bool {
		if err := sink.Publish(ctx, "social", publish.Topology{Cluster: "b"}); err != nil {
			t.Fatal(err)
		}
		_, primary := read(t, "a")
		return primary == ""
	})
}

// etcd grants no lease shorter than one and a half of its election timeouts; that is said once.
func TestEtcdGrantsALongerLease(t *testing.T) {
	s := newServer(t, "--election-timeout", "3000")
	core, logs := observer.New(zap.WarnLevel)
	sink := s.logging(t, zap.New(core))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	await(t, "etcd to be up", func() bool { return sink.Publish(ctx, "social", publish.Topology{Cluster: "a"}) == nil })
	said := logs.FilterMessageSnippet("no lease as short as etcd.lease").FilterField(zap.Duration("lease", 2*time.Second)).
		FilterField(zap.Duration("granted", 5*time.Second))
	if said.Len() != 1 {
		t.Errorf("said: %v", logs.All())
	}
}

func TestEtcdHoldsSomethingElse(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.client(t).Put(ctx, "/mainstay/social/clusters/a", "mine"); err != nil {
		t.Fatal(err)
	}
	err := s.sink(t).Publish(ctx, "social", publish.Topology{Cluster: "a"})
	if err == nil || !strings.Contains(err.Error(), "does not hold a topology") {
		t.Errorf("%v", err)
	}
	if err := s.sink(t).Withdraw(ctx, "social", "a", 9); err != nil || get(t, s.client(t), "/mainstay/social/clusters/a") != "mine" {
		t.Errorf("withdrew what it had not published: %v", err)
	}
	if _, err := s.client(t).Put(ctx, "/mainstay/social/apps/a", "mine"); err != nil {
		t.Fatal(err)
	}
	if err := s.sink(t).PublishApp(ctx, "social", publish.AppTopology{App: "a"}); err == nil ||
		!strings.Contains(err.Error(), "does not hold a topology") {
		t.Errorf("%v", err)
	}
	if err := s.sink(t).WithdrawApp(ctx, "social", publish.AppTopology{App: "a"}); err != nil ||
		get(t, s.client(t), "/mainstay/social/apps/a") != "mine" {
		t.Errorf("withdrew what it had not published: %v", err)
	}
}

func TestNewEtcdRefusesBadFiles(t *testing.T) {
	if e, err := publish.NewEtcd(nil, nil); e != nil || err != nil {
		t.Error(e, err)
	}
	bad := &config.Etcd{TLS: &config.TLS{CA: "/nowhere/ca.crt", Cert: "/nowhere/c.crt", Key: "/nowhere/c.key"}}
	if _, err := publish.NewEtcd(bad, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "etcd.tls: open /nowhere/c.crt") {
		t.Errorf("%v", err)
	}
}
