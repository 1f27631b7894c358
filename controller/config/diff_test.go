package config

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

func TestDiffNothing(t *testing.T) {
	p := sampleValue()
	p.Hosts[0], p.Hosts[2] = p.Hosts[2], p.Hosts[0]
	p.Clusters[0].Members[0], p.Clusters[0].Members[1] = p.Clusters[0].Members[1], p.Clusters[0].Members[0]
	if got := Diff(sampleValue(), p); len(got) != 0 {
		t.Errorf("another order is a change:\n%s", FormatDiff(got))
	}
}

// TestDiff changes the sample and compares what `apply` prints.
func TestDiff(t *testing.T) {
	feed := func(p *platform.Platform) *platform.Cluster { return &p.Clusters[0] }
	for _, tc := range []struct {
		name   string
		change func(p *platform.Platform)
		want   string
	}{
		{"member removed", func(p *platform.Platform) { feed(p).Members = feed(p).Members[:2] },
			"- clusters[feed].members[feed-w1]: {host: db-w1}" +
				"  # needs --remove feed-w1; its PostgreSQL and data stay as they are on db-w1, its slots are dropped"},
		{"member added", func(p *platform.Platform) {
			feed(p).Members = append(feed(p).Members, platform.Member{Name: "feed-w2", Host: "db-w1", Port: 5433})
		}, "+ clusters[feed].members[feed-w2]: {host: db-w1, port: 5433, may-lead: false}"},
		{"member changed", func(p *platform.Platform) {
			m := &feed(p).Members[0]
			m.Host, m.Port, m.Priority, m.MayLead = "db-e2", 5433, 0, false
		},
			`~ clusters[feed].members[feed-e1].host: db-e1 -> db-e2  # a member does not move with its data: remove it, and add a member with another name
~ clusters[feed].members[feed-e1].port: 5432 -> 5433  # needs a restart of the member
~ clusters[feed].members[feed-e1].priority: 100 -> 0
~ clusters[feed].members[feed-e1].may-lead: true -> false  # from now on it is never promoted; if it is the primary, switch over first`},
		{"cluster removed", func(p *platform.Platform) { p.Clusters = nil },
			"- clusters[feed]: {tier: critical, durability: {acks: 1, when-short: degrade}}" +
				"  # needs --remove feed and a paused cluster; its members keep running unprotected, no data is deleted, unused slots are dropped"},
		{"lease longer", func(p *platform.Platform) { feed(p).Lease = 10 * time.Second },
			"~ clusters[feed].lease: 5s -> 10s  # safe at once: recorded before it is used; a fence by lease-expired then takes up to 12.3s"},
		{"lease shorter", func(p *platform.Platform) { feed(p).Lease = time.Second },
			"~ clusters[feed].lease: 5s -> 1s  # safe at once: fences still count 6.3s until a leader has counted out the old lease, then 1.5s"},
		{"acks raised", func(p *platform.Platform) { feed(p).Durability.Acks = 2 },
			"~ clusters[feed].durability.acks: 1 -> 2  # promised once every replica's sender has started with 2; until " +
				"then commits survive as with 1"},
		{"acks to none", func(p *platform.Platform) { feed(p).Durability.Acks = 0 },
			"~ clusters[feed].durability.acks: 1 -> 0  # commits no longer wait: a failover may lose the last commits before it"},
		{"policy", func(p *platform.Platform) {
			feed(p).Durability.From, feed(p).Durability.WhenShort = "other-site", "block"
			feed(p).Failover = platform.Failover{AcrossSites: "never", WhenIncomplete: "accept", AcceptAfter: time.Minute}
		}, `~ clusters[feed].durability.from: any -> other-site  # takes effect once the primary has loaded it; until then acks count as before
~ clusters[feed].durability.when-short: degrade -> block  # commits wait as long as there are too few replicas
~ clusters[feed].failover.across-sites: automatic -> never  # applies to every failover that begins from now on
~ clusters[feed].failover.when-incomplete: wait -> {accept: 1m}  # after 1m a failover may lose acknowledged commits; the loss is bounded and reported`},
		{"slots", func(p *platform.Platform) { feed(p).SlotsLeft = platform.RefuseSlotsLeft },
			"~ clusters[feed].slots-left-behind: allow -> refuse  # a switchover that would leave one of your replication slots behind " +
				"is refused; a failover is not"},
		{"base backups", func(p *platform.Platform) { feed(p).BaseBackups = platform.AwaitBackups },
			"~ clusters[feed].base-backups: end -> wait  # no switchover begins while a base backup is taken from the primary; a failover does"},
		{"schedule", func(p *platform.Platform) {
			feed(p).Integrity = &platform.CheckSchedule{Compare: platform.CheckPlan{Every: 168 * time.Hour, Share: 25}}
		},
			"~ clusters[feed].integrity.compare: off -> {every: 168h, share: 25}  # a comparison of all members is made 168h after the last " +
				"one has ended; `mainstay integrity show` says when"},
		{"incremental comparisons", func(p *platform.Platform) {
			feed(p).Integrity = &platform.CheckSchedule{Compare: platform.CheckPlan{Every: 24 * time.Hour, Full: 720 * time.Hour}}
		},
			"~ clusters[feed].integrity.compare: off -> {every: 24h, full: 720h}  # a comparison of all members is made 24h after the last " +
				"one has ended; `mainstay integrity show` says when; it reads what has changed since, and all pages where that was not done for 720h"},
		{"tier gone", func(p *platform.Platform) { feed(p).Tier = "" }, "- clusters[feed].tier: critical"},
		{"host moved", func(p *platform.Platform) { p.Hosts[0].Site, p.Hosts[0].Address = "west", "10.0.2.12" },
			`~ hosts[db-e1].site: east -> west  # from now on failovers and acks count its members on the new site
~ hosts[db-e1].address: 10.0.1.11 -> 10.0.2.12  # replicas and clients connect to the new address: it must already be reachable`},
		{"fence device", func(p *platform.Platform) {
			p.Hosts[0].Fence = []platform.FenceDevice{{Agent: "fence_ipmilan", Parameters: map[string]string{"ip": "10.0.9.11", "lanplus": "1"},
				Secrets: map[string]string{"password": "/etc/mainstay/bmc-e1.pass"}, Timeout: 20 * time.Second, Level: 1}}
			p.Hosts[0].Watchdog = platform.WatchdogAutomatic
		},
			`+ hosts[db-e1].fence: [{agent: fence_ipmilan, parameters: {ip: 10.0.9.11, lanplus: "1"}, secrets: {password: /etc/mainstay/bmc-e1.pass}, timeout: 20s}]  # applies to every fence that begins from now on
~ hosts[db-e1].watchdog: off -> automatic  # armed where the host has one; ` + "`status`" + ` shows whether it is, or what is missing`},
		{"site", func(p *platform.Platform) { p.Sites[2] = platform.Site{Name: "south"} },
			"- sites[north]: {witness: true}\n+ sites[south]"},
		{"platform renamed", func(p *platform.Platform) { p.Name = "other" },
			"~ platform: social -> other  # refused: these controllers protect this platform and no other; use --context to reach the right ones"},
		{"app", func(p *platform.Platform) {
			p.Apps[0].Needs, p.Apps[0].Check.Every = nil, 2*time.Second
			p.Apps[0].Instances = p.Apps[0].Instances[:1]
		}, `- apps[web].needs: [feed]
~ apps[web].check.every: 1s -> 2s
- apps[web].instances[web-w1]: {site: west, address: "10.0.2.21:8080"}  # it is no longer checked and gets no requests; it is not stopped`},
		{"app removed", func(p *platform.Platform) { p.Apps = nil },
			`- apps[web]: {needs: [feed], check: {http: "http://{address}/healthz"}}  # it is no longer checked and gets no requests; its instances are not stopped`},
		{"app runs with the primary", func(p *platform.Platform) {
			a := &p.Apps[0]
			a.Run, a.Minimum, a.Drain = platform.RunWithPrimary, 2, 20*time.Second
			a.Quiesce, a.Resume, a.Verify = "http://{address}/quiesce", "http://{address}/resume", "http://vip/verify"
			a.Instances[0].Host, a.Instances[1].Address = "db-e1", "10.0.2.22:8080"
		},
			`~ apps[web].run: everywhere -> with-primary  # it runs on the site of the primary of feed only: the instances of the other sites will be drained and stopped
~ apps[web].minimum: 1 -> 2  # fewer healthy instances on a site raise the problem AppPoolShort
~ apps[web].drain: 0s -> 20s  # an instance is out of routing for up to 20s before it is stopped
+ apps[web].quiesce: "http://{address}/quiesce"  # applies to every site switchover that begins from now on
+ apps[web].resume: "http://{address}/resume"  # applies to every site switchover that begins from now on
+ apps[web].verify: "http://vip/verify"  # applies to every site switchover that begins from now on
+ apps[web].instances[web-e1].host: db-e1  # the agent of db-e1 starts and stops it: add it under instances in that agent's file
~ apps[web].instances[web-w1].address: "10.0.2.21:8080" -> "10.0.2.22:8080"  # it is checked and gets requests there: it must already listen`},
		{"check", func(p *platform.Platform) {
			p.Apps[0].Check = platform.AppCheck{Exec: []string{"/usr/local/bin/check", "{address}"}, Every: time.Second, Timeout: 2 * time.Second,
				Rise: 1, Fall: 5}
		}, `- apps[web].check.http: "http://{address}/healthz"
+ apps[web].check.exec: [/usr/local/bin/check, "{address}"]
~ apps[web].check.timeout: 1s -> 2s
~ apps[web].check.rise: 2 -> 1  # an instance that was down is well after 1 good check in a row
~ apps[web].check.fall: 3 -> 5  # an instance is down after 5 bad checks in a row`},
		{"check by HTTP", func(p *platform.Platform) {
			c := &p.Apps[0].Check
			c.Status, c.Body, c.Headers, c.CA = 204, "ok", map[string]string{"Host": "social.example.org"}, "/etc/ssl/web.crt"
		}, `+ apps[web].check.status: 204
+ apps[web].check.body: ok
+ apps[web].check.headers: {"Host": "social.example.org"}
+ apps[web].check.ca: /etc/ssl/web.crt`},
		{"hooks", func(p *platform.Platform) {
			p.Hooks = []platform.Hook{{Step: "quiesce", When: "before", Exec: []string{"/usr/local/bin/tell", "moving"}, Timeout: 30 * time.Second,
				OnFailure: "stop"},
				{Step: "routing", When: "after", Webhook: "https://chat.example/", Timeout: time.Minute, OnFailure: "go-on"}}
		}, `+ hooks[0]: {step: quiesce, when: before, exec: [/usr/local/bin/tell, moving]}
+ hooks[1]: {step: routing, when: after, webhook: "https://chat.example/", timeout: 1m, on-failure: go-on}`},
		{"reachability check", func(p *platform.Platform) {
			feed(p).Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready", After: 8 * time.Second}
			feed(p).Members[2].NoAck = true
		}, `+ clusters[feed].failover.reachable-by: {app: web, http: "http://{address}/ready", after: 8s}` +
			`  # when all instances of web on the primary's site have reported for 8s that they do not reach it, it fails over although it looks well
~ clusters[feed].members[feed-w1].may-ack: true -> false  # commits no longer count on it once the primary has loaded its new set`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := sampleValue()
			tc.change(p)
			if got := FormatDiff(Diff(sampleValue(), p)); got != tc.want+"\n" {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}
}

// TestDiffBack holds the notes of what is taken back.
func TestDiffBack(t *testing.T) {
	p := sampleValue()
	p.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready", After: 5 * time.Second}
	p.Clusters[0].Members[2].NoAck = true
	p.Apps[0].Run, p.Apps[0].Drain, p.Apps[0].Instances[0].Host = platform.RunWithPrimary, time.Second, "db-e1"
	p.Hooks = []platform.Hook{{Step: "apps", When: "after", Exec: []string{"/bin/true"}, Timeout: 30 * time.Second, OnFailure: "stop"}}
	want := `- clusters[feed].failover.reachable-by: {app: web, http: "http://{address}/ready"}  # reports of app servers no longer cause a failover
~ clusters[feed].members[feed-w1].may-ack: false -> true  # commits count on it once it has caught up and the primary has loaded its new set
~ apps[web].run: with-primary -> everywhere  # the instances of every site will be started
~ apps[web].drain: 1s -> 0s  # instances are stopped at once
- apps[web].instances[web-e1].host: db-e1  # from now on no agent starts or stops it
- hooks[0]: {step: apps, when: after, exec: [/bin/true]}  # applies to every site switchover that begins from now on
`
	if got := FormatDiff(Diff(p, sampleValue())); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDiffFirst(t *testing.T) {
	got := FormatDiff(Diff(nil, sampleValue()))
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "+ ") {
			t.Errorf("the first apply does more than add: %s", line)
		}
	}
	for _, want := range []string{"+ platform: social\n", "+ clusters[feed].members[feed-e1]: {host: db-e1, priority: 100}\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	// 1 platform, 3 sites, 3 hosts, 1 cluster, 3 members, 1 app, 2 instances
	if n := strings.Count(got, "\n"); n != 14 {
		t.Errorf("%d lines:\n%s", n, got)
	}
}

func TestDiffRemove(t *testing.T) {
	p := sampleValue()
	p.Clusters[0].Members = p.Clusters[0].Members[1:]
	changes := Diff(sampleValue(), p)
	if len(changes) != 1 || changes[0].Remove != "feed-e1" || changes[0].Kind != Removed {
		t.Errorf("got %+v", changes)
	}
	p.Clusters = nil
	changes = Diff(sampleValue(), p)
	if len(changes) != 1 || changes[0].Remove != "feed" {
		t.Errorf("got %+v", changes)
	}
	if changes = Diff(sampleValue(), nil); len(changes) != 9 {
		t.Errorf("got\n%s", FormatDiff(changes))
	}
}

func TestAcksNote(t *testing.T) {
	for _, tc := range []struct {
		old, new int
		want     string
	}{
		{2, 1, "from now on commits survive the loss of the primary and no further member"},
		{4, 2, "from now on commits survive the loss of the primary and 1 further member"},
		{4, 3, "from now on commits survive the loss of the primary and 2 further members"},
		{0, 1, "promised once every replica's sender has started with 1; until then commits survive as with 0"},
	} {
		if got := acksNote(tc.old, tc.new); got != tc.want {
			t.Errorf("%d to %d: got %q, want %q", tc.old, tc.new, got, tc.want)
		}
	}
}
