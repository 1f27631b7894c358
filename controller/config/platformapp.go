package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

func (r *reader) app(n *yaml.Node, at where, a *platform.App) {
	a.FillDefaults()
	r.section(
		field{"name", r.text(&a.Name)},
		field{"needs", list(r, &a.Needs, r.textInto)},
		field{"run", word(r, &a.Run)},
		field{"minimum", r.integer(&a.Minimum)},
		field{"drain", r.duration(&a.Drain)},
		field{"quiesce", r.text(&a.Quiesce)},
		field{"resume", r.text(&a.Resume)},
		field{"verify", r.text(&a.Verify)},
		field{"check", r.check(&a.Check)},
		field{"instances", list(r, &a.Instances, r.instance)},
	)(n, at)
}

func (r *reader) check(c *platform.AppCheck) reading {
	return r.section(
		field{"http", r.text(&c.HTTP)},
		field{"status", r.integer(&c.Status)},
		field{"body", r.text(&c.Body)},
		field{"headers", named(r, &c.Headers, r.asText)},
		field{"ca", r.text(&c.CA)},
		field{"exec", list(r, &c.Exec, r.asText)},
		field{"every", r.duration(&c.Every)},
		field{"timeout", r.duration(&c.Timeout)},
		field{"rise", r.integer(&c.Rise)},
		field{"fall", r.integer(&c.Fall)},
	)
}

func (r *reader) instance(n *yaml.Node, at where, i *platform.Instance) {
	r.section(
		field{"name", r.text(&i.Name)},
		field{"site", r.text(&i.Site)},
		field{"address", r.text(&i.Address)},
		field{"host", r.text(&i.Host)},
	)(n, at)
}

// reachableBy reads an optional section; dst stays nil without it.
func (r *reader) reachableBy(dst **platform.ReachabilityCheck) reading {
	return func(n *yaml.Node, at where) {
		c := &platform.ReachabilityCheck{After: platform.DefaultReachableAfter}
		*dst = c
		r.section(
			field{"app", r.text(&c.App)},
			field{"http", r.text(&c.HTTP)},
			field{"after", r.duration(&c.After)},
		)(n, at)
	}
}

// appForm leaves the instances out.
func appForm(a platform.App) []setting {
	c := a.Check
	return []setting{
		{"name", scalar(a.Name), false},
		{"needs", listForm(a.Needs), len(a.Needs) == 0},
		{"run", scalar(a.Run), a.Run == platform.RunEverywhere},
		number("minimum", a.Minimum, platform.DefaultMinimum),
		{"drain", span(a.Drain), a.Drain == 0},
		text("quiesce", a.Quiesce),
		text("resume", a.Resume),
		text("verify", a.Verify),
		text("check.http", c.HTTP),
		{"check.status", statusForm(c.Status), c.Status == 0},
		text("check.body", c.Body),
		{"check.headers", mapForm(c.Headers), len(c.Headers) == 0},
		{"check.ca", textForm(c.CA), c.CA == ""},
		{"check.exec", listForm(c.Exec), len(c.Exec) == 0},
		{"check.every", span(c.Every), c.Every == platform.DefaultCheckEvery},
		{"check.timeout", span(c.Timeout), c.Timeout == platform.DefaultCheckTimeout},
		number("check.rise", c.Rise, platform.DefaultRise),
		number("check.fall", c.Fall, platform.DefaultFall),
	}
}

func instanceForm(i platform.Instance) []setting {
	return []setting{
		{"name", scalar(i.Name), false},
		{"site", scalar(i.Site), false},
		{"address", scalar(i.Address), false},
		text("host", i.Host),
	}
}

// reachableByForm writes a reachability check in one line; empty for none.
func reachableByForm(c *platform.ReachabilityCheck) string {
	if c == nil {
		return scalar("")
	}
	return flow([]setting{
		{"app", scalar(c.App), false},
		{"http", scalar(c.HTTP), false},
		{"after", span(c.After), c.After == platform.DefaultReachableAfter},
	}, "")
}

// statusForm writes the wanted status; empty for any 2xx.
func statusForm(status int) string {
	if status == 0 {
		return scalar("")
	}
	return strconv.Itoa(status)
}

// listForm writes a list of texts in one line.
func listForm(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = textForm(s)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
