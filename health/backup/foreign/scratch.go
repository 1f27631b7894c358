package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"mainstay/controller/osuser"
	"mainstay/fencing/program"
)

// scratch is the folder of one restore. What is done in it is done with the rights of the program's user, to whom it belongs: that user
// could put a link in the place of any file.
type scratch struct {
	user osuser.User
	dir  string
}

func (s scratch) data() string        { return filepath.Join(s.dir, "data") }
func (s scratch) wal() string         { return filepath.Join(s.dir, "wal") }
func (s scratch) tablespaces() string { return filepath.Join(s.dir, "tablespaces") }
func (s scratch) staging() string     { return filepath.Join(s.dir, "staging") }
func (s scratch) manifest() string    { return filepath.Join(s.dir, "backup_manifest") }

// do works in the folder until ctx ends; on a dead disk it gives up then.
func (s scratch) do(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err, back := program.Apart(ctx, func() error { return s.user.Do(f) })
	if !back {
		return fmt.Errorf("%s: %w", s.dir, program.ErrStuck)
	}
	return err
}

// newScratch makes the folder, or takes an empty one of the user, with the folders in it.
func newScratch(ctx context.Context, user osuser.User, into string) (scratch, error) {
	s := scratch{user: user, dir: filepath.Clean(into)}
	if !filepath.IsAbs(into) {
		return s, fmt.Errorf("%w: %q is no absolute path", ErrScratch, into)
	}
	err, back := program.Apart(ctx, func() error { return s.make() })
	if !back {
		err = program.ErrStuck
	}
	if err == nil {
		err = s.do(ctx, s.fill)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrScratch, err)
	}
	return s, nil
}

// make has our own rights: the folder above is ours.
func (s scratch) make() error {
	err := os.Mkdir(s.dir, 0o700)
	if err == nil && int(s.user.UID) != os.Geteuid() {
		return os.Chown(s.dir, int(s.user.UID), int(s.user.GID))
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(s.dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || st.Uid != s.user.UID {
		return fmt.Errorf("%s is not a folder of user %d, as whom the program runs", s.dir, s.user.UID)
	}
	return nil
}

func (s scratch) fill() error {
	there, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("%s is not empty", s.dir)
	}
	for _, dir := range []string{s.data(), s.wal(), s.tablespaces(), s.staging()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// signals make PostgreSQL recover in the way that the program had in mind.
var signals = []string{"recovery.signal", "standby.signal"}

// recovered is Barman's own note in the data that it restores.
const recovered = ".barman-recover.info"

// origin is the suffix under which Barman keeps a file of the cluster that it has changed.
const origin = ".origin"

// settle makes the data what its cluster had, and returns the tablespaces by oid.
func (s scratch) settle(manifest string) (spaces map[uint32]string, err error) {
	entries, err := os.ReadDir(s.data())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(s.data(), e.Name())
		was, changed := strings.CutSuffix(path, origin)
		switch {
		case changed && strings.HasSuffix(was, ".conf"):
			err = os.Rename(path, was)
		case e.Name() == manifest:
			err = os.Rename(path, s.manifest())
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range append(signals[:len(signals):len(signals)], recovered) {
		if err := os.Remove(filepath.Join(s.data(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := os.RemoveAll(s.staging()); err != nil {
		return nil, err
	}
	return s.links()
}

// links refuses every link that leads out of the folder, and returns those of the tablespaces.
func (s scratch) links() (spaces map[uint32]string, err error) {
	home, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		return nil, err
	}
	spaces = map[uint32]string{}
	err = filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("a link that leads nowhere: %w", err)
		}
		if !strings.HasPrefix(to, home+string(filepath.Separator)) {
			return fmt.Errorf("the link %s leads to %s, out of the scratch folder", path, to)
		}
		if filepath.Dir(path) != filepath.Join(s.data(), "pg_tblspc") {
			return nil
		}
		oid, err := strconv.ParseUint(filepath.Base(path), 10, 32)
		if err != nil {
			return fmt.Errorf("%s is not named by an oid", path)
		}
		spaces[uint32(oid)] = to
		return nil
	})
	return spaces, err
}

// fetchers is how many segments are fetched at once.
const fetchers = 4

// each calls do for all names, several at once, until one fails, and returns that error.
func each(ctx context.Context, names []string, do func(context.Context, string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan string)
	var all sync.WaitGroup
	for range min(fetchers, len(names)) {
		all.Go(func() {
			for name := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, name); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	all.Wait()
	return context.Cause(ctx)
}
