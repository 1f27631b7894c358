package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/statefile"
)

// Other is a backup in the repository of another program, which restores it itself. What it restores is recovered and checked like what
// a target gives.
type Other struct {
	Size int64 // bytes of the data, for which there must be room
	// Restore puts the backup, with the WAL that it needs, into a folder that is absent. It has 12 hours. Whatever it leaves there is removed
	// where it fails.
	Restore func(ctx context.Context, into string) (Copy, error)
}

// Copy is what another program has restored.
type Copy struct {
	// Damage says what is wrong with the backup, or with its WAL, so that it could not be restored as was asked; "" for nothing. The rest is
	// then not used.
	Damage   string
	Data     string            // the data directory: the folder data in the one that was given; without signal files
	Spaces   map[uint32]string // folders of tablespaces by OID, in the same folder
	Manifest string            // PostgreSQL's manifest of Data, "" for none
	WAL      string            // folder with the WAL to replay, by PostgreSQL's names
	Start    platform.LSN      // replay begins here
	End      platform.LSN      // it is consistent from here on
	// Until is how far to replay: with its Timeline, which must be set.
	Until Until
}

const (
	// otherFolder is where another program restores to, in the run's folder, and otherData the data directory in it.
	otherFolder = "o"
	otherData   = "data"
	// otherBound is how long another program may take to restore: it tells nothing meanwhile.
	otherBound = 12 * time.Hour
)

// fetchOther has the other program restore, and takes over what it has made.
func (r *restoring) fetchOther(ctx context.Context) error {
	into := cmp.Or(r.into, r.path(otherFolder))
	return r.step(ctx, StepFetch, func(ctx context.Context, w *watch) error {
		w.patient(ownDeadline)
		ctx, cancel := context.WithTimeout(ctx, otherBound)
		defer cancel()
		if err := r.hasRoom(filepath.Dir(into), r.order.Other.Size); err != nil {
			return err
		}
		if _, err := os.Lstat(into); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s is there already: name a directory that is absent", into))
		}
		if r.into != "" {
			r.Folders = []string{filepath.Join(into, otherData), into}
			if err := statefile.Write(r.path(outsideFile), r.outside); err != nil {
				return err
			}
		}
		c, err := r.order.Other.Restore(ctx, into)
		if err == nil && c.Damage != "" {
			err = &finding{CheckManifest, c.Damage}
		}
		if err != nil {
			return err
		}
		return r.takeOver(ctx, into, c, w)
	})
}

// takeOver makes a copy of another program one of ours: it belongs to PostgreSQL's user, and its links are those that the scratch instance
// allows.
func (r *restoring) takeOver(ctx context.Context, into string, c Copy, w *watch) error {
	if c.Data != filepath.Join(into, otherData) || c.Until.Timeline == 0 {
		return fmt.Errorf("the restored copy is at %s, on timeline %d: want %s, and a timeline", c.Data, c.Until.Timeline,
			filepath.Join(into, otherData))
	}
	if err := r.own(into); err != nil {
		return err
	}
	raw, err := readBelow(c.Data, "PG_VERSION")
	if err != nil {
		return err
	}
	if of, has := strings.TrimSpace(string(raw)), strconv.Itoa(r.Server.Binaries.Major); of != has {
		return fmt.Errorf("backup %s is of PostgreSQL %s, and the programs of this host are %s", r.order.ID, of, r.Server.Binaries.Version)
	}
	r.tree = tree{data: c.Data, spaces: map[uint32]string{}}
	for oid, dir := range c.Spaces {
		r.tree.spaces[oid] = dir
	}
	if err := r.relink(); err != nil {
		return err
	}
	r.record = &Record{ID: r.order.ID, Cluster: r.order.Cluster, Kind: Full, Superuser: superuser(r.Server), Timeline: c.Until.Timeline,
		Start: c.Start, End: c.End}
	r.order.WAL, r.order.Until, r.otherWAL = walIn(c.WAL), c.Until, c.WAL
	detail := "restored by its own program, which has no manifest of PostgreSQL's"
	if c.Manifest != "" {
		if err := r.asListed(ctx, c.Manifest, w); err != nil {
			return err
		}
		detail = "restored by its own program; all files match PostgreSQL's manifest"
	}
	r.proof.Checks = append(r.proof.Checks, Check{Kind: CheckManifest, Verdict: Good, Detail: detail})
	return nil
}

// own gives all of a folder to PostgreSQL's user. No link in it is followed.
func (r *restoring) own(dir string) error {
	o := r.Server.Owner
	if err := give(dir, o); err != nil || os.Geteuid() != 0 {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		return root.Lchown(name, int(o.UID), int(o.GID))
	})
}

// relink makes the links of the tablespaces anew.
func (r *restoring) relink() error {
	root, err := os.OpenRoot(r.tree.data)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, oid := range r.tree.oids() {
		if err := errors.Join(root.Remove(link(oid)), root.Symlink(r.tree.spaces[oid], link(oid))); err != nil {
			return err
		}
		if os.Geteuid() != 0 {
			continue
		}
		if err := root.Lchown(link(oid), int(r.Server.Owner.UID), int(r.Server.Owner.GID)); err != nil {
			return err
		}
	}
	return nil
}

// asListed compares the copy with its manifest.
func (r *restoring) asListed(ctx context.Context, path string, w *watch) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := readManifest(f)
	if errors.Is(err, errManifest) {
		return &finding{CheckManifest, err.Error()}
	}
	if err != nil {
		return err
	}
	for _, name := range signalFiles { // what a standby had of them was not restored
		delete(m.Files, name)
	}
	if end := m.end().End; end < r.record.End { // Barman's end of a copy by pg_basebackup is where the server was a moment later
		r.record.End = end
	}
	return verify(ctx, r.tree, m, r.rate, w)
}

// walIn is a folder of WAL files.
type walIn string

// Fetch gives a file of the folder.
func (dir walIn) Fetch(_ context.Context, name string, w io.Writer) error {
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return err
	}
	defer root.Close()
	f, _, err := treeFile{name: name, path: name, root: root}.open()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotThere
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
