package publish_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/publish"
	"mainstay/controller/publish/sinktest"
)

type server struct{ url string }

func newServer(t *testing.T) *server { return &server{sinktest.StartEtcd(t)} }

func (s *server) conf() *config.Etcd {
	return &config.Etcd{Endpoints: []string{s.url}, Prefix: "/mainstay", Lease: 2 * time.Second}
}

func (s *server) sink(t *testing.T) publish.Sink {
	t.Helper()
	e, err := publish.NewEtcd(s.conf())
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
	if e, err := publish.NewEtcd(nil); e != nil || err != nil {
		t.Error(e, err)
	}
	bad := &config.Etcd{TLS: &config.TLS{CA: "/nowhere/ca.crt", Cert: "/nowhere/c.crt", Key: "/nowhere/c.key"}}
	if _, err := publish.NewEtcd(bad); err == nil || !strings.Contains(err.Error(), "etcd.tls: open /nowhere/c.crt") {
		t.Errorf("%v", err)
	}
}
