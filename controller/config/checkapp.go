package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"mainstay/controller/platform"
)

// Bounds of an app's check: more often is a load of its own, more rarely is blind.
const (
	leastEvery = 100 * time.Millisecond
	mostEvery  = time.Hour
)

func (c *checks) app(at where, a *platform.App) {
	c.name("app", at.field("name"), a.Name)
	c.needs(at.field("needs"), a.Needs)
	check := at.field("check")
	if why, do := checkURLWrong(a.Check.HTTP); a.Check.HTTP != "" && why != "" {
		c.add(check.field("http"), why, do)
	}
	if c.given(check.field("http")) && a.Check.HTTP == "" {
		c.add(check.field("http"), "is empty", "write the URL, or delete the key to check by connecting")
	}
	if e := a.Check.Every; e < leastEvery || e > mostEvery {
		c.add(check.field("every"), span(e)+" is out of range", "use 100ms to 1h")
	}
	if len(a.Instances) == 0 {
		c.add(at.field("instances"), "is missing", "name the app servers of the app")
	}
	addresses := map[string]where{}
	for i := range a.Instances {
		c.instance(at.field("instances").item(i, a.Instances[i].Name), &a.Instances[i], addresses)
	}
}

// needs checks the clusters without which the app cannot work.
func (c *checks) needs(at where, needs []string) {
	seen := map[string]bool{}
	for i, n := range needs {
		if c.ref(at.item(i, ""), "cluster", "clusters", n) && seen[n] {
			c.add(at.item(i, ""), fmt.Sprintf("%s is named twice", quote(n)), "delete one of them")
		}
		seen[n] = true
	}
}

// instance checks one app server; addresses holds those of its app so far. Two apps may share a server, one app may not.
func (c *checks) instance(at where, i *platform.Instance, addresses map[string]where) {
	c.name("instance", at.field("name"), i.Name)
	c.ref(at.field("site"), "site", "sites", i.Site)
	c.checkEndpoint(at.field("address"), i.Address)
	if first, taken := addresses[i.Address]; taken && i.Address != "" {
		c.add(at.field("address"), fmt.Sprintf("%s is already the address of the instance%s", i.Address, c.line(first)),
			"give each instance its own address")
	}
	addresses[i.Address] = at
}

// checkURLWrong judges the URL pattern of an app's check.
func checkURLWrong(pattern string) (why, do string) {
	const example = "write a URL such as http://{address}/healthz"
	u, err := url.Parse(strings.ReplaceAll(pattern, "{address}", "host:80"))
	switch {
	case err == nil && u.User != nil:
		return "holds a password, which everyone who reads the platform would see", "let the app answer its check without one"
	case strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || r > '~' }), err != nil,
		u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return quote(pattern) + " is not an http or https URL", example
	case !strings.Contains(pattern, "{address}"):
		return quote(pattern) + " would ask one server for all instances", "put {address} in place of the server: http://{address}/healthz"
	case strings.ContainsAny(strings.ReplaceAll(pattern, "{address}", ""), "{}"):
		return quote(pattern) + " has braces other than {address}", example
	}
	return "", ""
}
