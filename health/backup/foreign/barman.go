package foreign

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mainstay/fencing/program"
)

// barman is one server.
type barman struct {
	runner
	server, file string
}

var _ Repository = (*barman)(nil)

// command is the arguments of one of its commands.
func (m *barman) command(name string, more ...string) []string {
	var args []string
	if m.file != "" {
		args = []string{"-c", m.file}
	}
	return append(append(args, name), more...)
}

// json asks for an answer in JSON, which stands before the command.
func (m *barman) json(name string, more ...string) []string {
	return append([]string{"-f", "json"}, m.command(name, more...)...)
}

func (m *barman) Version(ctx context.Context) (string, error) {
	e, err := m.run(ctx, call{doing: "ask its version", args: []string{"--version"}})
	if err != nil {
		return "", err
	}
	return m.atLeast(e.Stdout, 3, 4)
}

// ask is run for commands that must exit 0. Barman says errors on stdout where the answer is JSON.
func (m *barman) ask(ctx context.Context, c call) (program.Ended, error) {
	e, err := m.run(ctx, c)
	if err == nil && e.Code != 0 {
		err = m.failed(c.doing, barmanReason(e), lastWords(e))
	}
	return e, err
}

// barmanSays are parts of Barman's messages, and what they mean: its exit code is 1 for each.
var barmanSays = []struct {
	text string
	is   error
}{
	{"Unknown server", ErrUnknown},
	{"Unknown backup", ErrNoBackup},
	{"backup status is not DONE", ErrNoBackup},
	{"Another backup process is running", ErrBusy},
	{"Configuration file", ErrConfig},
	{"please run barman as", ErrUser},
	{"Permission denied", ErrUnreadable},
}

func barmanReason(e program.Ended) error {
	for _, s := range barmanSays {
		if strings.Contains(e.Stderr+e.Stdout, s.text) {
			return s.is
		}
	}
	return ErrFailed
}

func (m *barman) List(ctx context.Context) ([]Backup, error) {
	const doing = "list the backups"
	if _, err := m.Version(ctx); err != nil {
		return nil, err
	}
	e, err := m.ask(ctx, call{doing: doing, args: m.json("list-backup", m.server)})
	if err != nil {
		return nil, err
	}
	ids, err := parseBackupList(e.Stdout, m.server)
	if err != nil {
		return nil, m.wrapped(doing, err)
	}
	found := make(map[string]Backup, len(ids))
	var guard sync.Mutex
	err = each(ctx, ids, func(ctx context.Context, id string) error {
		b, err := m.show(ctx, doing, id)
		guard.Lock()
		defer guard.Unlock()
		found[id] = b
		return err
	})
	if err != nil {
		return nil, m.told(doing, err)
	}
	slices.Sort(ids) // they are the times of the beginnings
	all := make([]Backup, 0, len(ids))
	for _, id := range ids {
		b := found[id]
		b.Needs, err = bases(b, func(id string) (Backup, error) { return found[id], nil })
		all = append(all, b)
	}
	return all, m.wrapped(doing, err)
}

// bases are the backups below an incremental one.
func bases(b Backup, show func(id string) (Backup, error)) (needs []string, err error) {
	for b.Base != "" && !slices.Contains(needs, b.Base) && err == nil {
		needs = append(needs, b.Base)
		b, err = show(b.Base)
	}
	return needs, err
}

func (m *barman) find(ctx context.Context, doing, id string) (Backup, error) {
	b, err := m.show(ctx, doing, id)
	if err == nil {
		b.Needs, err = bases(b, func(id string) (Backup, error) { return m.show(ctx, doing, id) })
	}
	return b, err
}

// show is find without the bases of bases.
func (m *barman) show(ctx context.Context, doing, id string) (Backup, error) {
	e, err := m.ask(ctx, call{doing: doing, args: m.json("show-backup", m.server, id)})
	if err != nil {
		return Backup{}, err
	}
	b, err := parseBackup(e.Stdout, m.server)
	return b, m.wrapped(doing, err)
}

// backupFolder is in the line that says where a backup is made.
var backupFolder = regexp.MustCompile(`for server \S+ in \S*/(\d{8}T\d{6})`)

// notReady is what Barman says where its check of the server fails, and no more.
const notReady = "Impossible to start the backup"

// failing are the lines of that check that fail.
func (m *barman) failing(ctx context.Context) string {
	e, err := m.run(ctx, call{doing: "check the server", args: m.command("check", m.server)})
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(e.Stdout) {
		if what, why, ok := strings.Cut(strings.TrimSpace(line), ": FAILED"); ok {
			lines = append(lines, what+why)
		}
	}
	return strings.Join(lines, ", ")
}

