package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// AgentInstance is how the agent of a host starts and stops one app server: by a systemd unit or by a command. Either Unit or Command
// is given, never both. It holds no secrets: it is shown, and a process's environment can be read.
type AgentInstance struct {
	Unit        string            // web.service; the unit's own file sets user, directory and environment
	Command     []string          // the program by its absolute path, and its arguments; no shell reads them
	User        string            // system user that runs Command; empty for the agent's own
	Directory   string            // where Command starts; absolute, empty for /
	Environment map[string]string // of Command; plain values, no secrets: let the program read those from a file of its own
	Stop        time.Duration     // time between TERM and KILL: 100ms to 10m, default 10s
	Drain       []string          // program with its absolute path, run when draining begins; draining ends with it, or after the app's drain
}

// Bounds of AgentInstance.Stop.
const (
	defaultStop = 10 * time.Second
	leastStop   = 100 * time.Millisecond
	mostStop    = 10 * time.Minute
)

var (
	unitPattern        = regexp.MustCompile(`^[A-Za-z0-9:_][A-Za-z0-9:_.@\\-]{0,246}\.service$`)
	environmentPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)
)

func (l *local) instance(n *yaml.Node, at where, i *AgentInstance) {
	i.Stop = defaultStop
	l.section(
		field{"unit", l.text(&i.Unit)},
		field{"command", list(l.reader, &i.Command, l.asText)},
		field{"user", l.text(&i.User)},
		field{"directory", l.path(&i.Directory)},
		field{"environment", named(l.reader, &i.Environment, l.asText)},
		field{"stop", l.duration(&i.Stop)},
		field{"drain", list(l.reader, &i.Drain, l.asText)},
	)(n, at)
}

// checkInstance checks the text only: a program's disk may hang, and the program may be installed later.
func (l *local) checkInstance(at where, name string, i AgentInstance) {
	l.checkName(at, "instance", name)
	switch unit, command := l.given(at.field("unit")), l.given(at.field("command")); {
	case unit && command:
		l.add(at.field("command"), "cannot be combined with unit", "keep one of the two")
	case unit:
		l.checkUnit(at, i)
	case command:
		l.checkProgram(at.field("command"), i.Command)
	case !l.broken[at.field("unit").key] && !l.broken[at.field("command").key]:
		l.add(at, "has neither unit nor command", "add unit: web.service, or command: [/usr/bin/web]")
	}
	if l.given(at.field("user")) {
		l.checkRole(at.field("user"), i.User)
	}
	for _, k := range slices.Sorted(maps.Keys(i.Environment)) {
		if !environmentPattern.MatchString(k) {
			l.add(at.field("environment").field(label(k)), "is not the name of a variable", "use letters, digits and _")
		}
	}
	if i.Stop < leastStop || i.Stop > mostStop {
		l.add(at.field("stop"), span(i.Stop)+" is out of range", "use 100ms to 10m")
	}
	if l.given(at.field("drain")) {
		l.checkProgram(at.field("drain"), i.Drain)
	}
}

// checkUnit reports settings that only the unit's own file may set.
func (l *local) checkUnit(at where, i AgentInstance) {
	if !unitPattern.MatchString(i.Unit) {
		l.add(at.field("unit"), quote(i.Unit)+" is not the name of a unit", "write it as systemctl does: web.service")
	}
	for _, key := range []string{"user", "directory", "environment"} {
		if l.given(at.field(key)) {
			l.add(at.field(key), "is for a command; the unit's own file sets it", "write it there, and delete it here")
		}
	}
}

// checkProgram checks that a command begins with the full path of its program: the agent never searches PATH.
func (l *local) checkProgram(at where, words []string) {
	if len(words) > 0 && !filepath.IsAbs(words[0]) {
		l.add(at.item(0, ""), fmt.Sprintf("%s is not an absolute path", quote(words[0])), "write the full path of the program")
	}
}
