package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/wakeup"
)

// pollEvery is how often a condition on the local server is checked again.
const pollEvery = 5 * time.Millisecond

// reconnectEvery is the same for a new connection, each of which costs a process and a line in the log.
const reconnectEvery = 20 * time.Millisecond

func (i *Server) mainFile() string    { return filepath.Join(i.Conf, "postgresql.conf") }
func (i *Server) managedFile() string { return filepath.Join(i.Conf, managedName) }

const managedName = "mainstay.conf"

// WriteSettings writes our configuration durably; the server takes it at its next reload or start. postgresql.conf in
// Conf includes the user's file, what the user had from ALTER SYSTEM, then mainstay.conf, so ours win.
func (i *Server) WriteSettings(ctx context.Context, s Settings) (err error) {
	defer i.wrap("write the settings of", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.Owner.makeDir(i.Conf, 0o750); err != nil {
		return err
	}
	if err := i.Owner.writeFile(i.managedFile(), []byte(i.render(s)), 0o600); err != nil {
		return err
	}
	if !exists(i.alterFile()) { // it is included: it must be there
		if err := i.Owner.writeFile(i.alterFile(), []byte(alterHeader), 0o600); err != nil {
			return err
		}
	}
	main := "# Written by Mainstay. Your configuration comes first, the managed settings after it.\n"
	for _, path := range []string{i.userConfig(), i.alterFile(), i.managedFile()} {
		main += "include " + quoteConf(path) + "\n"
	}
	return i.Owner.writeFile(i.mainFile(), []byte(main), 0o600)
}

// EmptySyncNames empties the durability list and leaves all other settings as they are; the server takes it at its next reload or
// start. For a standby that is released, never for one that Mainstay may promote (S2).
func (i *Server) EmptySyncNames(ctx context.Context) error {
	return i.Empty(ctx, "synchronous_standby_names")
}

// Empty empties one setting of a member that is released, in the way of EmptySyncNames.
func (i *Server) Empty(ctx context.Context, name string) (err error) {
	defer i.wrap("empty "+name+" of", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := i.Owner.readFile(i.managedFile())
	if err != nil {
		return err
	}
	rest, _ := splitKeys(string(raw), []string{name})
	return i.Owner.writeFile(i.managedFile(), []byte(rest+name+" = '' # it is yours, and waits for no replica\n"), 0o600)
}

// included is the user's file, which our own includes first.
func (i *Server) included() (string, error) {
	raw, err := i.Owner.readFile(i.mainFile())
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "include ") {
			return confValue(line), nil
		}
	}
	return "", err
}

// Reload makes the server read its files again, and returns once it has: a connection made afterwards shows the new
// values. Processes that already ran take them a moment later.
func (i *Server) Reload(ctx context.Context) (err error) {
	defer i.wrap("reload", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		var before time.Time
		if err := c.QueryRowContext(ctx, "SELECT pg_catalog.pg_conf_load_time()").Scan(&before); err != nil {
			return err
		}
		pid, _, ok := i.Running()
		if !ok {
			return ErrNotRunning
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			return err
		}
		err := reloaded(ctx, c, before)
		if err != nil && ctx.Err() == nil {
			return reloadFailure(ctx, c, err)
		}
		return err
	})
}

// reloaded waits until this backend has taken a reload, which it does after the postmaster. It gives up early enough to
// leave time for asking why.
func reloaded(ctx context.Context, c *sql.Conn, before time.Time) error {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)*3/4)
		defer cancel()
	}
	return poll(ctx, func() (bool, error) {
		var now time.Time
		err := c.QueryRowContext(context.WithoutCancel(ctx), "SELECT pg_catalog.pg_conf_load_time()").Scan(&now)
		return now.After(before), err
	})
}

// Apply makes the server read its files again, and runs f on a new connection that shows the managed settings in want, each from
// our file. That connection was forked by a postmaster that had loaded them: its backend has not read the files itself, so
// they are in force for every process that the postmaster forks from then on. f may be nil. What ALTER SYSTEM has set instead of one is
// removed, as it is at each start: with another synchronous_standby_names, commits would be acknowledged that a failover loses.
func (i *Server) Apply(ctx context.Context, want map[string]string, f func(*sql.Conn) error) (err error) {
	defer i.wrap("apply the settings of", &err)
	pid, _, ok := i.Running()
	if !ok {
		return ErrNotRunning
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return err
	}
	begun, again := time.Now(), 2*pollEvery
	reset := map[string]bool{}
	for {
		var wrong error
		err := i.with(ctx, func(c *sql.Conn) error {
			if wrong = i.inForce(ctx, c, want); wrong != nil || f == nil {
				return nil
			}
			return f(c)
		})
		if err != nil || wrong == nil {
			return err
		}
		if name := i.alteredSetting(wrong); name != "" && !reset[name] {
			reset[name] = true // once: who sets it again at once is named by the error
			if err := i.resetAltered(ctx, pid, wrong); err == nil {
				begun = time.Now()
				continue
			}
		}
		if end, ok := ctx.Deadline(); time.Since(begun) > applyBound || ok && time.Until(end) < 2*again {
			return i.with(ctx, func(c *sql.Conn) error { return reloadFailure(ctx, c, wrong) })
		}
		if err := wakeup.Pause(ctx, again); err != nil {
			return wrong
		}
		again = min(2*again, applyPause)
	}
}

// alteredSetting is the name of the setting that ALTER SYSTEM has overridden, "" if that is not what is wrong. On a server that was adopted
// and not started by us since, ours are there too.
func (i *Server) alteredSetting(wrong error) string {
	var o *OverriddenError
	if !errors.As(wrong, &o) {
		return ""
	}
	if file := o.Got.SourceFile; file == "" || !sameFile(file, filepath.Join(i.Data, autoConf)) || i.ours(file) {
		return ""
	}
	return o.Got.Name
}

