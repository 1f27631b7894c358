package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

// sample is the platform file of the documentation, with an application and every section; tests break it line by line.
const sample = `platform: social
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
      - {name: feed-w1, host: db-w1, may-lead: true}
    durability: {acks: 1, when-short: degrade}
    failover:
      across-sites: automatic
      when-incomplete: wait
    lease: 5s
apps:
  - name: web
    needs: [feed]
    check: {http: "http://{address}/healthz", every: 1s}
    instances:
      - {name: web-e1, site: east, address: "10.0.1.21:8080"}
      - {name: web-w1, site: west, address: "10.0.2.21:8080"}
`

// sampleValue is what sample means, defaults filled in.
func sampleValue() *platform.Platform {
	return &platform.Platform{
		Name:  "social",
		Sites: []platform.Site{{Name: "east"}, {Name: "west"}, {Name: "north", Witness: true}},
		Hosts: []platform.Host{
			{Name: "db-e1", Site: "east", Address: "10.0.1.11"},
			{Name: "db-e2", Site: "east", Address: "10.0.1.12"},
			{Name: "db-w1", Site: "west", Address: "10.0.2.11"},
		},
		Clusters: []platform.Cluster{{
			Name: "feed", Tier: "critical",
			Members: []platform.Member{
				{Name: "feed-e1", Host: "db-e1", Port: 5432, Priority: 100, MayLead: true},
				{Name: "feed-e2", Host: "db-e2", Port: 5432, MayLead: true},
				{Name: "feed-w1", Host: "db-w1", Port: 5432, MayLead: true},
			},
			Durability: platform.Durability{Acks: 1, From: "any", WhenShort: "degrade"},
			Failover:   platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"},
			Lease:      5 * time.Second,
		}},
		Apps: []platform.App{{
			Name: "web", Needs: []string{"feed"}, Run: "everywhere", Minimum: 1,
			Check: platform.AppCheck{HTTP: "http://{address}/healthz", Every: time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
			Instances: []platform.Instance{
				{Name: "web-e1", Site: "east", Address: "10.0.1.21:8080"},
				{Name: "web-w1", Site: "west", Address: "10.0.2.21:8080"},
			},
		}},
	}
}

func mustParse(t *testing.T, text string) *platform.Platform {
	t.Helper()
	p, err := ParsePlatform("p.yaml", []byte(text))
	if err != nil {
		t.Fatalf("ParsePlatform:\n%v\nof:\n%s", err, text)
	}
	return p
}

func TestParseSample(t *testing.T) {
	if got := mustParse(t, sample); !reflect.DeepEqual(got, sampleValue()) {
		t.Errorf("got\n%+v\nwant\n%+v", got, sampleValue())
	}
	if got := mustParse(t, strings.ReplaceAll(sample, "\n", "\r\n")); !reflect.DeepEqual(got, sampleValue()) {
		t.Error("CRLF line ends change the meaning")
	}
	if err := Validate(sampleValue()); err != nil {
		t.Errorf("Validate refuses what ParsePlatform accepts: %v", err)
	}
}

// head is the smallest beginning for a cluster c of members a, b and more.
const head = "platform: p\nsites: [{name: s}, {name: t}]\n" +
	"hosts: [{name: h, site: s, address: '::1'}, {name: i, site: t, address: db.example.org.}]\n"

func TestDefaults(t *testing.T) {
	pair := "clusters:\n  - name: c\n    members: [{name: a, host: h}, {name: b, host: i}]\n"
	c := mustParse(t, head+pair).Clusters[0]
	want := platform.Cluster{
		Name: "c",
		Members: []platform.Member{
			{Name: "a", Host: "h", Port: 5432, MayLead: true}, {Name: "b", Host: "i", Port: 5432, MayLead: true},
		},
		Durability: platform.Durability{Acks: 0, From: "any", WhenShort: "block"},
		Failover:   platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"},
		Lease:      5 * time.Second,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	three := strings.Replace(pair, "}]", "}, {name: d, host: h, port: 5433}]", 1)
	if got := mustParse(t, head+three).Clusters[0].Durability.Acks; got != 1 {
		t.Errorf("acks of a cluster with two replicas: %d, want 1", got)
	}
	none := three + "    durability: {acks: 0}\n"
	if got := mustParse(t, head+none).Clusters[0].Durability.Acks; got != 0 {
		t.Errorf("acks: 0 was overridden by the default: %d", got)
	}
	app := "apps: [{name: w, instances: [{name: w1, site: s, address: 'h:80'}]}]\n"
	wantApp := platform.App{Name: "w", Run: "everywhere", Minimum: 1,
		Check:     platform.AppCheck{Every: time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		Instances: []platform.Instance{{Name: "w1", Site: "s", Address: "h:80"}}}
	if got := mustParse(t, head+app).Apps[0]; !reflect.DeepEqual(got, wantApp) {
		t.Errorf("an app that says nothing: got %+v\nwant %+v", got, wantApp)
	}
	acks := func(members string) int {
		return mustParse(t, head+"clusters: [{name: c, members: ["+members+"]}]\n").Clusters[0].Durability.Acks
	}
	for members, want := range map[string]int{
		"{name: a, host: h}, {name: b, host: i}, {name: d, host: h, port: 1, may-ack: false}":                                   0,
		"{name: a, host: h}, {name: b, host: i}, {name: d, host: h, port: 1}, {name: e, host: i, port: 1, may-ack: false}":      1,
		"{name: a, host: h}, {name: b, host: i}, {name: d, host: h, port: 1, may-lead: false}":                                  1,
		"{name: a, host: h, may-ack: false}, {name: b, host: i, may-lead: false}, {name: d, host: h, port: 1, may-lead: false}": 1,
	} {
		if got := acks(members); got != want {
			t.Errorf("acks of [%s]: %d, want %d", members, got, want)
		}
	}
}

func TestAccept(t *testing.T) {
	text := strings.Replace(sample, "when-incomplete: wait", "when-incomplete: {accept: 30s}", 1)
	f := mustParse(t, text).Clusters[0].Failover
	if f.WhenIncomplete != "accept" || f.AcceptAfter != 30*time.Second {
		t.Errorf("got %+v", f)
	}
}

func TestAnchorsAndMerge(t *testing.T) {
	p := mustParse(t, head+`clusters:
  - name: c
    members:
      - &m {name: a, host: h, priority: 7, may-lead: true}
      - {<<: *m, name: b, host: i}
      - {<<: [{name: d}, *m], port: 5433}
    lease: &l 9s
  - {name: e, members: [{name: f, host: i, port: 6000}], lease: *l}
`)
	want := []platform.Member{
		{Name: "a", Host: "h", Port: 5432, Priority: 7, MayLead: true},
		{Name: "b", Host: "i", Port: 5432, Priority: 7, MayLead: true},
		{Name: "d", Host: "h", Port: 5433, Priority: 7, MayLead: true},
	}
	if !reflect.DeepEqual(p.Clusters[0].Members, want) {
		t.Errorf("got  %+v\nwant %+v", p.Clusters[0].Members, want)
	}
	if p.Clusters[1].Lease != 9*time.Second {
		t.Errorf("lease by alias: %s", p.Clusters[1].Lease)
	}
}

// TestAliasBomb asks for 10^9 members in a few lines, and for a section that merges itself.
func TestAliasBomb(t *testing.T) {
	for _, text := range []string{
		"clusters:\n  - &c {members: &m [" + strings.Repeat("{name: x}, ", 1000) + "]}\n" + strings.Repeat("  - *c\n", 10000),
		"<<: &a {<<: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]}\n",
	} {
		_, err := ParsePlatform("p.yaml", []byte(text))
		var ms Mistakes
		if !errors.As(err, &ms) {
			t.Fatalf("got %v, want Mistakes", err)
		}
		said := func(what string) bool { return strings.Contains(err.Error(), what) }
		if !said("more than 200,000 values, aliases followed") && !said("merges too many sections") {
			t.Errorf("no word about the size in %.300s", err)
		}
	}
}

func TestValidateWithoutFile(t *testing.T) {
	p := sampleValue()
	p.Clusters[0].Members[1].Host = "db-e9"
	p.Clusters[0].Lease = 0
	want := "clusters[feed].members[feed-e2].host: no host \"db-e9\"; use db-e1, db-e2, db-w1, or add it under hosts\n" +
		"clusters[feed].lease: 0s is too short to be safe: a busy host or a short leader change would stop" +
		" a healthy primary; use 1s to 60s"
	if err := Validate(p); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := Validate(&platform.Platform{}); err == nil {
		t.Error("an empty platform is valid")
	}
}

func TestManyInstances(t *testing.T) {
	p := sampleValue()
	a := &p.Apps[0]
	for i := len(a.Instances); i < mostInstances; i++ {
		a.Instances = append(a.Instances, platform.Instance{Name: fmt.Sprintf("i%d", i), Site: "east", Address: fmt.Sprintf("h:%d", i+1)})
	}
	if err := Validate(p); err != nil {
		t.Error(err)
	}
	a.Instances = append(a.Instances, platform.Instance{Name: "more", Site: "east", Address: "h:9999"})
	if err := Validate(p); err == nil || err.Error() != "apps: 1001 instances in all are too many; use at most 1000 on one platform" {
		t.Error(err)
	}
}

// TestLongMessages: a message about a huge value, or about many names, stays one short line.
func TestLongMessages(t *testing.T) {
	var b strings.Builder
	b.WriteString("platform: " + strings.Repeat("X", 5000) + "\nsites:\n")
	for i := range 12 {
		b.WriteString("  - {name: s" + string(rune('a'+i)) + "}\n")
	}
	b.WriteString("hosts: [{name: h, site: nowhere, address: h}]\napps: [{name: a, instances: [{name: i, site: sa, address: 'h:1'}]}]\n")
	want := "p.yaml:1:11: platform: \"" + strings.Repeat("X", 60) + "…\" is not a name; use a to z, 0 to 9 and -, a letter first," +
		" at most 41 characters\np.yaml:15:25: hosts[h].site: no site \"nowhere\"; use sa, sb, sc, sd, se, sf, sg, sh and 4 more," +
		" or add it under sites"
	if got := mistakesOf(t, b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestLeaseTooShortForAWatchdog: what is required must be able to work; where it is automatic, status says that it does not.
func TestLeaseTooShortForAWatchdog(t *testing.T) {
	with := func(mode, lease string) string {
		return strings.Replace(head, "address: '::1'}", "address: '::1', watchdog: "+mode+"}", 1) +
			"clusters: [{name: c, lease: " + lease + ", members: [{name: a, host: h}]}]\n"
	}
	want := "clusters[c].lease: 1.5s is too short for the watchdog that host h requires: watchdogs count whole seconds; use 2s or more, " +
		"or watchdog: automatic there"
	if got := mistakesOf(t, with("required", "1500ms")); !strings.HasSuffix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, fine := range [][2]string{{"required", "2s"}, {"automatic", "1s"}, {"off", "1s"}} {
		mustParse(t, with(fine[0], fine[1]))
	}
}

func TestFence(t *testing.T) {
	with := strings.Replace(head, "address: '::1'}", "address: '::1', watchdog: required, fence: [{agent: fence_ipmilan,"+
		" parameters: {ip: 10.0.9.11, lanplus: 1}, secrets: {password: /etc/p}, timeout: 20s},"+
		" {exec: /bin/cut, level: 2}]}", 1)
	with = strings.Replace(with, "address: db.example.org.}", "address: db.example.org., watchdog: off}", 1)
	hosts := mustParse(t, with+"clusters: [{name: c, members: [{name: a, host: h}]}]\n").Hosts
	want := []platform.FenceDevice{
		{Agent: "fence_ipmilan", Parameters: map[string]string{"ip": "10.0.9.11", "lanplus": "1"},
			Secrets: map[string]string{"password": "/etc/p"}, Timeout: 20 * time.Second, Level: 1},
		{Exec: "/bin/cut", Timeout: 30 * time.Second, Level: 2},
	}
	if h := hosts[0]; !reflect.DeepEqual(h.Fence, want) || h.Watchdog != platform.WatchdogRequired {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
	if h := hosts[1]; h.Fence != nil || h.Watchdog != platform.WatchdogOff {
		t.Errorf("got %+v", h)
	}
}
