package backups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/backup"
	"mainstay/health/backup/archive"
	"mainstay/health/backup/target"
)

// formatOf is the format of a member's WAL.
func formatOf(ctx context.Context, server *postgres.Server) (ondisk.Format, error) {
	c, err := server.ControlData(ctx)
	return ondisk.Format{Major: server.Binaries.Major, SystemID: c.SystemID, Segment: c.SegmentSize, Page: c.BlockSize}, err
}

// archived is a target's WAL, as recovery reads it.
type archived struct {
	from    archive.Named
	cluster string
	folder  string // for files on their way
}

// Fetch gives a file of WAL.
func (a archived) Fetch(ctx context.Context, name string, w io.Writer) error {
	to := filepath.Join(a.folder, name)
	err := archive.Get(ctx, a.from, a.cluster, name, to)
	if errors.Is(err, target.ErrNotThere) {
		return backup.ErrNotThere
	}
	if err != nil {
		return err
	}
	defer os.Remove(to) //nolint:errcheck // the folder is removed with the work
	f, err := os.Open(to)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// source is a cluster's archive at a target, for a restore.
type source struct {
	from    archive.Named
	cluster string
	format  ondisk.Format
	staging string
	older   string // how to begin from another backup
}

// resolve finds where a restore ends, by reading the archive: PostgreSQL itself would end early at a gap, or refuse a target that no
// record follows. told says for people what was found.
func (s source) resolve(ctx context.Context, b *platform.Backup, until platform.RestorePoint) (w backup.WAL, u backup.Until, told string,
	err error) {
	reader, err := archive.Open(ctx, s.from, s.cluster, s.format)
	if err != nil {
		return nil, u, "", err
	}
	if u.Timeline, err = newestTimeline(ctx, reader, b); err != nil {
		return nil, u, "", err
	}
	switch {
	case until.LSN != 0:
		newest, err := reader.Newest(ctx, u.Timeline, b.Start)
		if err != nil {
			return nil, u, "", err
		}
		if newest < until.LSN {
			return nil, u, "", fmt.Errorf("the archive at %s ends at %s, before %s", s.from.Name, newest, until.LSN)
		}
		u.LSN, u.End = until.LSN, newest == until.LSN
	case until.Latest:
		if u.LSN, err = reader.Newest(ctx, u.Timeline, b.Start); err != nil {
			return nil, u, "", err
		}
		if u.LSN <= b.End { // it is behind, as just after a backup
			return nil, backup.Until{}, " (the archive does not reach behind the backup yet)", nil
		}
		u.End, told = true, " (the end of the archive)"
	default:
		if told, err = s.find(ctx, reader, b, until, &u); err != nil {
			return nil, u, "", err
		}
	}
	if u.LSN < b.End {
		return nil, u, "", fmt.Errorf("%s is consistent from %s on only, and that point is at %s: begin from an older backup, %s", b.ID, b.End,
			u.LSN, s.older)
	}
	folder := filepath.Join(s.staging, "wal")
	if err := os.MkdirAll(folder, 0o711); err != nil { // staging may not be there yet, and PostgreSQL's user passes through it
		return nil, u, "", err
	}
	return archived{s.from, s.cluster, folder}, u, told, nil
}

// find finds a time, or the name of a restore point.
func (s source) find(ctx context.Context, r *archive.Reader, b *platform.Backup, until platform.RestorePoint, u *backup.Until) (told string,
	err error) {
	var at archive.Point
	if until.Name != "" {
		at, err = r.AtName(ctx, u.Timeline, b.Start, until.Name)
	} else {
		var wanted time.Time
		if wanted, err = time.Parse(time.RFC3339, until.Time); err == nil {
			at, err = r.AtTime(ctx, u.Timeline, b.Start, wanted)
		}
	}
	if errors.As(err, new(*archive.NoSuchPointError)) {
		err = fmt.Errorf("%w; one from before that is reached from an older backup: %s", err, s.older)
	}
	u.LSN, u.End = at.LSN, at.End
	switch {
	case err != nil:
		return "", err
	case at.End && until.Time != "":
		told = fmt.Sprintf(" (the archive ends before that time; the newest time in it is %s)", at.Newest.UTC().Format(time.RFC3339))
	case !at.Newest.IsZero():
		told = fmt.Sprintf(" (the newest time in that WAL is %s)", at.Newest.UTC().Format(time.RFC3339))
	}
	return told, nil
}

// olderBackup says how to begin a restore from another backup.
func olderBackup(cluster string) string {
	return fmt.Sprintf("with --backup ID (`mainstay backup list %s` has the ids)", cluster)
}

// newestTimeline is the newest timeline in the archive whose history a backup belongs to: a failover since has left the backup's own.
func newestTimeline(ctx context.Context, r *archive.Reader, b *platform.Backup) (platform.Timeline, error) {
	all := r.Timelines()
	for n := len(all) - 1; n >= 0; n-- {
		if all[n] <= b.Timeline {
			break
		}
		h, err := r.History(ctx, all[n])
		if err != nil {
			return 0, err
		}
		if at, left := leaves(h, b.Timeline); left && at >= b.End {
			return all[n], nil
		}
	}
	return b.Timeline, nil
}

// leaves is where a history leaves a timeline.
func leaves(h platform.History, t platform.Timeline) (platform.LSN, bool) {
	for _, f := range h {
		if f.Timeline == t {
			return f.End, true
		}
	}
	return 0, false
}