func (i *Server) resetAltered(ctx context.Context, pid int, wrong error) error {
	name := i.alteredSetting(wrong)
	err := i.with(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "ALTER SYSTEM RESET "+quoteIdent(name))
		return err
	})
	if err != nil {
		return err
	}
	i.notice(fmt.Sprintf("ALTER SYSTEM had set %s; Mainstay manages that setting, so the value is removed (%s)", name, wrong))
	return syscall.Kill(pid, syscall.SIGHUP)
}

// Load is Apply, and returns the settings that the new connection shows.
func (i *Server) Load(ctx context.Context, want map[string]string) (s Status, err error) {
	err = i.Apply(ctx, want, func(c *sql.Conn) error {
		s, err = i.statusOn(ctx, c)
		return err
	})
	return s, err
}

// applyBound is how long the postmaster may take to obey; a setting that shows another value after that is overridden elsewhere.
const applyBound = 3 * time.Second

// applyPause bounds the growing pause between two connections that look whether a reload has been taken.
const applyPause = 500 * time.Millisecond

// errReread: the backend asked has read the files after it was forked, so what it shows tells nothing of the postmaster.
var errReread = errors.New("the connection has taken a reload of its own")

// inForce verifies on a connection just made that the postmaster has loaded the settings.
func (i *Server) inForce(ctx context.Context, c *sql.Conn, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := i.loaded(ctx, c, name, want[name]); err != nil {
			return err
		}
	}
	var reread bool
	const sql = "SELECT pg_conf_load_time() > backend_start FROM pg_stat_get_activity(pg_backend_pid())"
	if err := c.QueryRowContext(ctx, sql).Scan(&reread); err != nil {
		return err
	}
	if reread {
		return errReread
	}
	return nil
}

// reloadFailure names the line that makes PostgreSQL keep its old configuration.
func reloadFailure(ctx context.Context, c *sql.Conn, cause error) error {
	var file, text sql.NullString
	var line sql.NullInt64
	const bad = `SELECT sourcefile, sourceline, coalesce(name || ': ', '') || error FROM pg_catalog.pg_file_settings
		WHERE error IS NOT NULL ORDER BY error = 'setting could not be applied' LIMIT 1`
	if err := c.QueryRowContext(ctx, bad).Scan(&file, &line, &text); err != nil {
		return fmt.Errorf("PostgreSQL did not take the new configuration (see its log): %w", cause)
	}
	return fmt.Errorf("PostgreSQL keeps its old configuration; correct %s line %d (%s): %w", file.String, line.Int64, text.String, cause)
}

// poll looks until done or ctx ends.
func poll(ctx context.Context, look func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Setting is one setting as a new connection shows it.
type Setting struct {
	Name, Value, Source string
	SourceFile          string // "" unless it comes from a file
	SourceLine          int
	PendingRestart      bool
}

// ShowSetting reads a setting on a new connection: an old one may not have taken a reload.
func (i *Server) ShowSetting(ctx context.Context, name string) (s Setting, err error) {
	defer i.wrap("show a setting of", &err)
	err = i.with(ctx, func(c *sql.Conn) error {
		s, err = showSetting(ctx, c, name)
		return err
	})
	return s, err
}

func showSetting(ctx context.Context, c *sql.Conn, name string) (Setting, error) {
	s := Setting{Name: name}
	err := c.QueryRowContext(ctx, `SELECT current_setting(name), source, coalesce(sourcefile, ''), coalesce(sourceline, 0),
		pending_restart FROM pg_catalog.pg_settings WHERE name = $1`, name).
		Scan(&s.Value, &s.Source, &s.SourceFile, &s.SourceLine, &s.PendingRestart)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("PostgreSQL knows no setting %q", name)
	}
	return s, err
}

// OverriddenError is returned when a setting of ours shows another value, or comes from elsewhere, than what we wrote.
type OverriddenError struct {
	Want string
	Got  Setting
}

func (e *OverriddenError) Error() string {
	from := e.Got.Source
	if e.Got.SourceFile != "" {
		from = fmt.Sprintf("%s line %d", e.Got.SourceFile, e.Got.SourceLine)
	}
	return fmt.Sprintf("%s shows %q (from %s) where %q was loaded; remove the other setting (ALTER SYSTEM RESET %s; SELECT pg_reload_conf())",
		e.Got.Name, redact(e.Got.Value), from, redact(e.Want), e.Got.Name)
}

// Loaded verifies on a new connection that the managed setting has that value, and from our file: ALTER SYSTEM, or the
// command line, would win over it. Adopted clusters, before their first restart under us, take it from
// postgresql.auto.conf, which then is ours as well.
func (i *Server) Loaded(ctx context.Context, name, want string) error {
	return i.with(ctx, func(c *sql.Conn) error { return i.loaded(ctx, c, name, want) })
}

func (i *Server) loaded(ctx context.Context, c *sql.Conn, name, want string) error {
	s, err := showSetting(ctx, c, name)
	if err != nil {
		return err
	}
	if s.Value != want || !i.ours(s.SourceFile) {
		return &Error{i.Member, "load " + name + " on", &OverriddenError{want, s}}
	}
	return nil
}

// ours tells whether a setting's source is a file that we write: mainstay.conf, or, as long as the server was not
// started with our config_file, postgresql.auto.conf.
func (i *Server) ours(file string) bool {
	if sameFile(file, i.managedFile()) {
		return true
	}
	return sameFile(file, filepath.Join(i.Data, autoConf)) && !i.StartedByUs()
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}
