package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
)

// Unarchived is the complete segments of WAL that a former primary may not have archived, on the server that was promoted in its place.
//
// A standby marks each segment that it has received as archived (XLogArchiveForceDone; not with archive_mode = always), so that a primary
// promoted from it archives nothing older than the last segment of the former timeline, as a .partial file. What the former primary
// had not archived is then missing from the archive for ever, and no recovery gets past it. Such segments are marked anew, before the
// promotion: the checkpoint after it would remove them. PostgreSQL archives the oldest first and stops at one that the archive
// refuses, which may be there: the former primary may have archived it after it was last heard of. A refused one is therefore marked as
// archived again, unless the archive then takes nothing else either.
type Unarchived struct {
	// Marked are files that wait for the archiver, and Refused those that it could not archive, oldest first.
	Marked  []string `json:"marked,omitempty"`
	Refused []string `json:"refused,omitempty"`
	// Down: the archive has refused another file since.
	Down bool `json:"down,omitempty"`
	// Failures is how many the archiver had counted before the promotion: a server keeps the count of its earlier time as a primary.
	Failures int64 `json:"failures,omitempty"`
	// Missing are segments that this server does not hold either: the archive may have a gap.
	Missing []string `json:"missing,omitempty"`
}

// Empty tells whether there is nothing left to do.
func (u Unarchived) Empty() bool { return len(u.Marked)+len(u.Refused) == 0 }

// archiveFormer marks the segments for the archiver that the former primary may not have archived.
func (i *Server) archiveFormer(ctx context.Context, c *sql.Conn, p Promotion) error {
	u, err := i.unarchived(ctx, c, p.Archived)
	if u.Empty() && len(u.Missing) == 0 {
		return err
	}
	if p.Unarchived != nil {
		err = errors.Join(err, p.Unarchived(u))
	}
	return errors.Join(err, i.wal().mark(u.Marked, false))
}

// unarchived lists, for a standby that has replayed all of its WAL up to an end, the segments that its primary may not have archived, of
// which it had archived everything before a position. Nothing is listed where this server does not archive as a primary only, and
// none but what waits already where that position is not known (0).
func (i *Server) unarchived(ctx context.Context, c *sql.Conn, from platform.LSN) (u Unarchived, err error) {
	var mode string
	var size uint64
	var at string
	err = c.QueryRowContext(ctx, `SELECT current_setting('archive_mode'), pg_size_bytes(current_setting('wal_segment_size')),
		pg_last_wal_replay_lsn(), failed_count FROM pg_stat_archiver`).Scan(&mode, &size, &at, &u.Failures)
	if err != nil || mode != "on" {
		return u, err
	}
	end, err := platform.ParseLSN(at)
	if err != nil {
		return u, err
	}
	status, err := i.Owner.names(i.wal().archiveStatus())
	if err != nil {
		return u, err
	}
	newest := map[uint64]segment{} // by number: where timelines meet, the later one's file is whole
	all, err := i.wal().segments(size)
	if err != nil {
		return u, err
	}
	for _, s := range all {
		if uint64(end) >= (s.number+1)*size && newest[s.number].timeline <= s.timeline {
			newest[s.number] = s
		}
	}
	for _, s := range newest {
		name := s.name(size)
		if status[name+ready] || from != 0 && s.number*size >= uint64(from) {
			u.Marked = append(u.Marked, name)
		}
	}
	gaps, err := i.wal().unarchivedGaps(status)
	u.Marked = append(u.Marked, gaps...)
	slices.Sort(u.Marked)
	for n := uint64(from) / size; from != 0 && (n+1)*size <= uint64(end); n++ {
		if _, ok := newest[n]; !ok {
			u.Missing = append(u.Missing, segment{0, n}.name(size)[8:])
		}
	}
	return u, err
}

