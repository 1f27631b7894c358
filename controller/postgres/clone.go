package postgres

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"
)

// Progress is told how far a clone is, in bytes; total is an estimate. It must not block.
type Progress func(done, total int64)

// cloneName is the application_name of clones and rewinds: it is in no durability set.
const cloneName = "mainstay-clone"

// Clone makes the data directory anew from a running member, by pg_basebackup with its WAL streamed. PostgreSQL verifies the checksums of
// pages whose LSN is before the copy's start only: the agent's scan reads the others. Existing data in Data is left alone until the copy
// is whole; then aside must set it aside (SetAside); with nil, Data must be absent or empty. The copy is made beside it and renamed when
// whole, so an interrupted clone is never taken for data; it starts as a standby. slot is the member's own slot on the source, which must
// not be in use; with "" a temporary one is taken. Files that this host's user had in data set aside are put back, with their links, and
// tablespaces and a linked pg_wal stay where they were: what lies there must be set aside too (Outlying). The log's folder is empty: the
// source's log is not this member's. Folders that cannot take them are refused before the source is asked for a copy. The group may read
// the copy if the cluster's data is so (initdb -g) or this host's was, and group and ACL of the data directory are this host's.
func (i *Server) Clone(ctx context.Context, from Source, slot string, progress Progress, aside func(context.Context) error) (err error) {
	defer i.wrap("clone", &err)
	conninfo, err := i.ConnInfo(from, cloneName, "")
	if err != nil {
		return err
	}
	return i.build(ctx, "clone", aside != nil, func(tmp string) (err error) {
		if err := i.undoRewind(); err != nil { // of a rewind that was cut short
			i.notice(err.Error())
		}
		here, err := i.places(ctx)
		if err != nil {
			return err
		}
		spots, err := i.spots(ctx, from, here)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, i.clearSpots(spots)) }()
		i.beginSharing(tmp, here.Sharing)
		args := append([]string{"-D", tmp, "-X", "stream", "-c", "fast", "--no-password", "-d", conninfo}, mapped(spots)...)
		if slot != "" {
			args = append(args, "-S", slot)
		}
		watch := &progressWriter{report: progress}
		if progress != nil {
			args = append(args, "-P")
		}
		if err := i.stream(ctx, nil, watch, "pg_basebackup", args...); err != nil {
			return err
		}
		if err := i.groupAccess(tmp, here, spots); err != nil {
			return err
		}
		if aside != nil {
			if err := aside(ctx); err != nil {
				return err
			}
		}
		own, err := i.Owner.ownFiles(i.ownDir())
		if err != nil {
			return err
		}
		err = errors.Join(i.putBack(tmp, own), i.firstConfig(tmp, from), i.dropAutoConf(tmp), // what was ALTER SYSTEM on the source
			i.emptyLog(tmp, here), i.Owner.putLinks(tmp, here.HostLinks))
		if err = errors.Join(err, i.noteCopied(tmp, own)); err != nil {
			return err
		}
		i.share(tmp, here.Log, here.Sharing)
		return i.settle(tmp, spots)
	})
}

// "  23125/ 23125 kB (100%), 1/1 tablespace"
var progressText = regexp.MustCompile(`(\d+)/\s*(\d+) kB \(`)

// progressWriter reads pg_basebackup's progress, at most ten times a second.
type progressWriter struct {
	report Progress
	last   time.Time
}

func (p *progressWriter) Write(b []byte) (int, error) {
	if p.report == nil || time.Since(p.last) < 100*time.Millisecond {
		return len(b), nil
	}
	all := progressText.FindAllSubmatch(b, -1)
	if len(all) == 0 {
		return len(b), nil
	}
	m := all[len(all)-1]
	done, err1 := strconv.ParseInt(string(m[1]), 10, 64)
	total, err2 := strconv.ParseInt(string(m[2]), 10, 64)
	if err1 == nil && err2 == nil {
		p.last = time.Now()
		p.report(done<<10, total<<10)
	}
	return len(b), nil
}
