package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"mainstay/controller/osuser"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/fencing/process"
	"mainstay/health/backup/target"
)

// What staging holds.
const (
	stagingMark = ".mainstay-staging" // that the directory is ours; it is locked while a run lasts
	runFolder   = "run"               // all that the present run makes
	keptFolder  = "kept"              // the chain that the next incremental builds on
	markText    = "Mainstay makes and checks backups here, and removes what it finds in " + runFolder + " and " + keptFolder + ".\n"
)

// longestStaging leaves room for the name of a socket, of which the kernel takes 107 characters.
const longestStaging = 60

// run is one use of staging.
type run struct {
	*Engine
	limits Limits
	dir    string
	lock   *os.File
	tell   func(Progress)
	proof  *Proof
	rate   int64          // bytes a second of what is read from a target or from a kept copy; 0: no bound
	calls  sync.WaitGroup // of steps
	hung   bool           // one of them has not returned
}

// begin locks staging, removes what an interrupted run has left, and makes the folder of a new one.
func (e *Engine) begin(ctx context.Context, id string, progress func(Progress)) (*run, error) {
	if err := target.ValidName(id); err != nil || filepath.Base(id) != id {
		return nil, fmt.Errorf("%q is no id of a backup: want letters, digits, '.', '_' and '-'", id)
	}
	r := &run{Engine: e, limits: e.Limits, dir: filepath.Join(e.Staging, runFolder), tell: func(Progress) {}, proof: &Proof{}}
	r.limits.fill()
	if progress != nil {
		r.tell = progress
	}
	if r.Log == nil {
		r.Engine = &Engine{Staging: e.Staging, Server: e.Server, Limits: e.Limits, Log: zap.NewNop()}
	}
	opened := make(chan error, 1)
	r.calls.Go(func() { opened <- r.open() })
	stall := time.NewTimer(r.limits.Stall)
	defer stall.Stop()
	select {
	case err := <-opened:
		if err != nil {
			r.unlock()
		}
		return r, err
	case <-ctx.Done():
		r.hung = true
		r.end()
		return nil, ctx.Err()
	case <-stall.C:
		r.hung = true
		r.end()
		return nil, fmt.Errorf("%s: %w", e.Staging, ErrHung)
	}
}

// open is begin's work on the disk.
func (r *run) open() (err error) {
	if len(r.Staging) > longestStaging {
		return fmt.Errorf("the path of staging, %s, is longer than %d characters: sockets are in it", r.Staging, longestStaging)
	}
	if r.lock, err = lockStaging(r.Staging, true); err != nil {
		return err
	}
	if err = clearRun(r.dir); err != nil {
		return err
	}
	return os.Mkdir(r.dir, 0o711)
}

