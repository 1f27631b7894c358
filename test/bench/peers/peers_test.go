package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
		err  string
	}{
		{"", 5, ""}, {"-n 1", 1, ""}, {"-n 0", 0, "at least once"}, {"-n few", 0, "invalid value"}, {"patroni", 0, "is not a flag"},
	} {
		got, err := parse(strings.Fields(c.args), io.Discard)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: %d, %v", c.args, got, err)
		}
	}
	if _, err := parse([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
}

func TestHosts(t *testing.T) {
	got := hosts("ms12-db-e1 (id: 3)\nms3-ctl-n\nmysql-1\nms-db\nblue\n\n")
	if want := []string{"ms12-db-e1", "ms3-ctl-n"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func seconds(all ...float64) (out []time.Duration) {
	for _, s := range all {
		out = append(out, time.Duration(s*float64(time.Second)))
	}
	return out
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		ours, theirs  []time.Duration
		spread, ratio string
	}{
		{nil, seconds(2), "-", "-"},
		{seconds(1), nil, "1.00", "-"},
		{seconds(1), seconds(0), "1.00", "-"},
		{seconds(3, 1, 2), seconds(8, 2, 4), "2.00 (1.00-3.00), n=3", "0.50"},
		{seconds(4, 1, 2, 3), seconds(10), "2.50 (1.00-4.00), n=4", "0.25"},
	} {
		if s, r := spread(c.ours), ratio(c.ours, c.theirs); s != c.spread || r != c.ratio {
			t.Errorf("%v to %v: %s and %s, want %s and %s", c.ours, c.theirs, s, r, c.spread, c.ratio)
		}
	}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	tab := &table{}
	if tab.print(&out); out.Len() > 0 {
		t.Errorf("before anything was ready it prints %s", out.String())
	}
	tab.head = "this machine"
	tab.of(patroniWaits).times[killed] = seconds(2, 4)
	tab.of(mainstayWaits).add(killed, time.Second)
	tab.of(mainstayWaits).checked, tab.of(mainstayWaits).missing = 70, 1
	tab.print(&out)
	for _, want := range []string{
		"\nthis machine\n",
		"| | Mainstay, acks 1 | Patroni, synchronous | ratio | Mainstay, acks 0 | Patroni, asynchronous | ratio |\n" +
			"|---|---|---|---|---|---|---|\n",
		"| postmaster killed | 1.00 | 3.00 (2.00-4.00), n=2 | 0.33 | - | - | - |\n",
		"| host cut: rejoin of the old primary | - | - | - | - | - | - |\n",
		"| acknowledged posts missing | 1 of 70 | not known |  | not known | not known |  |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in:\n%s", want, out.String())
		}
	}
}

func TestKept(t *testing.T) {
	if err := (&result{checked: 9, missing: 1}).kept(); err == nil {
		t.Error("a lost post is no error")
	}
	if err := (&result{checked: 9}).kept(); err != nil {
		t.Error(err)
	}
}

func TestHealthy(t *testing.T) {
	leader := seen{"e1", "leader", "running", 3, nil}
	a, b := seen{"e2", "replica", "running", 3, 0.0}, seen{"w1", "sync_standby", "streaming", 3, 0.0}
	with := func(m seen, change func(*seen)) seen {
		change(&m)
		return m
	}
	for _, c := range []struct {
		name        string
		all         []seen
		synchronous bool
		want        string
	}{
		{"all is well", []seen{leader, a, b}, true, "e1"},
		{"asynchronous", []seen{leader, a, a}, false, "e1"},
		{"no synchronous replica", []seen{leader, a, a}, true, ""},
		{"one is not there", []seen{leader, b}, true, ""},
		{"no leader", []seen{a, a, b}, true, ""},
		{"the leader starts", []seen{with(leader, func(m *seen) { m.State = "starting" }), a, b}, true, ""},
		{"on another timeline", []seen{leader, with(a, func(m *seen) { m.Timeline = 2 }), b}, true, ""},
		{"a replica starts", []seen{leader, with(a, func(m *seen) { m.State = "starting" }), b}, true, ""},
		{"a replica lags", []seen{leader, with(a, func(m *seen) { m.Lag = 16.0 }), b}, true, ""},
		{"a replica's lag is unknown", []seen{leader, with(a, func(m *seen) { m.Lag = "unknown" }), b}, true, ""},
	} {
		p := &patroni{cluster: &cluster{members: make([]server, 3)}, synchronous: c.synchronous}
		if got, why := p.healthy(c.all); got != c.want || (why == "") != (c.want != "") {
			t.Errorf("%s: %q, %q; want %q", c.name, got, why, c.want)
		}
	}
}

// TestTemplates: what is written is YAML, with what was filled in.
func TestTemplates(t *testing.T) {
	dir := t.TempDir()
	h := host{Host: "db-e1", Address: "10.77.1.11", Dir: dir, Cluster: "a=http://10.77.1.14:2380", Etcd: "10.77.1.14:2379,10.77.1.15:2379",
		Binaries: "/usr/lib/postgresql/15/bin", Synchronous: true}
	read := func(name string) map[string]any {
		path := filepath.Join(dir, name)
		if err := fill(path, name+".tmpl", h); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := yaml.Unmarshal(raw, &out); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, raw)
		}
		return out
	}
	e := read("etcd.yml")
	if e["name"] != "db-e1" || e["listen-client-urls"] != "http://10.77.1.11:2379" || e["initial-cluster"] != h.Cluster {
		t.Errorf("etcd: %v", e)
	}
	p := read("patroni.yml")
	dcs := p["bootstrap"].(map[string]any)["dcs"].(map[string]any)
	for name, want := range map[string]any{
		"synchronous_mode": true, "ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0,
	} {
		if dcs[name] != want {
			t.Errorf("Patroni's %s is %v, want %v", name, dcs[name], want)
		}
	}
	server := p["postgresql"].(map[string]any)
	if server["listen"] != "10.77.1.11:5432" || server["data_dir"] != dir+"/data" || server["bin_dir"] != h.Binaries {
		t.Errorf("Patroni's server: %v", server)
	}
	if etcd := p["etcd3"].(map[string]any); etcd["hosts"] != h.Etcd {
		t.Errorf("Patroni's etcd: %v", etcd)
	}
}