func (m *barman) Take(ctx context.Context, t Take) (Backup, error) {
	const doing = "take a backup"
	args := []string{"backup", "--wait"}
	switch {
	case t.Kind == Full && t.Base == "":
	case t.Kind == Incremental && t.Base != "":
		version, err := m.Version(ctx)
		if err != nil {
			return Backup{}, err
		}
		if !newer(version, 3, 11) {
			return Backup{}, m.failed(doing, ErrUnsupported, "an incremental backup needs Barman 3.11, and this is "+version)
		}
		args = append(args, "--incremental", t.Base)
	default:
		return Backup{}, m.failed(doing, ErrUnsupported, "a backup of kind "+string(t.Kind)+" on the base \""+t.Base+"\"")
	}
	id := ""
	line := func(line string) {
		if m := backupFolder.FindStringSubmatch(line); m != nil {
			id = m[1]
		}
		if t.Progress != nil {
			t.Progress(Progress{Fraction: -1, Says: oneLine(line)})
		}
	}
	args = m.command(args[0], append(args[1:], m.server)...)
	// As for Ctrl-C it marks what it has begun as failed.
	e, err := m.run(ctx, call{doing: doing, args: args, stop: syscall.SIGINT, line: line, most: 1 << 16})
	switch {
	case err != nil:
		return Backup{}, err
	case strings.Contains(e.Stdout+e.Stderr, notReady):
		return Backup{}, m.failed(doing, ErrFailed, "barman check: "+m.failing(ctx))
	case e.Code != 0:
		return Backup{}, m.failed(doing, barmanReason(e), lastWords(e))
	case id == "":
		return Backup{}, m.failed(doing, ErrAnswer, "it names no new backup")
	}
	return m.find(ctx, doing, id)
}

// archive lists the WAL of the server from Barman's own folder: its list of files does not name segments of later timelines, and names some
// that are gone.
func (m *barman) archive(ctx context.Context, doing string, b Backup) (archived, error) {
	e, err := m.ask(ctx, call{doing: doing, args: m.command("list-files", "--target", "wal", m.server, b.ID)})
	if err != nil {
		return nil, err
	}
	root, err := walRoot(e.Stdout)
	if err != nil {
		return nil, m.wrapped(doing, err)
	}
	have := archived{}
	if root == "" {
		return have, nil
	}
	err = scratch{user: m.user, dir: root}.do(ctx, func() error { return listWAL(root, have) })
	if err != nil {
		return nil, m.failed(doing, ErrUnreadable, err.Error())
	}
	return have, nil
}

// listWAL adds the segments and history files of Barman's folder of WAL, which has a folder for every 4 GB of each timeline.
func listWAL(root string, have archived) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if historyForm.MatchString(e.Name()) {
			have[e.Name()] = ""
		}
		if !e.IsDir() {
			continue
		}
		inside, err := os.ReadDir(filepath.Join(root, e.Name()))
		if err != nil {
			return err
		}
		for _, f := range inside {
			if segmentForm.MatchString(f.Name()) {
				have[f.Name()] = ""
			}
		}
	}
	return nil
}

// walRoot is the folder of WAL, from the path of a file in it; "" if none is listed.
func walRoot(list string) (string, error) {
	for path := range strings.Lines(list) {
		path = strings.TrimSpace(path)
		switch name := filepath.Base(path); {
		case !filepath.IsAbs(path):
		case segmentForm.MatchString(name):
			return filepath.Dir(filepath.Dir(path)), nil
		case historyForm.MatchString(name):
			return filepath.Dir(path), nil
		}
	}
	return "", nil
}

func (m *barman) Restore(ctx context.Context, o Restore) (Restored, error) {
	doing := "restore " + o.ID
	b, err := m.find(ctx, doing, o.ID)
	if err != nil {
		return Restored{}, err
	}
	have, err := m.archive(ctx, doing, b)
	if err != nil {
		return Restored{}, err
	}
	h, err := m.histories(ctx, doing, have)
	if err != nil {
		return Restored{}, err
	}
	return m.restore(ctx, o, b, source{
		have: have, histories: h,
		data: func(ctx context.Context, s scratch) (string, error) {
			return "backup_manifest." + b.ID, m.data(ctx, doing, s, b)
		},
		segment: func(ctx context.Context, s scratch, name string) error {
			e, err := m.run(ctx, call{doing: doing, args: m.command("get-wal", "-o", s.wal(), m.server, name), stop: syscall.SIGINT})
			if err == nil && e.Code != 0 {
				err = m.failed(doing, ErrDamaged, "segment "+name+": "+lastWords(e))
			}
			return err
		},
	})
}

func (m *barman) histories(ctx context.Context, doing string, have archived) (histories, error) {
	h, err := readHistories(have, func(name string) (string, error) {
		e, err := m.ask(ctx, call{doing: doing, args: m.command("get-wal", m.server, name)})
		return e.Stdout, err
	})
	return h, m.told(doing, err)
}

