package config

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"mainstay/controller/platform"
)

var (
	fenceAgent = regexp.MustCompile(`^fence_[a-z0-9_]{1,40}$`)
	fenceKey   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	plainPath  = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)
	// secretKey matches the agents' names of secrets; secretNot are parameters about a secret.
	secretKey = regexp.MustCompile(`passw|passphrase|secret|token|[_-](key|kg)$`)
	secretNot = regexp.MustCompile(`[_-](script|file|path|mode)$`)
)

const longestFence = 1000 // bytes of a parameter's value or a path

func isPath(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && s != "/" && len(s) <= longestFence && !strings.ContainsFunc(s, unicode.IsControl)
}

// fence checks the text only. Only the controllers, where the agent is installed, know how it reads the parameters.
func (c *checks) fence(at where, h *platform.Host) {
	for i, d := range h.Fence {
		c.fenceDevice(at.item(i, ""), h, d)
	}
}

func (c *checks) fenceDevice(at where, h *platform.Host, d platform.FenceDevice) {
	switch {
	case d.Agent != "" && d.Exec != "":
		c.add(at.field("exec"), "cannot be combined with agent", "keep one of the two; another device is another entry")
	case d.Agent != "":
		if !fenceAgent.MatchString(d.Agent) {
			c.add(at.field("agent"), quote(d.Agent)+" is not the name of a fence agent", "write it as fence_ipmilan")
		}
	case d.Exec != "":
		c.fencePath(at.field("exec"), d.Exec, "your program")
	case !c.broken[at.field("agent").key] && !c.broken[at.field("exec").key]:
		c.add(at, "has neither agent nor exec", "add agent: fence_ipmilan (or another one), or exec: with the path of your program")
	}
	c.fenceParameters(at, d)
	c.fenceSecrets(at, d)
	if d.Timeout < platform.MinFenceTimeout || d.Timeout > platform.MaxFenceTimeout {
		c.add(at.field("timeout"), span(d.Timeout)+" is out of range", "use 1s to 5m; within it the device must switch off and confirm it")
	}
	if d.Level < 1 || d.Level > platform.MaxFenceLevel {
		c.add(at.field("level"), fmt.Sprintf("%d is not a level", d.Level), "use 1 to 9; all devices of one level must succeed")
	}
	c.fenceTwice(at, h, d)
}

func (c *checks) fenceParameters(at where, d platform.FenceDevice) {
	for _, k := range slices.Sorted(maps.Keys(d.Parameters)) {
		place, v := at.field("parameters").field(label(k)), d.Parameters[k]
		if !c.fenceName(place, k) {
			continue
		}
		switch {
		case secretKey.MatchString(k) && !secretNot.MatchString(k):
			c.add(place, "is a secret, but the platform is stored and shown", "put it into a file on every controller, and its path under secrets")
		case v == "":
			c.add(place, "is empty", "give it a value, or delete it")
		case platform.FenceProgram(k) && !isPath(v):
			c.add(place, quote(v)+" is not an absolute path", "write the full path of the program")
		case strings.TrimSpace(v) != v || strings.ContainsFunc(v, unicode.IsControl) || len(v) > longestFence:
			c.add(place, quote(v)+" is not a value of one line", "write at most 1000 characters, without spaces around")
		case len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"':
			c.add(place, quote(v)+" has inner quotes, which agents drop", "remove them")
		}
	}
}

func (c *checks) fenceSecrets(at where, d platform.FenceDevice) {
	for _, k := range slices.Sorted(maps.Keys(d.Secrets)) {
		place := at.field("secrets").field(label(k))
		if !c.fenceName(place, k) {
			continue
		}
		if platform.FenceProgram(k) {
			c.add(place, "names a program", "write it under parameters")
		}
		if _, both := d.Parameters[k]; both {
			c.add(place, "is given under parameters as well", "delete it there")
		}
		c.fencePath(place, d.Secrets[k], "a file on every controller, readable by it alone")
	}
}

// fenceName checks the name of a parameter; false where it was reported.
func (c *checks) fenceName(at where, k string) bool {
	if !fenceKey.MatchString(k) {
		c.add(at, "is not the name of a parameter", "write it as the agent's manual does, in small letters")
		return false
	}
	if why := platform.FenceReserved(k); why != "" {
		c.add(at, "cannot be given: "+why, "delete it")
		return false
	}
	return true
}

func (c *checks) fencePath(at where, s, what string) {
	if !isPath(s) {
		c.add(at, quote(s)+" is not an absolute path", "write the full path of "+what)
	}
}

// fenceTwice finds an entry that was copied and not changed: it would switch off the wrong host. An operator's program gets the name
// of the host, so it may serve many.
func (c *checks) fenceTwice(at where, h *platform.Host, d platform.FenceDevice) {
	if d.Agent == "" {
		return
	}
	key := d.Agent + " " + mapForm(d.Parameters)
	first, twice := c.fences[key]
	if !twice {
		c.fences[key] = at
		return
	}
	c.add(at, fmt.Sprintf("has the parameters of another device, first%s, so it would switch off the same thing", c.line(first)),
		"write the parameters of "+h.Name+"'s own device")
}

func (c *checks) watchdog(at where, mode platform.WatchdogMode) {
	if mode != platform.WatchdogOff {
		oneOf(c.report, at, mode, "off", platform.WatchdogAutomatic, platform.WatchdogRequired)
	}
}
