package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// formerConf keeps the content of a start.conf that we replaced.
const formerConf = ".mainstay"

const startHeader = "# Written by `mainstay local mask`: only Mainstay starts this cluster, under a lease.\n" +
	"# `mainstay local unmask` puts back what was here before, which is kept in start.conf.mainstay.\n"

// MaskSteps says what Mask would do, one step a line; none where it is done.
func (s Service) MaskSteps() (steps []string) {
	if s.StartConf != "" && s.Mode != disabledMode {
		steps = append(steps, fmt.Sprintf("write disabled into %s (now %s; kept as %s)", s.StartConf, s.Mode, s.StartConf+formerConf))
	}
	if s.Systemd && !s.Masked {
		steps = append(steps, strings.Join(systemctl("mask", s.Unit), " "))
	}
	return steps
}

// UnmaskSteps says what Unmask would do.
func (s Service) UnmaskSteps() (steps []string) {
	if s.ourStartConf() {
		steps = append(steps, "put back "+s.StartConf)
	}
	if s.Systemd && s.Masked {
		steps = append(steps, strings.Join(systemctl("unmask", s.Unit), " "))
	}
	return steps
}

// Mask keeps the service from starting anything; a running server keeps running. Calling it again is fine.
func (s Service) Mask(ctx context.Context) error {
	if s.StartConf != "" && s.Mode != disabledMode {
		if err := s.disable(); err != nil {
			return fmt.Errorf("mask %s: %w; run it as root", s.Unit, err)
		}
	}
	if s.Systemd && !s.Masked {
		return runSystemctl(ctx, "mask", s.Unit)
	}
	return nil
}

// disable replaces start.conf, whose content is kept first. On Debian the folder is PostgreSQL's user's.
func (s Service) disable() error {
	o, err := OwnerOf(filepath.Dir(s.StartConf))
	if err != nil {
		return err
	}
	former, err := o.readFile(s.StartConf)
	switch {
	case errors.Is(err, os.ErrNotExist): // that is auto
	case err != nil:
		return err
	default:
		if err := o.writeFile(s.StartConf+formerConf, former, 0o644); err != nil {
			return err
		}
	}
	return o.writeFile(s.StartConf, []byte(startHeader+disabledMode+"\n"), 0o644)
}

// Unmask gives the service back to the distribution.
func (s Service) Unmask(ctx context.Context) error {
	if s.ourStartConf() {
		us := ourselves()
		err := us.rename(s.StartConf+formerConf, s.StartConf)
		if errors.Is(err, os.ErrNotExist) { // there was none
			err = us.removeFile(s.StartConf)
		}
		if err != nil {
			return fmt.Errorf("unmask %s: %w; run it as root", s.Unit, err)
		}
	}
	if s.Systemd && s.Masked {
		return runSystemctl(ctx, "unmask", s.Unit)
	}
	return nil
}

func (s Service) ourStartConf() bool {
	raw, err := ourselves().readFile(s.StartConf)
	return err == nil && strings.HasPrefix(string(raw), startHeader)
}

func systemctl(verb, unit string) []string { return []string{"systemctl", verb, "--", unit} }

func runSystemctl(ctx context.Context, verb, unit string) error {
	args := systemctl(verb, unit)
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s; run it as root", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