// lockStaging opens a staging directory of ours, and locks it for this run.
func lockStaging(staging string, create bool) (*os.File, error) {
	if create {
		if err := os.MkdirAll(staging, 0o711); err != nil {
			return nil, err
		}
	}
	mark := filepath.Join(staging, stagingMark)
	f, err := os.OpenFile(mark, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) && create {
		f, err = makeMark(staging, mark)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func makeMark(staging, mark string) (*os.File, error) {
	for _, name := range []string{runFolder, keptFolder} {
		if _, err := os.Lstat(filepath.Join(staging, name)); err == nil {
			return nil, fmt.Errorf("%s has a %s that is not Mainstay's: name another directory as staging, or move that away", staging, name)
		}
	}
	f, err := os.OpenFile(mark, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(markText)
	}
	return f, err
}

// leftoverBound is how long the processes of a killed run may take to end.
const leftoverBound = 10 * time.Second

// copier is the program that copies a server.
const copier = "pg_basebackup"

// clearRun removes the folder of a run, after the last of its processes has ended.
func clearRun(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	o := outside{}
	if err := statefile.Read(filepath.Join(dir, outsideFile), &o); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// pg_basebackup divides itself, and its second process does not end with the agent: it would keep its slot and its connections.
	if err := process.NewProgram(copier, filepath.Join(dir, copyFolder)).Kill(leftoverBound); err != nil {
		return fmt.Errorf("end what an interrupted run has left: %w", err)
	}
	for _, data := range append([]string{filepath.Join(dir, copyFolder), filepath.Join(dir, fullFolder),
		filepath.Join(dir, otherFolder, otherData)}, o.Folders...) {
		if _, err := os.Stat(data); err != nil {
			continue
		}
		tree, err := process.NewTree(data, nil)
		if err == nil {
			err = tree.Kill(leftoverBound)
		}
		if err != nil {
			return fmt.Errorf("end what an interrupted run has left: %w", err)
		}
	}
	releasePipes(filepath.Join(dir, walFolder))
	return errors.Join(o.remove(), os.RemoveAll(dir))
}

// outsideFile tells of what a restore writes outside of staging, from before it does until it is whole.
const outsideFile = "outside.json"

// besideSuffix is added to a restored directory's name for its tablespaces.
const besideSuffix = ".tablespaces"

// outside are folders that hold nothing but what a run has written.
type outside struct {
	Folders []string `json:"folders"`
	Kept    []string `json:"kept"` // of them: those that were there, and empty
}

// remove removes what was written.
func (o outside) remove() (err error) {
	for _, dir := range o.Folders {
		entries, _ := os.ReadDir(dir) // it may not have been made
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		if !slices.Contains(o.Kept, dir) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		if above := filepath.Dir(dir); strings.HasSuffix(above, besideSuffix) {
			_ = os.Remove(above) // only if it is empty
		}
	}
	return err
}

// Sweep removes from a staging directory what interrupted runs have left, and ends their processes. Where a run uses it, it does nothing.
func Sweep(staging string) error {
	lock, err := lockStaging(staging, false)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrBusy):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(clearRun(filepath.Join(staging, runFolder)), clearKept(staging), lock.Close())
}

// end removes what the run has made, and unlocks staging; where a call hangs, both are left to the next run, and to that call's return.
func (r *run) end() {
	if !r.hung {
		removed := make(chan error, 1)
		r.calls.Go(func() { removed <- clearRun(r.dir) })
		late := time.NewTimer(r.limits.Stall)
		defer late.Stop()
		select {
		case err := <-removed:
			if err != nil {
				r.Log.Warn("staging could not be cleared; the next backup or restore tries again", zap.Error(err))
			}
			r.unlock()
			return
		case <-late.C:
		}
	}
	r.Log.Warn("a call hangs in the disk of staging: no other backup or restore begins before it has returned",
		zap.String("staging", r.Staging))
	go func() { // ends when the kernel answers
		r.calls.Wait()
		r.unlock()
	}()
}

func (r *run) unlock() {
	if r.lock != nil {
		_ = r.lock.Close() // which unlocks it
		r.lock = nil
	}
}

// path is where the run has something.
func (r *run) path(name ...string) string { return filepath.Join(append([]string{r.dir}, name...)...) }

// ownFolder makes a folder of PostgreSQL's user, in one of ours.
func (r *run) ownFolder(path string) error {
	if err := os.Mkdir(path, dirMode); err != nil {
		return err
	}
	return give(path, r.Server.Owner)
}

// give makes a path the owner's, which another user cannot change meanwhile.
func give(path string, o postgres.Owner) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(o.UID), int(o.GID))
}

// giveFile is give for an open file.
func giveFile(f *os.File, o postgres.Owner) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(o.UID), int(o.GID))
}

// as runs f with the rights of PostgreSQL's user.
func (r *run) as(f func() error) error {
	return osuser.User{UID: r.Server.Owner.UID, GID: r.Server.Owner.GID}.Do(f)
}

// free is the room in a folder, in bytes, without what the system keeps for root.
func free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * s.Bsize, nil
}
