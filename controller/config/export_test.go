package config

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

const exported = `# exported from version 7
platform: social
sites:
  - {name: east}
  - {name: west}
  - {name: north, witness: true}
hosts:
  - {name: db-e1, site: east, address: 10.0.1.11}
  - {name: db-e2, site: east, address: 10.0.1.12}
  - {name: db-w1, site: west, address: 10.0.2.11}
clusters:
  - name: feed
    tier: critical
    members:
      - {name: feed-e1, host: db-e1, priority: 100}
      - {name: feed-e2, host: db-e2}
      - {name: feed-w1, host: db-w1}
    durability: {acks: 1, when-short: degrade}
apps:
  - name: web
    needs: [feed]
    check: {http: "http://{address}/healthz"}
    instances:
      - {name: web-e1, site: east, address: "10.0.1.21:8080"}
      - {name: web-w1, site: west, address: "10.0.2.21:8080"}
`

func TestExportSample(t *testing.T) {
	if got := string(Export(sampleValue(), 7)); got != exported {
		t.Errorf("got\n%s\nwant\n%s", got, exported)
	}
}

// TestExportRoundTrip exports random valid platforms: each reads back equal, and exports to the same bytes again.
func TestExportRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		p := randomPlatform(rand.New(rand.NewPCG(seed, 1)))
		text := Export(p, seed)
		got, err := ParsePlatform("p.yaml", text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		if !reflect.DeepEqual(got, p) {
			t.Fatalf("seed %d: got\n%+v\nwant\n%+v\n%s", seed, got, p, text)
		}
		if v, ok := ExportedVersion(text); !ok || v != seed {
			t.Fatalf("seed %d: version %d, %v", seed, v, ok)
		}
		if changes := Diff(p, got); len(changes) != 0 {
			t.Fatalf("seed %d: a platform differs from itself:\n%s", seed, FormatDiff(changes))
		}
	}
}

// TestRenamedKey: a file of an earlier build has failover.witness, which means failover.reachable-by; Export writes the latter. A site's
// witness keeps its meaning.
func TestRenamedKey(t *testing.T) {
	const check = `{app: web, http: "http://{address}/ready", after: 8s}`
	want := sampleValue()
	want.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready", After: 8 * time.Second}
	for _, key := range []string{"reachable-by", "witness"} {
		got := mustParse(t, strings.Replace(sample, "when-incomplete: wait", key+": "+check, 1))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", key, got)
		}
		text := string(Export(got, 1))
		if !strings.Contains(text, "failover: {reachable-by: "+check+"}") || strings.Contains(text, "witness: {") ||
			!strings.Contains(text, "{name: north, witness: true}") {
			t.Errorf("%s: exported as\n%s", key, text)
		}
	}
}

func TestExportedVersion(t *testing.T) {
	for _, tc := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"# exported from version 12\nplatform: p\n", 12, true},
		{"# exported from version 12\r\nplatform: p\r\n", 12, true},
		{"# exported from version 0", 0, true},
		{"# exported from version 18446744073709551615\n", 18446744073709551615, true},
		{"# exported from version 18446744073709551616\n", 0, false},
		{"# exported from version 12 or so\n", 0, false},
		{"# exported from version -1\n", 0, false},
		{"platform: p\n# exported from version 12\n", 0, false},
		{"", 0, false},
	} {
		if got, ok := ExportedVersion([]byte(tc.text)); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: got %d, %v", tc.text, got, ok)
		}
	}
}

