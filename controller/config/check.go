package config

import (
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// checks is one validation of a platform: its indexes, and the report to which it adds mistakes.
type checks struct {
	*report
	p      *platform.Platform
	sites  map[string]*platform.Site
	hosts  map[string]*platform.Host
	named  map[string][]string         // section to the names declared there, in order
	known  map[string]map[string]bool  // the same, to look up
	ports  map[string]listener         // address:port of every member so far
	unique map[string]map[string]where // kind to the slot form of the names so far
	fences map[string]where            // the fence devices so far, by their parameters

	apps      map[string]*platform.App
	leads     map[string]map[string]bool // cluster to the sites where its primary may be
	reachable map[string]where           // the apps that tell whether a cluster is reachable, so far
}

// checkPlatform reports all mistakes of a platform whose parts could be read.
func checkPlatform(r *report, p *platform.Platform) {
	c := &checks{report: r, p: p, sites: map[string]*platform.Site{}, hosts: map[string]*platform.Host{},
		named: map[string][]string{}, known: map[string]map[string]bool{},
		ports: map[string]listener{}, unique: map[string]map[string]where{}, fences: map[string]where{},
		apps: map[string]*platform.App{}, leads: map[string]map[string]bool{}, reachable: map[string]where{}}
	declare(c, "sites", p.Sites, func(s platform.Site) string { return s.Name })
	declare(c, "hosts", p.Hosts, func(h platform.Host) string { return h.Name })
	declare(c, "clusters", p.Clusters, func(k platform.Cluster) string { return k.Name })
	declare(c, "apps", p.Apps, func(a platform.App) string { return a.Name })
	root := where{}
	c.name("platform", root.field("platform"), p.Name)
	if len(p.Sites) == 0 {
		c.add(root.field("sites"), "is missing", "name at least one site")
		c.broken["sites"] = true // otherwise every reference to a site would repeat this mistake
	}
	for i := range p.Sites {
		c.sites[p.Sites[i].Name] = &p.Sites[i]
		c.name("site", root.field("sites").item(i, p.Sites[i].Name).field("name"), p.Sites[i].Name)
	}
	for i := range p.Hosts {
		c.host(root.field("hosts").item(i, p.Hosts[i].Name), &p.Hosts[i])
	}
	for i := range p.Apps {
		c.apps[p.Apps[i].Name] = &p.Apps[i]
	}
	for i := range p.Clusters {
		c.cluster(root.field("clusters").item(i, p.Clusters[i].Name), &p.Clusters[i])
	}
	c.appsFit(root.field("apps"))
	for i := range p.Apps {
		c.app(root.field("apps").item(i, p.Apps[i].Name), &p.Apps[i])
	}
	for i := range p.Hooks {
		c.hook(root.field("hooks").item(i, ""), &p.Hooks[i])
	}
}

// name checks a name and that it is unique in its kind. Names are compared in the form they take in replication slots, with _ for -.
func (c *checks) name(kind string, at where, name string) {
	if what, do := nameWrong(kind, name); what != "" {
		c.add(at, what, do)
		if name == "" {
			return
		}
	}
	seen := c.unique[kind]
	if seen == nil {
		seen = map[string]where{}
		c.unique[kind] = seen
	}
	slot := strings.ReplaceAll(name, "-", "_")
	if first, ok := seen[slot]; ok {
		c.add(at, fmt.Sprintf("%s is used twice, first%s", quote(name), c.line(first)), "give each "+kind+" its own name")
		return
	}
	seen[slot] = at
}

// declare records the names of a section for ref.
func declare[T any](c *checks, section string, list []T, name func(T) string) {
	c.known[section] = map[string]bool{}
	for _, e := range list {
		if n := name(e); !c.known[section][n] {
			c.named[section] = append(c.named[section], n)
			c.known[section][n] = true
		}
	}
}

// ref checks that a name refers to an entry of a section. It reports nothing while that section itself is wrong: unreadable, or with
// an entry without a name.
func (c *checks) ref(at where, kind, section, name string) bool {
	known := c.known[section]
	switch {
	case name == "":
		c.add(at, "is missing", "name "+one(kind))
	case known[name]:
		return true
	case c.broken[section] || known[""]:
	case len(known) == 0:
		c.add(at, fmt.Sprintf("no %s %s", kind, quote(name)), fmt.Sprintf("add it under %s", section))
	default:
		c.add(at, fmt.Sprintf("no %s %s", kind, quote(name)),
			fmt.Sprintf("use %s, or add it under %s", some(c.named[section]), section))
	}
	return false
}

func (c *checks) host(at where, h *platform.Host) {
	c.hosts[h.Name] = h
	c.name("host", at.field("name"), h.Name)
	c.ref(at.field("site"), "site", "sites", h.Site)
	c.fence(at.field("fence"), h)
	c.watchdog(at.field("watchdog"), h.Watchdog)
	at = at.field("address")
	do := "write an IP address or a DNS name, without a port"
	if h.Address == "" {
		c.add(at, "is missing", do)
	} else if why := hostWrong(h.Address); why != "" {
		c.add(at, quote(h.Address)+" "+why, do)
	}
}

// oneOf checks a value that is one of a few words.
func oneOf[T ~string](r *report, at where, value T, words ...T) bool {
	if slices.Contains(words, value) {
		return true
	}
	use := string(words[0])
	for _, w := range words[1 : len(words)-1] {
		use += ", " + string(w)
	}
	r.add(at, quote(string(value))+" is not allowed", "use "+use+" or "+string(words[len(words)-1]))
	return false
}