// unarchivedGaps names the history files of numbers that no promotion took. A restore looks for the latest timeline by counting up to the
// first number without such a file, and would stop before the failover.
func (w walFolder) unarchivedGaps(status map[string]bool) (names []string, err error) {
	have, err := w.historyNumbers()
	for t := range have {
		name := filepath.Base(w.historyFile(t))
		if status[name+ready] || status[name+done] {
			continue
		}
		raw, wrong := w.owner.readFile(w.historyFile(t))
		if err = errors.Join(err, wrong); string(raw) == reserved {
			names = append(names, name)
		}
	}
	return names, err
}

const (
	ready = ".ready"
	done  = ".done"
)

func (w walFolder) archiveStatus() string { return filepath.Join(w.dir(), "archive_status") }

// names lists a folder of the owner's.
func (o Owner) names(dir string) (map[string]bool, error) {
	names := map[string]bool{}
	err := o.in(dir, func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			names[e.Name()] = true
		}
		return err
	})
	return names, err
}

// mark makes PostgreSQL archive segments, or, with archived, not. A file that was removed since is left alone. A crash may lose it:
// nothing is synced, since a promotion waits for it.
func (w walFolder) mark(segments []string, archived bool) error {
	dir, was, is := w.archiveStatus(), done, ready
	if archived {
		was, is = is, was
	}
	return w.owner.in(dir, func() (err error) {
		for _, name := range segments {
			if !exists(filepath.Join(w.dir(), name)) {
				continue
			}
			from, to := filepath.Join(dir, name+was), filepath.Join(dir, name+is)
			switch e := os.Rename(from, to); {
			case e == nil || exists(to):
			case !errors.Is(e, fs.ErrNotExist):
				err = errors.Join(err, e)
			default: // it has no mark
				f, e := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode(w.data))
				if e == nil {
					e = errors.Join(w.owner.own(f), f.Close())
				}
				err = errors.Join(err, e)
			}
		}
		return err
	})
}

// Archived does what the archiver's last words ask for. changed tells that u is another than before; settled names refused segments that
// the archive takes others beside, and so has.
func (i *Server) Archived(u *Unarchived, a Archiver) (settled []string, changed bool, err error) {
	defer i.wrap("archive WAL of a former primary on", &err)
	status, err := i.Owner.names(i.wal().archiveStatus())
	if err != nil {
		return nil, false, err
	}
	failed := a.Failed
	if a.Failures == u.Failures {
		failed = "" // of an earlier time
	}
	marked := slices.DeleteFunc(slices.Clone(u.Marked), func(n string) bool { return !status[n+ready] })
	changed = len(marked) < len(u.Marked)
	u.Marked = marked
	switch {
	case slices.Contains(u.Marked, failed):
		refused := []string{failed}
		u.Marked = slices.DeleteFunc(u.Marked, func(n string) bool { return n == failed })
		u.Refused = append(u.Refused, refused...)
		return nil, true, errors.Join(i.wal().mark(refused, true), i.wakeArchiver())
	case len(u.Refused) == 0 || slices.Contains(u.Refused, failed):
		return nil, changed, nil
	case failed != "":
		changed, u.Down = changed || !u.Down, true
		return nil, changed, nil
	case u.Down:
		again := u.Refused
		u.Marked, u.Refused, u.Down = append(again, u.Marked...), nil, false
		return nil, true, errors.Join(i.wal().mark(again, false), i.wakeArchiver())
	}
	settled, u.Refused = u.Refused, nil
	return settled, true, nil
}

var archiverTitle = regexp.MustCompile(`^postgres: (?:.*: )?archiver\b`)

// wakeArchiver makes the archiver look for files now, instead of within a minute: it does so at any signal.
func (i *Server) wakeArchiver() error {
	children, err := i.children()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, pid := range children {
		if !archiverTitle.MatchString(title(pid)) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
		defer unix.Close(fd)
		master, _, ok := i.Running()
		if st, err := readStat(pid); err != nil || !ok || st.ppid != master {
			return nil // it has ended, and the next one looks at once
		}
		return unix.PidfdSendSignal(fd, unix.SIGHUP, nil, 0)
	}
	return nil
}