// data has the files restored, and no WAL: a restore that copies WAL copies that of the backup's own timeline only, and fails as a whole
// where a segment that nobody asked for is gone.
func (m *barman) data(ctx context.Context, doing string, s scratch, b Backup) error {
	args := []string{"--get-wal", "--recovery-staging-path", s.staging()}
	if b.Kind == Incremental {
		args = append(args, "--local-staging-path", s.staging())
	}
	for _, t := range b.tablespaces {
		if strings.ContainsAny(t.Name, ":\n") { // the option's own separator
			return m.failed(doing, ErrUnsupported, "the tablespace "+t.Name+" cannot be moved into a scratch folder")
		}
		args = append(args, "--tablespace", t.Name+":"+filepath.Join(s.tablespaces(), t.folder()))
	}
	args = m.command("recover", append(args, m.server, b.ID, s.data())...)
	e, err := m.run(ctx, call{doing: doing, args: args, stop: syscall.SIGINT})
	if err == nil && e.Code != 0 {
		err = m.failed(doing, barmanReason(e), lastWords(e))
	}
	return err
}

// Verify looks for the WAL of the backup itself before it asks: where a segment is missing, `barman check-backup` of 3.4 marks the backup
// as failed, for good, and then it cannot be restored even when the segment is back. Its exit code is 0 all the same.
func (m *barman) Verify(ctx context.Context, id string) (Evidence, error) {
	doing := "verify " + id
	b, err := m.find(ctx, doing, id)
	if err != nil {
		return Evidence{}, err
	}
	ev := Evidence{Verdict: Good}
	if b.State == Failed || b.State == Running {
		ev.found("its state is: %s. %s", b.State, b.Problem)
		return ev, nil
	}
	have, err := m.archive(ctx, doing, b)
	if err != nil {
		return Evidence{}, err
	}
	h, err := m.histories(ctx, doing, have)
	if err != nil {
		return Evidence{}, err
	}
	if ev.archive(have, h, b); ev.Verdict == Good {
		if err := m.checkBackup(ctx, doing, &ev, b); err != nil {
			return Evidence{}, err
		}
	}
	for _, id := range append([]string{b.ID}, b.Needs...) { // combining gives what is rotten in a base a new checksum
		if err := m.verifyBackup(ctx, doing, &ev, id); err != nil {
			return Evidence{}, err
		}
	}
	return ev, nil
}

// checkBackup asks for the WAL that the backup needs. Only the state afterwards says what was found.
func (m *barman) checkBackup(ctx context.Context, doing string, ev *Evidence, b Backup) error {
	if _, err := m.ask(ctx, call{doing: doing, args: m.command("check-backup", m.server, b.ID)}); err != nil {
		return err
	}
	now, err := m.find(ctx, doing, b.ID)
	if err != nil {
		return err
	}
	if now.State != Done {
		ev.found("barman check-backup: its state is now: %s. %s", now.State, now.Problem)
		return nil
	}
	ev.checked("barman check-backup: WAL from %s to %s", b.First, b.Last)
	return nil
}

// Words of `barman verify-backup`, which runs pg_verifybackup.
const (
	verifiedWell = "backup successfully verified"
	noManifest   = "backup_manifest"
	noVerifier   = "pg_verifybackup not found"
)

// verifyBackup compares the files with the manifest, if there is one: a backup by rsync has none.
func (m *barman) verifyBackup(ctx context.Context, doing string, ev *Evidence, id string) error {
	e, err := m.run(ctx, call{doing: doing, args: m.command("verify-backup", m.server, id), stop: syscall.SIGINT})
	if err != nil {
		return err
	}
	said := e.Stdout + "\n" + e.Stderr
	damage := manifestDamage(said)
	switch {
	case e.Code == 0 && strings.Contains(said, verifiedWell):
		ev.checked("barman verify-backup: every file of %s is as in its manifest", id)
	case len(damage) > 0:
		for _, d := range damage {
			ev.found("backup %s: %s", id, d)
		}
	case strings.Contains(said, noManifest) || strings.Contains(said, noVerifier) || e.Code == 0:
		if ev.Verdict == Good {
			ev.Verdict = Unverified
		}
		ev.checked("no file's content of %s: barman verify-backup says: %s", id, lastWords(e))
	default:
		return m.failed(doing, barmanReason(e), lastWords(e))
	}
	return nil
}

// manifestDamage are the lines of pg_verifybackup that name a difference.
func manifestDamage(said string) (damage []string) {
	for line := range strings.Lines(said) {
		_, is, ok := strings.Cut(strings.TrimSpace(line), "pg_verifybackup: error: ")
		if ok && !strings.HasPrefix(is, "could not open file") {
			damage = append(damage, is)
		}
	}
	return damage
}

// seconds reads Barman's times.
func seconds(text string) (time.Time, bool) {
	d, err := time.ParseDuration(text + "s")
	if err != nil || text == "" {
		return time.Time{}, false
	}
	return time.Unix(0, 0).Add(d).UTC(), true
}
