package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"mainstay/controller/statefile"
	"mainstay/health/backup/target"
)

// restoring is one run of TestRestore (into is empty) or Restore.
type restoring struct {
	*run
	order  Restoration
	into   string
	record *Record
	tree   tree
	outside
	// otherWAL is the WAL that another program has restored beside the data.
	otherWAL string
}

func (e *Engine) restore(ctx context.Context, o Restoration, into string, progress func(Progress)) (*Tested, error) {
	t := &Tested{Backup: o.ID, Cluster: o.Cluster, Began: time.Now()}
	run, err := e.begin(ctx, o.ID, progress)
	if err != nil {
		t.Ended, t.Proof.Verdict, t.Proof.Evidence = time.Now(), Unverified, err.Error()
		return t, err
	}
	defer run.end()
	run.rate = o.Rate
	r := &restoring{run: run, order: o, into: into}
	err = r.proof.conclude(r.work(ctx))
	if r.proof.Verdict == Good && into != "" {
		if err = r.step(ctx, StepSync, r.finish); err != nil {
			r.proof.Verdict, r.proof.Evidence = Unverified, err.Error()
		}
	}
	if r.proof.Verdict != Good && len(r.Folders) > 0 && !r.hung {
		err = errors.Join(err, r.step(context.WithoutCancel(ctx), StepUndo, func(context.Context, *watch) error { return r.remove() }))
	}
	t.Proof, t.Ended = *r.proof, time.Now()
	r.Log.Info("restore", zap.String("cluster", o.Cluster), zap.String("backup", o.ID), zap.String("into", into),
		zap.String("verdict", string(t.Proof.Verdict)), zap.String("evidence", t.Proof.Evidence))
	return t, err
}

func (r *restoring) work(ctx context.Context) error {
	if r.order.Other == nil && r.order.Until != (Until{}) && r.order.WAL == nil {
		return errors.New("a restore beyond the backup itself needs the archive")
	}
	if err := r.fetchAll(ctx); err != nil {
		return lost(err, r.order.ID)
	}
	until := r.order.Until
	if until.LSN != 0 && until.LSN < r.record.End {
		return fmt.Errorf("backup %s is consistent from %s on, and %s is before that: restore an older backup", r.record.ID,
			r.record.End, until.LSN)
	}
	p := proving{run: r.run, tree: r.tree, superuser: r.record.Superuser, from: r.record.Start, wanted: r.record.End,
		replay: replay{until: until, timeline: until.Timeline}, checks: r.order.Checks, depth: r.order.Depth, writable: r.Folders}
	if until != (Until{}) {
		p.wal = r.order.WAL
	}
	if until.End { // PostgreSQL itself sees to an LSN at which it is told to stop, but not to the end of an archive
		p.wanted = max(p.wanted, until.LSN)
	}
	if p.replay.timeline == 0 {
		p.replay.timeline = r.record.Timeline
	}
	return p.prove(ctx)
}

// lost makes a finding of an object that a target no longer has: the backup is not restorable from there.
func lost(err error, id string) error {
	if found := (*finding)(nil); errors.As(err, &found) || !errors.Is(err, target.ErrNotThere) && !errors.Is(err, target.ErrDamaged) {
		return err
	}
	return &finding{CheckManifest, fmt.Sprintf("the target has lost backup %s, or a part of it: %v", id, err)}
}

// fetchAll gets the backup and all that it builds on from the target, each verified, and makes one data directory of them.
func (r *restoring) fetchAll(ctx context.Context) error {
	if r.order.Other != nil {
		return r.fetchOther(ctx)
	}
	var chain []input
	err := r.step(ctx, StepFetch, func(ctx context.Context, w *watch) (err error) {
		if r.record, err = ReadRecord(ctx, r.order.From, r.order.Cluster, r.order.ID); err != nil {
			return err
		}
		if err := r.restorable(); err != nil {
			return err
		}
		if err := r.places(); err != nil {
			return err
		}
		if r.record.Kind == Full {
			_, err = r.fetch(ctx, r.order.From, r.record, r.tree, w)
			return err
		}
		chain, err = r.gather(ctx, r.record, []target.Target{r.order.From}, r.fetched, w)
		return err
	})
	if err == nil && len(chain) > 0 {
		err = r.combine(ctx, chain, r.tree)
	}
	if err == nil {
		r.proof.Checks = append(r.proof.Checks, Check{Kind: CheckManifest, Verdict: Good,
			Detail: fmt.Sprintf("%d backups as they were released; all files match their manifests", max(1, len(chain)))})
	}
	return err
}

// restorable refuses a backup that is not good, and one for other programs.
func (r *restoring) restorable() error {
	if r.record.Proof.Verdict != Good {
		return fmt.Errorf("backup %s is %s and is not restored: %s", r.record.ID, r.record.Proof.Verdict, r.record.Proof.Evidence)
	}
	if has := strconv.Itoa(r.Server.Binaries.Major); !strings.HasPrefix(r.record.Version, has) { // 18.2, or 19beta1
		return fmt.Errorf("backup %s is of PostgreSQL %s, and the programs of this host are %s", r.record.ID, r.record.Version,
			r.Server.Binaries.Version)
	}
	return nil
}

// places finds where the copy goes, and refuses what is in use and what has no room.
func (r *restoring) places() error {
	if r.into == "" {
		r.tree = treeIn(r.dir, r.record.Spaces)
		return r.hasRoom(r.dir, r.record.Size)
	}
	r.tree = tree{data: r.into, spaces: map[uint32]string{}}
	for _, s := range r.record.Spaces {
		r.tree.spaces[s.OID] = r.order.Spaces[s.OID]
		if r.tree.spaces[s.OID] == "" {
			r.tree.spaces[s.OID] = filepath.Join(r.into+besideSuffix, strconv.FormatUint(uint64(s.OID), 10))
		}
	}
	if err := r.hasRoom(filepath.Dir(r.into), r.record.Size); err != nil {
		return err
	}
	dirs := []string{r.into}
	for _, oid := range r.tree.oids() {
		dirs = append(dirs, r.tree.spaces[oid])
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case len(entries) > 0:
			return fmt.Errorf("%s holds files: name a directory that is absent or empty", dir)
		default:
			r.Kept = append(r.Kept, dir)
		}
	}
	r.Folders = dirs
	return statefile.Write(r.path(outsideFile), r.outside)
}

func (r *restoring) hasRoom(dir string, needs int64) error {
	has, err := free(dir)
	if err == nil && has < needs {
		err = fmt.Errorf("%s has %d MB free, and the data needs %d MB", dir, has>>20, needs>>20)
	}
	return err
}

// finish gives the restored directory the configuration that it was backed up with, and writes everything to the disk.
func (r *restoring) finish(_ context.Context, w *watch) error {
	w.patient(ownDeadline)
	root, err := os.OpenRoot(r.tree.data)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Rename(autoConfAside, autoConf); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range append(signalFiles, manifestName, "postmaster.opts", "recovery.done") {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if r.otherWAL != "" { // it was replayed
		if err := os.RemoveAll(r.otherWAL); err != nil {
			return err
		}
	}
	for _, dir := range r.Folders {
		if err := syncAll(dir); err != nil {
			return err
		}
	}
	return os.Remove(r.path(outsideFile)) // from here on it is the caller's
}

// syncAll writes out the filesystem of a folder: PostgreSQL ran on it without any sync.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
