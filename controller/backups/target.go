package backups

import (
	"context"
	"strings"
	"time"

	"mainstay/controller/config"
	"mainstay/controller/wakeup"
	"mainstay/health/backup/archive"
	"mainstay/health/backup/target"
)

const (
	// probeEvery is how often each target is asked whether it answers, and probeBound how long that may take.
	probeEvery = time.Minute
	probeBound = 20 * time.Second
	// probePrefix is a folder in which no target has anything.
	probePrefix = "probe/"
)

// directoryKind is the kind of a target that is a folder.
const directoryKind = "directory"

// place is a target of the agent's file. Host.mu guards trouble.
type place struct {
	archive.Named
	kind    string
	trouble string // why it cannot be used now
}

// openPlace opens one; with an error it has no Target, and trouble says why.
func openPlace(name string, conf config.BackupTarget) *place {
	p := &place{Named: archive.Named{Name: name}, trouble: "it was not asked yet"}
	var c target.Config
	switch {
	case conf.S3 != nil:
		p.kind = "s3"
		c.S3 = &target.S3{Endpoint: conf.S3.Endpoint, Region: conf.S3.Region, Bucket: conf.S3.Bucket, Prefix: conf.S3.Prefix,
			Credentials: conf.S3.Credentials, CA: conf.S3.CA}
	case conf.Exec != nil:
		p.kind = "exec"
		c.Exec = &target.Exec{Put: conf.Exec.Put, Get: conf.Exec.Get, List: conf.Exec.List, Remove: conf.Exec.Remove}
	default:
		p.kind, c.Directory = directoryKind, conf.Directory
	}
	var err error
	if p.Target, err = target.Open(name, c); err != nil {
		p.trouble = err.Error()
	}
	return p
}

// probe asks each target, and each other program, again and again whether it answers.
func (h *Host) probe(ctx context.Context) error {
	for {
		for _, p := range h.targets {
			if p.Target == nil {
				continue
			}
			asking, cancel := context.WithTimeout(ctx, probeBound)
			_, err := p.List(asking, probePrefix)
			if err == nil {
				err = h.recognise(asking, p)
			}
			cancel()
			if ctx.Err() != nil {
				return nil
			}
			h.mu.Lock()
			if p.trouble = ""; err != nil { // who shows it names the target
				p.trouble = strings.TrimPrefix(err.Error(), "target "+p.Name+", "+probePrefix+": ")
			}
			h.mu.Unlock()
		}
		for _, a := range h.adapters {
			asking, cancel := context.WithTimeout(ctx, probeBound)
			version, trouble := a.ask(asking)
			cancel()
			if ctx.Err() != nil {
				return nil
			}
			h.mu.Lock()
			a.version, a.trouble = version, trouble
			h.mu.Unlock()
		}
		h.o.News()
		if wakeup.Pause(ctx, probeEvery) != nil {
			return nil
		}
	}
}

// of returns the targets of those names. missing is the first that the agent's file does not define, or that could not be opened.
func (h *Host) of(names []string) (found []archive.Named, missing string) {
	for _, name := range names {
		t := h.byName(name)
		if t == nil {
			return nil, name
		}
		found = append(found, t.Named)
	}
	return found, ""
}

func (h *Host) byName(name string) *place {
	for _, p := range h.targets {
		if p.Name == name && p.Target != nil {
			return p
		}
	}
	return nil
}
