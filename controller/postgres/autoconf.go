package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const autoConf = "postgresql.auto.conf"

// alterFile holds the user's values from ALTER SYSTEM for settings that are ours at times, such as restore_command. It is
// read after the user's file and before ours.
func (i *Server) alterFile() string { return filepath.Join(i.Conf, "alter-system.conf") }

// alterMark names the settings that we have set by ALTER SYSTEM since the server was started, one a line: all others in
// postgresql.auto.conf are the user's.
func (i *Server) alterMark() string { return filepath.Join(i.Conf, "altered") }

const alterHeader = "# Settings from ALTER SYSTEM that Mainstay overrides at times. They are yours: change them here from now on.\n"

// AlterSystem sets managed settings on an adopted cluster that has not yet been restarted under our configuration, and
// no others; the caller reloads. The user's own values are kept first. The next start takes ours out again.
func (i *Server) AlterSystem(ctx context.Context, values map[string]string) (err error) {
	defer i.wrap("alter system of", &err)
	var do []string
	names := slices.Sorted(maps.Keys(values))
	for _, name := range names {
		if !isManaged(name) {
			return fmt.Errorf("%q is not a managed setting; it belongs to the user", name)
		}
		do = append(do, "ALTER SYSTEM SET "+quoteIdent(name)+" = "+quoteLiteral(values[name]))
	}
	if err := i.claim(names); err != nil {
		return err
	}
	return i.with(ctx, func(c *sql.Conn) error { return execAll(ctx, c, do) })
}

// claim keeps the user's values of settings that we are about to set for the first time, and notes that they are ours.
func (i *Server) claim(names []string) error {
	ours, err := i.altered()
	if err != nil {
		return err
	}
	fresh := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(ours, n) })
	if len(fresh) == 0 {
		return nil
	}
	raw, err := i.Owner.readIfThere(filepath.Join(i.Data, autoConf))
	if err != nil {
		return err
	}
	_, users := splitKeys(raw, fresh)
	if err := i.keepUsers(users); err != nil {
		return err
	}
	return i.Owner.writeFile(i.alterMark(), []byte(strings.Join(append(ours, fresh...), "\n")+"\n"), 0o600)
}

// GiveBack restores the user's values, on a server that has not been restarted under us, of settings that a seal or a candidacy
// had changed by ALTER SYSTEM; the caller reloads.
func (i *Server) GiveBack(ctx context.Context) (err error) {
	defer i.wrap("give back the user's settings of", &err)
	ours, err := i.altered()
	if err != nil {
		return err
	}
	raw, err := i.Owner.readIfThere(i.alterFile())
	if err != nil {
		return err
	}
	var do, rest []string
	for _, name := range ours {
		if !slices.Contains(i.atTimes(), name) {
			rest = append(rest, name)
			continue
		}
		statement := "ALTER SYSTEM RESET " + quoteIdent(name)
		if _, kept := splitKeys(raw, []string{name}); kept[name] != "" {
			statement = "ALTER SYSTEM SET " + quoteIdent(name) + " = " + quoteLiteral(confValue(kept[name]))
		}
		do = append(do, statement)
	}
	if len(do) == 0 {
		return nil
	}
	if err := i.with(ctx, func(c *sql.Conn) error { return execAll(ctx, c, do) }); err != nil {
		return err
	}
	return i.Owner.writeFile(i.alterMark(), []byte(strings.Join(append(rest, ""), "\n")), 0o600)
}

func (i *Server) altered() ([]string, error) {
	raw, err := i.Owner.readIfThere(i.alterMark())
	return strings.Fields(raw), err
}

// takeOver takes our settings out of postgresql.auto.conf of the stopped data, where they would win over every file of
// ours. The user's values are kept, or named in the log if ours always win.
func (i *Server) takeOver() error {
	path := filepath.Join(i.Data, autoConf)
	raw, err := i.Owner.readIfThere(path)
	if err != nil {
		return err
	}
	ours, err := i.altered()
	if err != nil {
		return err
	}
	rest, users := splitKeys(raw, append(i.overriding(), ours...)) // an earlier build may have set more
	maps.DeleteFunc(users, func(name, _ string) bool { return slices.Contains(ours, name) })
	if err := i.keepUsers(users); err != nil {
		return err
	}
	if rest != raw {
		if err := i.Owner.writeFile(path, []byte(rest), fileMode(filepath.Dir(path))); err != nil {
			return err
		}
	}
	return i.Owner.removeFile(i.alterMark())
}

// keepUsers moves lines of postgresql.auto.conf that were the user's into alterFile; a newer one replaces an older. Those
// of settings that are always ours are only named.
func (i *Server) keepUsers(lines map[string]string) error {
	atTimes := i.atTimes()
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if !slices.Contains(atTimes, name) {
			i.notice(fmt.Sprintf("ALTER SYSTEM had set %s = %q; Mainstay manages that setting, so the value is removed", name,
				redact(confValue(lines[name]))))
			delete(lines, name)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	raw, err := i.Owner.readIfThere(i.alterFile())
	if err != nil {
		return err
	}
	rest, _ := splitKeys(raw, slices.Collect(maps.Keys(lines)))
	if rest == "" {
		rest = alterHeader
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		rest += lines[name]
		i.notice(fmt.Sprintf("ALTER SYSTEM had set %s; it is kept in %s, because Mainstay overrides it at times", name, i.alterFile()))
	}
	if rest == raw {
		return nil
	}
	return i.Owner.writeFile(i.alterFile(), []byte(rest), 0o600)
}

func (i *Server) notice(text string) {
	if i.Notice != nil {
		i.Notice(text)
	}
}

// dropAutoConf takes our settings out of a copy of another member's data: there they are that member's.
func (i *Server) dropAutoConf(data string) error {
	path := filepath.Join(data, autoConf)
	raw, err := i.Owner.readIfThere(path)
	if err != nil {
		return err
	}
	rest, _ := splitKeys(raw, i.overriding())
	if rest == raw {
		return nil
	}
	return i.Owner.writeFile(path, []byte(rest), fileMode(filepath.Dir(path)))
}

var confLine = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=|\s)\s*(.*)`)

// splitKeys takes the lines that set one of the keys out of a file as ALTER SYSTEM writes it, one setting a line. The last
// line of a key is the one in force.
func splitKeys(conf string, keys []string) (rest string, taken map[string]string) {
	var b strings.Builder
	taken = map[string]string{}
	for line := range strings.Lines(conf) {
		if m := confLine.FindStringSubmatch(line); m != nil && slices.Contains(keys, strings.ToLower(m[1])) {
			taken[strings.ToLower(m[1])] = strings.TrimRight(line, "\r\n") + "\n"
			continue
		}
		b.WriteString(line)
	}
	return b.String(), taken
}

// confValue is the value of a line of postgresql.conf. ALTER SYSTEM writes it in quotes; a user may not have.
func confValue(line string) string {
	m := confLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
	if m == nil {
		return ""
	}
	v, quoted := strings.CutPrefix(m[2], "'")
	if !quoted {
		v, _, _ = strings.Cut(v, "#")
		return strings.TrimSpace(v)
	}
	var b strings.Builder
	for at := 0; at < len(v); at++ {
		switch c := v[at]; {
		case c == '\'' && at+1 < len(v) && v[at+1] == '\'', c == '\\' && at+1 < len(v):
			at++
			b.WriteByte(v[at])
		case c == '\'':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