// randomPlatform makes a valid platform that uses every setting, by chance at its default.
func randomPlatform(r *rand.Rand) *platform.Platform {
	p := &platform.Platform{Name: "p", Sites: []platform.Site{{Name: "w", Witness: true}}}
	for i := range 1 + r.IntN(3) {
		p.Sites = append(p.Sites, platform.Site{Name: fmt.Sprintf("s%d", i)})
	}
	site := func() string { return p.Sites[1+r.IntN(len(p.Sites)-1)].Name }
	for i := range 1 + r.IntN(4) {
		address := pick(r, fmt.Sprintf("10.0.0.%d", i), fmt.Sprintf("fd00::%d", i+1), fmt.Sprintf("DB%d.example.org", i))
		p.Hosts = append(p.Hosts, platform.Host{Name: fmt.Sprintf("h%d", i), Site: site(), Address: address,
			Fence: randomFence(r, i), Watchdog: pick(r, platform.WatchdogOff, platform.WatchdogAutomatic, platform.WatchdogRequired)})
	}
	for i := range 1 + r.IntN(3) {
		p.Clusters = append(p.Clusters, randomCluster(r, p, i))
	}
	for _, c := range p.Clusters {
		for _, m := range c.Members {
			if h := p.Host(m.Host); h.Watchdog == platform.WatchdogRequired && platform.WatchdogTimeout(c.Lease) == 0 {
				h.Watchdog = platform.WatchdogAutomatic
			}
		}
	}
	for i := range r.IntN(3) {
		p.Apps = append(p.Apps, randomApp(r, p, i))
	}
	for range r.IntN(3) {
		h := platform.Hook{Step: pick(r, platform.Steps()...), When: pick(r, "before", "after"), Webhook: "http://chat.example/x?y='1'#\"",
			Timeout: pick(r, 30*time.Second, time.Second, 10*time.Minute), OnFailure: pick(r, platform.HookStop, platform.HookGoOn)}
		if r.IntN(2) == 0 {
			h.Webhook, h.Exec = "", []string{pick(r, "/bin/check", "/opt/a b/c"), pick(r, "", "010", "no", " x ", "- a: {b}")}
		}
		p.Hooks = append(p.Hooks, h)
	}
	for i := range p.Apps { // each app may tell whether what it needs is reachable
		if a := &p.Apps[i]; len(a.Needs) > 0 && i == 0 && r.IntN(2) == 0 {
			p.Cluster(a.Needs[0]).Failover.ReachableBy = &platform.ReachabilityCheck{App: a.Name, HTTP: "http://{address}/ready",
				After: pick(r, 5*time.Second, time.Second, 90*time.Second)}
		}
	}
	return p
}

func randomApp(r *rand.Rand, p *platform.Platform, i int) platform.App {
	a := platform.App{Name: fmt.Sprintf("a%d", i), Run: platform.RunEverywhere, Minimum: 1, Drain: pick(r, 0, 10*time.Minute),
		Verify: pick(r, "", "https://{address}/verify", "http://vip/verify"),
		Check: platform.AppCheck{Every: pick(r, time.Second, 1500*time.Millisecond, time.Hour),
			Timeout: pick(r, time.Second, 100*time.Millisecond, time.Minute),
			Rise:    pick(r, 1, 2, 100), Fall: pick(r, 1, 3, 100)}}
	switch r.IntN(3) {
	case 0:
		a.Check.HTTP = pick(r, "https://{address}/ok?x='1'#\"", "https://{address}")
		a.Check.Status, a.Check.Body = pick(r, 0, 204, 503), pick(r, "", "ok", "~", "\"up\": true # é")
		a.Check.CA = pick(r, "", "/etc/ssl/web.crt", "/etc/a b")
		if r.IntN(2) == 0 {
			a.Check.Headers = map[string]string{"Host": pick(r, "social.example.org", "null", "", "01"), "x-Probe": "yes"}
		}
	case 1:
		a.Check.Exec = []string{pick(r, "/bin/check", "/opt/a b/c"), pick(r, "{address}", "--at={address}"),
			pick(r, "", "010", "no", " x ", "- a: {b}")}
	}
	if r.IntN(2) == 0 {
		a.Needs = []string{p.Clusters[0].Name}
	}
	if r.IntN(2) == 0 {
		a.Quiesce, a.Resume = "http://{address}/quiesce", "http://{address}/resume"
	}
	add := func(site, host string) {
		n := len(a.Instances)
		a.Instances = append(a.Instances, platform.Instance{Name: fmt.Sprintf("i%d-%d", i, n), Site: site, Host: host,
			Address: pick(r, fmt.Sprintf("[fd00::9]:%d", 80+n), fmt.Sprintf("web:%d", 80+n))})
	}
	if len(a.Needs) > 0 && r.IntN(2) == 0 {
		a.Run = platform.RunWithPrimary
		for _, h := range p.Hosts { // so that every site where the primary may be has one
			add(h.Site, h.Name)
		}
		return a
	}
	for range 1 + r.IntN(3) {
		h := p.Hosts[r.IntN(len(p.Hosts))]
		add(h.Site, pick(r, "", h.Name))
	}
	return a
}

