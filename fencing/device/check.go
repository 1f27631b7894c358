package device

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
	"mainstay/fencing/program"
)

// Mistake is one error about a host's fence devices on this host, and its remedy.
type Mistake struct {
	Path string `json:"path"` // hosts[db-e1].fence[0].parameters.ipp
	What string `json:"what"`
	Do   string `json:"do"`
}

func (m Mistake) Error() string { return m.Path + ": " + m.What + "; " + m.Do }

// Check verifies a host's fence devices against this host: installed agents and their metadata, programs, files of secrets. It
// switches nothing and contacts no device. controller/config must have accepted h.
func (a *Agents) Check(ctx context.Context, h platform.Host) []Mistake {
	var found []Mistake
	for i, spec := range h.Fence {
		c := &checking{at: fmt.Sprintf("hosts[%s].fence[%d]", h.Name, i), device: &device{spec: spec, host: h.Name, agents: a}}
		c.all(ctx)
		found = append(found, c.found...)
	}
	return found
}

// checking is the check of one device.
type checking struct {
	*device
	at    string
	found []Mistake
}

func (c *checking) add(field, what, do string) {
	c.found = append(c.found, Mistake{Path: c.at + "." + field, What: what, Do: do})
}

func (c *checking) all(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, describeWithin+c.spec.Timeout)
	defer cancel()
	found, back := program.Apart(ctx, func() []Mistake {
		one := &checking{device: c.device, at: c.at} // it gets a separate result, because this goroutine may hang
		if err := c.agents.Allowed.Missing(c.spec.Programs()); err != nil {
			one.found = append(one.found, Mistake{Path: c.at, What: "names a program", Do: err.Error()})
			return one.found
		}
		one.secrets()
		if one.spec.Agent != "" {
			one.agent(ctx)
		} else {
			one.program()
		}
		return one.found
	})
	c.found = found
	if !back {
		c.add("timeout", "the check does not return", "check whether the disk of this host, or of the secrets, hangs")
	}
}

func (c *checking) secrets() {
	for _, k := range slices.Sorted(maps.Keys(c.spec.Secrets)) {
		if _, err := readSecret(c.spec.Secrets[k]); err != nil {
			c.add("secrets."+k, err.Error(), "put the secret there on every controller, in a file of one line")
		}
	}
}

func (c *checking) program() {
	info, err := os.Stat(c.spec.Exec)
	switch {
	case err != nil:
		c.add("exec", err.Error(), "install the program on every controller")
	case !info.Mode().IsRegular() || unix.Access(c.spec.Exec, unix.X_OK) != nil:
		c.add("exec", "this user may not run "+c.spec.Exec, "chmod 755 it")
	case info.Mode().Perm()&0o002 != 0:
		c.add("exec", "every user may change "+c.spec.Exec, "chmod 755 it")
	}
}

