package config

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Contexts is the contexts file of the command line: the operator's platforms.
type Contexts struct {
	Current  string // the context to use where none is named; may be empty
	Contexts map[string]Context

	file string
}

// Context is one platform and the operator's identity there.
type Context struct {
	Controllers []string // host:port of every controller
	TLS         TLS      // the files are checked at use: a missing one does not break other contexts
}

// UnknownContextError is returned when the named context is not in the file.
type UnknownContextError struct {
	File string
	Name string // empty where neither --context nor current names one
	Have []string
}

func (e *UnknownContextError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: no current context; name one with --context (%s), or set current", e.File, some(e.Have))
	}
	return fmt.Sprintf("%s: no context %s; use one of: %s", e.File, quote(e.Name), some(e.Have))
}

// LoadContext reads the contexts file, by custom ~/.config/mainstay/config.yaml. The error is a Mistakes;
// errors.Is(err, fs.ErrNotExist) means that it does not exist.
func LoadContext(path string) (Contexts, error) {
	c := Contexts{file: path}
	err := load(path, func(l *local) []field {
		return []field{
			{"current", l.text(&c.Current)},
			{"contexts", named(l.reader, &c.Contexts, l.context)},
		}
	}, func(l *local) { l.contexts(&c) })
	if err != nil {
		return Contexts{}, err
	}
	return c, nil
}

// Pick returns a context by its name, or the current one for "". The error is an *UnknownContextError.
func (c Contexts) Pick(name string) (Context, error) {
	if name == "" {
		name = c.Current
	}
	if found, ok := c.Contexts[name]; ok {
		return found, nil
	}
	return Context{}, &UnknownContextError{File: c.file, Name: name, Have: c.names()}
}

func (c Contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

func (l *local) context(n *yaml.Node, at where, c *Context) {
	l.section(
		field{"controllers", list(l.reader, &c.Controllers, l.textInto)},
		field{"tls", l.tls(&c.TLS)},
	)(n, at)
}

func (l *local) contexts(c *Contexts) {
	root := where{}
	all := root.field("contexts")
	if len(c.Contexts) == 0 {
		l.add(all, "is missing", "add a context with the controllers of a platform")
		return
	}
	for _, name := range c.names() {
		at := all.field(label(name))
		if !isName(name) {
			l.add(at, quote(name)+" is not a name", "use a to z, 0 to 9 and -, a letter first, at most 41 characters")
		}
		l.checkControllers(at.field("controllers"), c.Contexts[name].Controllers)
		l.checkPaths(at.field("tls"), c.Contexts[name].TLS)
	}
	if _, ok := c.Contexts[c.Current]; !ok && l.given(root.field("current")) {
		l.add(root.field("current"), "no context "+quote(c.Current), "use one of: "+some(c.names()))
	}
}

// checkPaths checks that all three files are named.
func (l *local) checkPaths(at where, t TLS) {
	for _, f := range []struct{ key, path string }{{"ca", t.CA}, {"cert", t.Cert}, {"key", t.Key}} {
		if f.path == "" {
			l.add(at.field(f.key), "is missing", "name the file")
		}
	}
}