func randomFence(r *rand.Rand, host int) (out []platform.FenceDevice) {
	for i := range r.IntN(3) {
		d := platform.FenceDevice{Agent: pick(r, "fence_ipmilan", "fence_apc"),
			Timeout: pick(r, 30*time.Second, time.Minute, 1500*time.Millisecond),
			Level:   1 + r.IntN(3), Parameters: map[string]string{"ip": fmt.Sprintf("10.0.9.%d", 9*host+i),
				"y": pick(r, "1", "true", "010", "~", "a b: {c}, #d", "é\"'", "/dev/ttyS0")}}
		if r.IntN(2) == 0 {
			d.Secrets = map[string]string{"password": pick(r, "/etc/mainstay/bmc.pass", "/etc/my file", "/etc/{x}: #y"), "hexadecimal_kg": "/k"}
		}
		if r.IntN(3) == 0 {
			d.Agent, d.Exec, d.Parameters = "", pick(r, "/usr/local/bin/cut-power", "/opt/a b/off"), nil
		}
		out = append(out, d)
	}
	return out
}

func randomCluster(r *rand.Rand, p *platform.Platform, i int) platform.Cluster {
	c := platform.Cluster{
		Name:       fmt.Sprintf("c%d", i),
		Tier:       pick(r, "", "critical", "Tier 1: \"gold\" # é", "yes", "12", "~", "null", " x ", "\U0001f418", "2026-01-01"),
		Durability: platform.Durability{From: platform.FromAny, WhenShort: pick(r, platform.BlockWhenShort, platform.DegradeWhenShort)},
		Failover: platform.Failover{AcrossSites: pick(r, platform.AcrossAutomatic, platform.AcrossApproval, platform.AcrossNever),
			WhenIncomplete: platform.WaitWhenIncomplete},
		Lease: pick(r, 5*time.Second, time.Second, 1010*time.Millisecond, time.Minute),
	}
	if r.IntN(2) == 0 {
		c.Failover.WhenIncomplete = "accept"
		c.Failover.AcceptAfter = pick(r, 90*time.Second, 24*time.Hour, 73250*time.Millisecond)
	}
	for j := range 1 + r.IntN(4) {
		c.Members = append(c.Members, platform.Member{Name: fmt.Sprintf("m%d-%d", i, j),
			Host: p.Hosts[r.IntN(len(p.Hosts))].Name, Port: 5432 + 10*i + j, Priority: pick(r, 0, -7, 1000),
			MayLead: j == 0 || r.IntN(2) == 0, NoAck: r.IntN(4) == 0})
	}
	c.Durability.Acks = len(c.Members) - 1
	for j := range c.Members {
		if c.Members[j].MayLead {
			c.Durability.Acks = min(c.Durability.Acks, beside(ackers(c.Members), c.Members[j]))
		}
	}
	c.Durability.Acks = r.IntN(c.Durability.Acks + 1)
	if c.Durability.Acks > 0 && enoughElsewhere(p, c) {
		c.Durability.From = "other-site"
	}
	return c
}

// enoughElsewhere tells whether every member that may lead has its acks' worth of members on other sites.
func enoughElsewhere(p *platform.Platform, c platform.Cluster) bool {
	for _, m := range c.Members {
		others := 0
		for _, o := range c.Members {
			if p.SiteOf(o.Host) != p.SiteOf(m.Host) && !o.NoAck {
				others++
			}
		}
		if m.MayLead && others < c.Durability.Acks {
			return false
		}
	}
	return true
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }
