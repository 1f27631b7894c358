package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"mainstay/controller/platform"
)

// mostDrain bounds the time that an instance is out of routing before it is stopped: a site switchover waits for it.
const mostDrain = 10 * time.Minute

// mostInstances bounds the instances of a platform: the observations on all of them fit into one message a heartbeat.
const mostInstances = 1000

func (c *checks) appsFit(at where) {
	n := 0
	for _, a := range c.p.Apps {
		n += len(a.Instances)
	}
	if n > mostInstances {
		c.add(at, fmt.Sprintf("%d instances in all are too many", n), "use at most 1000 on one platform")
	}
}

func (c *checks) app(at where, a *platform.App) {
	c.name("app", at.field("name"), a.Name)
	c.needs(at.field("needs"), a.Needs)
	if a.Drain < 0 || a.Drain > mostDrain {
		c.add(at.field("drain"), span(a.Drain)+" is out of range", "use 0s to 10m")
	}
	c.hooks(at, a)
	c.check(at.field("check"), &a.Check)
	if len(a.Instances) == 0 {
		c.add(at.field("instances"), "is missing", "name the app servers of the app")
	}
	addresses := map[string]where{}
	for i := range a.Instances {
		c.instance(at.field("instances").item(i, a.Instances[i].Name), &a.Instances[i], addresses)
	}
	c.run(at, a)
	c.minimum(at.field("minimum"), a)
}

// needs checks the clusters that the app cannot work without.
func (c *checks) needs(at where, needs []string) {
	seen := map[string]bool{}
	for i, n := range needs {
		if c.ref(at.item(i, ""), "cluster", "clusters", n) && seen[n] {
			c.add(at.item(i, ""), fmt.Sprintf("%s is named twice", quote(n)), "delete one of them")
		}
		seen[n] = true
	}
}

// hooks checks the app's own hooks. A quiesced app needs a resume hook: a switchover that is undone resumes it.
func (c *checks) hooks(at where, a *platform.App) {
	for _, h := range []struct{ key, url string }{{"quiesce", a.Quiesce}, {"resume", a.Resume}, {"verify", a.Verify}} {
		c.url(at.field(h.key), h.url, h.key != "verify")
	}
	const why = "a site switchover that is undone resumes the app"
	switch {
	case a.Quiesce != "" && a.Resume == "" && !c.given(at.field("resume")):
		c.add(at.field("resume"), "is missing beside quiesce", "add the URL by which "+why)
	case a.Resume != "" && a.Quiesce == "" && !c.given(at.field("quiesce")):
		c.add(at.field("quiesce"), "is missing beside resume", "add the URL, or delete resume")
	}
}

// instance checks one app server; addresses holds those of its app so far. Instances of two apps may share an address, those of one
// app may not. Names are unique over all apps: agents, goals and observations use only the name.
func (c *checks) instance(at where, i *platform.Instance, addresses map[string]where) {
	c.name("instance", at.field("name"), i.Name)
	c.ref(at.field("site"), "site", "sites", i.Site)
	c.checkEndpoint(at.field("address"), i.Address)
	if first, taken := addresses[i.Address]; taken && i.Address != "" {
		c.add(at.field("address"), fmt.Sprintf("%s is already the address of the instance%s", i.Address, c.line(first)),
			"give each instance its own address")
	}
	addresses[i.Address] = at
	if i.Host == "" && !c.given(at.field("host")) {
		return
	}
	if !c.ref(at.field("host"), "host", "hosts", i.Host) {
		return
	}
	if on := c.hosts[i.Host].Site; on != i.Site && c.sites[on] != nil && c.sites[i.Site] != nil { // otherwise reported at the site
		c.add(at.field("host"), fmt.Sprintf("%s is on site %s, the instance on %s", i.Host, on, i.Site),
			"name a host of the instance's own site")
	}
}

// run checks that an app that runs with the primary names a cluster, and that each of its instances has an agent, which stops it when
// the primary has moved: otherwise a stale instance would keep serving.
func (c *checks) run(at where, a *platform.App) {
	if !oneOf(c.report, at.field("run"), a.Run, platform.RunEverywhere, platform.RunWithPrimary) || a.Run == platform.RunEverywhere {
		return
	}
	if len(a.Needs) == 0 {
		c.add(at.field("needs"), "is missing: with run: with-primary the app must need a cluster", "name the cluster, or use run: everywhere")
	}
	for n, i := range a.Instances {
		if i.Host == "" {
			c.add(at.field("instances").item(n, i.Name).field("host"),
				"is missing: with run: with-primary an agent must be able to stop the instance",
				"name the host whose agent starts and stops it, or use run: everywhere")
		}
	}
}

// minimum checks that every site on which the pool may run has at least the minimum of instances: every site with an instance, or
// every site where the primary may be.
func (c *checks) minimum(at where, a *platform.App) {
	if a.Minimum < 1 {
		c.add(at, fmt.Sprintf("%d is not a number of instances", a.Minimum), "use 1 or more")
		return
	}
	pools, runs := map[string]int{}, map[string]bool{}
	for _, i := range a.Instances {
		if c.sites[i.Site] == nil { // reported at the site
			return
		}
		pools[i.Site]++
		runs[i.Site] = true
	}
	if a.Run == platform.RunWithPrimary && len(a.Needs) > 0 {
		runs = c.leads[a.Needs[0]]
	}
	for _, site := range slices.Sorted(maps.Keys(runs)) {
		n := pools[site]
		if n >= a.Minimum || c.sites[site] == nil {
			continue
		}
		do := "lower it, or add instances there"
		if n == 0 {
			do = "add instances there, or use run: everywhere"
		}
		c.add(at, fmt.Sprintf("%d asked for, but site %s has %s, and the pool may run there", a.Minimum, site, count(n, "instance")), do)
		return
	}
}

// reachableBy checks that the app can tell whether it reaches the cluster's primary, and that it tells so of no other.
func (c *checks) reachableBy(at where, k *platform.Cluster) {
	by := k.Failover.ReachableBy
	if by == nil {
		return
	}
	if c.ref(at.field("app"), "app", "apps", by.App) {
		needs := c.apps[by.App].Needs // an unreadable one is "", as is an unreadable name
		if k.Name != "" && !slices.Contains(needs, k.Name) && !slices.Contains(needs, "") {
			c.add(at.field("app"), fmt.Sprintf("%s does not need %s, so it cannot tell whether it is reached", by.App, k.Name),
				"add the cluster to its needs, or name another app")
		}
		if first, twice := c.reachable[by.App]; twice {
			c.add(at.field("app"), fmt.Sprintf("%s is already asked whether another cluster is reachable%s", by.App, c.line(first)),
				"name another app: its answers are about one cluster")
		}
		c.reachable[by.App] = at
	}
	if by.HTTP == "" && !c.given(at.field("http")) {
		c.add(at.field("http"), "is missing", "write a URL that answers 2xx while the app reaches a writable primary, and 503 while it does not")
	}
	c.url(at.field("http"), by.HTTP, true)
	if by.After < time.Second || by.After > 10*time.Minute {
		c.add(at.field("after"), span(by.After)+" is out of range", "use 1s to 10m")
	}
}