func (c *checking) agent(ctx context.Context) {
	if _, err := c.agents.find(c.spec.Agent); err != nil {
		c.add("agent", err.Error(), "then check again")
		return
	}
	m, err := c.agents.Metadata(ctx, c.spec.Agent)
	if err != nil {
		c.add("agent", err.Error(), "run it by hand: "+c.spec.Agent+" -o metadata")
		return
	}
	if err := m.proves(); err != nil {
		c.add("agent", err.Error(), "see "+c.spec.Agent+" -o metadata")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(c.spec.Parameters)) {
		if p := c.known(m, "parameters."+k, k); p != nil {
			c.value(p, k, c.spec.Parameters[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.spec.Secrets)) {
		c.known(m, "secrets."+k, k)
	}
	c.missing(m)
	if len(c.found) == 0 {
		c.itself(ctx, m)
	}
}

// known finds a given parameter among the agent's.
func (c *checking) known(m *Metadata, at, k string) *Parameter {
	p := m.parameter(k)
	switch {
	case platform.FenceReserved(k) != "":
		c.add(at, "cannot be given: "+platform.FenceReserved(k), "delete it")
	case p == nil:
		do := "it has " + strings.Join(m.names(), ", ")
		if near := m.nearest(k); near != "" {
			do = "did you mean " + near + "?"
		}
		c.add(at, c.spec.Agent+" has no such parameter", do)
	case p.Deprecated == 1:
		do := "delete it; `man " + c.spec.Agent + "` names its replacement"
		if now := m.replacement(p.Name); now != "" {
			do = "use " + now
		}
		c.add(at, "is an old name", do)
	default:
		return p
	}
	return nil
}

// value checks a value against the type of its parameter.
func (c *checking) value(p *Parameter, k, v string) {
	at, quoted := "parameters."+k, strconv.Quote(v)
	switch p.Content.Type {
	case "integer", "second":
		if _, err := strconv.Atoi(v); err != nil {
			c.add(at, quoted+" is not a whole number", "write plain digits")
		}
	case "boolean":
		if !slices.Contains([]string{"1", "yes", "on", "true", "0", "no", "off", "false"}, strings.ToLower(v)) {
			c.add(at, quoted+" is neither true nor false", `write "1" or "0"`)
		}
	case "select":
		var words []string
		for _, o := range p.Content.Options {
			if strings.EqualFold(o.Value, v) {
				return
			}
			words = append(words, o.Value)
		}
		c.add(at, quoted+" is not allowed", "use "+strings.Join(words, ", "))
	}
}

// missing reports required parameters that are not set.
func (c *checking) missing(m *Metadata) {
	for _, p := range m.Parameters {
		if p.Required != 1 || p.Deprecated == 1 || p.Content.Default != nil || platform.FenceReserved(p.Name) != "" {
			continue
		}
		if !c.gives(p.Name) && (p.Obsoletes == "" || !c.gives(p.Obsoletes)) {
			c.add("parameters."+p.Name, "is missing, and "+c.spec.Agent+" needs it", "add it under parameters or secrets")
		}
	}
}

func (c *checking) gives(name string) bool {
	same := func(k string) bool { return plain(k) == plain(name) }
	return slices.ContainsFunc(slices.Collect(maps.Keys(c.spec.Parameters)), same) ||
		slices.ContainsFunc(slices.Collect(maps.Keys(c.spec.Secrets)), same)
}

// itself lets the fence agent validate the parameters: it knows rules that its metadata lacks, such as that one of two parameters is
// needed.
func (c *checking) itself(ctx context.Context, m *Metadata) {
	if !slices.ContainsFunc(m.Actions, func(a Action) bool { return a.Name == "validate-all" }) {
		return
	}
	e, secrets, err := c.call(ctx, "validate-all")
	if err != nil {
		c.add("agent", "validate-all: "+err.Error(), "run it by hand")
	} else if e.Code != 0 {
		c.add("parameters", c.spec.Agent+" does not accept them: it "+said(e, secrets), "correct them; see `man "+c.spec.Agent+"`")
	}
}

// names are the parameters that an operator may set.
func (m *Metadata) names() (out []string) {
	for _, p := range m.Parameters {
		if p.Deprecated != 1 && platform.FenceReserved(p.Name) == "" {
			out = append(out, p.Name)
		}
	}
	return out
}

// replacement is the parameter that replaces an old one; "" for none.
func (m *Metadata) replacement(old string) string {
	for _, p := range m.Parameters {
		if p.Obsoletes == old && p.Deprecated != 1 {
			return p.Name
		}
	}
	return ""
}

// nearest is the parameter whose name resembles k, under its new name if it has one; "" for none.
func (m *Metadata) nearest(k string) string {
	best, least := "", 3
	for _, p := range m.Parameters {
		if d := platform.Distance(plain(k), plain(p.Name)); d < least && d < len(p.Name) {
			best, least = p.Name, d
			if p.Deprecated == 1 {
				best = cmp.Or(m.replacement(p.Name), p.Name)
			}
		}
	}
	if platform.FenceReserved(best) != "" {
		return ""
	}
	return best
}
