package foreign

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"mainstay/fencing/program"
)

// pgBackRest is one stanza.
type pgBackRest struct {
	runner
	stanza, file string
}

var _ Repository = (*pgBackRest)(nil)

// command is the arguments of one of its commands. Its own log file stays as configured; errors come on stderr, one line each.
func (p *pgBackRest) command(name string, more ...string) []string {
	args := []string{name, "--stanza=" + p.stanza, "--log-level-stderr=warn", "--no-log-timestamp"}
	if p.file != "" {
		args = append(args, "--config="+p.file)
	}
	return append(args, more...)
}

// quiet is for commands whose answer is the only standard output.
const quiet = "--log-level-console=off"

func repoOption(repo int) string { return "--repo=" + strconv.Itoa(repo) }

func (p *pgBackRest) Version(ctx context.Context) (string, error) {
	e, err := p.run(ctx, call{doing: "ask its version", args: []string{"version"}})
	if err != nil {
		return "", err
	}
	return p.atLeast(e.Stdout, 2, 45)
}

func (p *pgBackRest) List(ctx context.Context) ([]Backup, error) {
	const doing = "list the backups"
	if _, err := p.Version(ctx); err != nil {
		return nil, err
	}
	e, err := p.ask(ctx, call{doing: doing, args: p.command("info", quiet, "--output=json")})
	if err != nil {
		return nil, err
	}
	all, err := parseInfo(e.Stdout, p.stanza)
	return all, p.wrapped(doing, err)
}

// find returns one backup with all that the program says of it. A backup without a manifest is still in the list, without a problem.
func (p *pgBackRest) find(ctx context.Context, doing, id string) (Backup, error) {
	all, err := p.List(ctx)
	if err != nil {
		return Backup{}, err
	}
	for _, b := range all {
		if b.ID != id {
			continue
		}
		e, err := p.ask(ctx, call{doing: doing, args: p.command("info", quiet, "--output=json", "--set="+id, repoOption(b.Repo))})
		if err != nil {
			return Backup{}, err
		}
		one, err := parseInfo(e.Stdout, p.stanza)
		if err == nil && len(one) != 1 {
			err = fmt.Errorf("%w: the repository lists %s and has no manifest of it", ErrDamaged, id)
		}
		if err != nil {
			return Backup{}, p.wrapped(doing, err)
		}
		return one[0], nil
	}
	return Backup{}, p.failed(doing, ErrNoBackup, id)
}

// ask is run for commands that must exit 0.
func (p *pgBackRest) ask(ctx context.Context, c call) (program.Ended, error) {
	e, err := p.run(ctx, c)
	if err == nil && e.Code != 0 {
		err = p.failed(c.doing, pgBackRestReason(e), lastWords(e))
	}
	return e, err
}

// Codes of pgBackRest's errors.
const (
	codeChecksum    = 26
	codeConfig      = 27
	firstOption     = 30
	codeOption      = 31
	lastOption      = 37
	codeNotEmpty    = 40
	codeOpen        = 41
	codeDuplicate   = 45
	codeLock        = 50
	codeMissing     = 55
	codeBackupSet   = 75
	codeNotArchived = 1 // of archive-get alone
)

func pgBackRestReason(e program.Ended) error {
	file := strings.Contains(e.Stderr+e.Stdout, ".conf'") // the file that cannot be read
	switch {
	case e.Code == codeLock:
		return ErrBusy
	case e.Code == codeChecksum || e.Code == codeDuplicate || e.Code == codeMissing && strings.Contains(e.Stderr, "/pg_data/"):
		return ErrDamaged
	case e.Code == codeBackupSet:
		return ErrNoBackup
	case e.Code == codeNotEmpty:
		return ErrScratch
	case e.Code == codeConfig || e.Code >= firstOption && e.Code <= lastOption || e.Code == codeOpen && file || e.Code == codeMissing && file:
		return ErrConfig
	case e.Code == codeOpen:
		return ErrUnreadable
	}
	return ErrFailed
}

// wrapped gives a reason that already says all the form of every error here; nil stays nil.
func (r *runner) wrapped(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Of: r.of, Doing: doing, Err: err}
}

var (
	copiedSoFar = regexp.MustCompile(`, ([0-9.]+)%\)`)
	newLabel    = regexp.MustCompile(`new backup label = (\S+)`)
)

func (p *pgBackRest) Take(ctx context.Context, t Take) (Backup, error) {
	const doing = "take a backup"
	if t.Kind != Full && t.Kind != Differential && t.Kind != Incremental {
		return Backup{}, p.failed(doing, ErrUnsupported, "a backup of kind "+string(t.Kind))
	}
	if t.Base != "" {
		return Backup{}, p.failed(doing, ErrUnsupported, "it chooses the base itself")
	}
	label := ""
	line := func(line string) {
		if m := newLabel.FindStringSubmatch(line); m != nil {
			label = m[1]
		}
		if t.Progress == nil {
			return
		}
		now := Progress{Fraction: -1, Says: oneLine(line)}
		if m := copiedSoFar.FindStringSubmatch(line); m != nil {
			if percent, err := strconv.ParseFloat(m[1], 64); err == nil {
				now.Fraction = min(percent/100, 1)
			}
		}
		t.Progress(now)
	}
	args := p.command("backup", "--log-level-console=detail", "--type="+string(t.Kind))
	e, err := p.run(ctx, call{doing: doing, args: args, stop: syscall.SIGTERM, line: line, most: 1 << 16})
	switch {
	case err != nil:
		return Backup{}, err
	case e.Code != 0:
		return Backup{}, p.failed(doing, pgBackRestReason(e), lastWords(e))
	case label == "":
		return Backup{}, p.failed(doing, ErrAnswer, "it names no new backup")
	}
	return p.find(ctx, doing, label)
}
