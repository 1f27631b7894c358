package foreign

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"mainstay/controller/platform"
	"mainstay/fencing/program"
)

// archive lists the WAL of a backup's cluster, and reads its history files.
func (p *pgBackRest) archive(ctx context.Context, doing string, b Backup) (have archived, twice []string, h histories, err error) {
	dir := "archive/" + p.stanza + "/" + b.archive
	e, err := p.ask(ctx, call{doing: doing, args: p.command("repo-ls", quiet, "--recurse", "--output=json", repoOption(b.Repo), dir)})
	if err != nil {
		return nil, nil, nil, err
	}
	if have, twice, err = parseArchive(e.Stdout); err != nil {
		return nil, nil, nil, p.wrapped(doing, err)
	}
	h, err = readHistories(have, func(name string) (string, error) {
		e, err := p.ask(ctx, call{doing: doing, args: p.command("repo-get", quiet, repoOption(b.Repo), dir+"/"+name)})
		return e.Stdout, err
	})
	return have, twice, h, p.told(doing, err)
}

func (p *pgBackRest) Restore(ctx context.Context, o Restore) (Restored, error) {
	doing := "restore " + o.ID
	b, err := p.find(ctx, doing, o.ID)
	if err != nil {
		return Restored{}, err
	}
	have, _, h, err := p.archive(ctx, doing, b)
	if err != nil {
		return Restored{}, err
	}
	return p.restore(ctx, o, b, source{
		have: have, histories: h,
		data: func(ctx context.Context, s scratch) (string, error) { return "", p.data(ctx, doing, s, b) },
		segment: func(ctx context.Context, s scratch, name string) error {
			return p.segment(ctx, doing, s, b, name, have[name])
		},
	})
}

// data has the files restored: none of the options of a restore that a configuration file may hold is right for a scratch folder.
func (p *pgBackRest) data(ctx context.Context, doing string, s scratch, b Backup) error {
	args := p.command("restore", quiet, "--set="+b.ID, repoOption(b.Repo),
		"--pg1-path="+s.data(), "--reset-pg1-host", "--type=none", "--tablespace-map-all="+s.tablespaces(), "--reset-tablespace-map",
		"--no-link-all", "--reset-link-map", "--reset-recovery-option", "--reset-db-include", "--reset-db-exclude", "--no-delta")
	// A page that was bad when it was copied must be restored: the check of the pages says which one it is.
	_, err := p.knowing(ctx, call{doing: doing, stop: syscall.SIGTERM, args: args}, "--no-checksum-page-error")
	return err
}

// knowing is ask with an option that older versions do not know.
func (p *pgBackRest) knowing(ctx context.Context, c call, option string) (program.Ended, error) {
	with := c
	with.args = append(slices.Clone(c.args), option)
	e, err := p.run(ctx, with)
	if err != nil || e.Code == 0 {
		return e, err
	}
	if e.Code == codeOption {
		return p.ask(ctx, c)
	}
	return e, p.failed(c.doing, pgBackRestReason(e), lastWords(e))
}

// segment fetches one segment or history file, and compares its SHA-1 with that in the archive's name of it: pgBackRest does not.
func (p *pgBackRest) segment(ctx context.Context, doing string, s scratch, b Backup, name, sum string) error {
	to := filepath.Join(s.wal(), name)
	e, err := p.run(ctx, call{doing: doing, stop: syscall.SIGTERM, args: p.command("archive-get", quiet, repoOption(b.Repo),
		"--pg1-path="+s.data(), "--reset-pg1-host", "--no-archive-async", name, to)})
	switch {
	case err != nil:
		return err
	case e.Code == codeNotArchived:
		return p.failed(doing, ErrNotArchived, name+" is gone")
	case e.Code != 0:
		return p.failed(doing, ErrDamaged, "segment "+name+": "+lastWords(e))
	case sum == "":
		return nil
	}
	return s.do(ctx, func() error {
		f, err := os.OpenFile(to, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		digest := sha1.New()
		if _, err := io.Copy(digest, f); err != nil {
			return err
		}
		if is := hex.EncodeToString(digest.Sum(nil)); is != sum {
			return p.failed(doing, ErrDamaged, fmt.Sprintf("segment %s has SHA-1 %s; when it was archived it had %s", name, is, sum))
		}
		return nil
	})
}

func (p *pgBackRest) Verify(ctx context.Context, id string) (Evidence, error) {
	doing := "verify " + id
	b, err := p.find(ctx, doing, id)
	if errors.Is(err, ErrDamaged) {
		return Evidence{Verdict: Bad, Found: []string{errors.Unwrap(err).Error()}}, nil
	}
	if err != nil {
		return Evidence{}, err
	}
	have, twice, h, err := p.archive(ctx, doing, b)
	if err != nil {
		return Evidence{}, err
	}
	said, err := p.verify(ctx, doing, b)
	if err != nil {
		return Evidence{}, err
	}
	ev := Evidence{Verdict: Good}
	if b.Problem != "" {
		ev.found("%s", b.Problem)
	}
	if err := said.judge(&ev, b); err != nil {
		return Evidence{}, p.wrapped(doing, err)
	}
	for _, name := range twice {
		if name >= b.First && name <= b.Last {
			ev.found("the archive holds two versions of segment %s", name)
		} else {
			ev.later("the archive holds two versions of segment %s", name)
		}
	}
	ev.archive(have, h, b)
	return ev, nil
}

// verify asks for one backup and the WAL that it needs, and where the version only knows the whole repository, for that.
func (p *pgBackRest) verify(ctx context.Context, doing string, b Backup) (verifySaid, error) {
	args := p.command("verify", "--log-level-console=detail", "--output=text", "--verbose", repoOption(b.Repo))
	e, err := p.knowing(ctx, call{doing: doing, stop: syscall.SIGTERM, args: args}, "--set="+b.ID)
	return parseVerify(e.Stdout), err
}

// told is wrapped for a reason that may have the form already.
func (r *runner) told(doing string, err error) error {
	if own := (*Error)(nil); err == nil || errors.As(err, &own) {
		return err
	}
	return r.wrapped(doing, err)
}

// histories are the ancestries of an archive's timelines.
type histories map[platform.Timeline]platform.History

func readHistories(have archived, read func(name string) (string, error)) (histories, error) {
	h := histories{}
	for _, name := range have.histories() {
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		line, err := ancestry(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
		h[timelineOf(name)] = line
	}
	return h, nil
}
