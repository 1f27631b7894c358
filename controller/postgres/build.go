package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// DataPresentError is returned when a data directory must be made in a place that is not empty.
type DataPresentError struct{ Data string }

func (e *DataPresentError) Error() string {
	return fmt.Sprintf("%s is not empty, and Mainstay overwrites nothing: set it aside first, or name another directory", e.Data)
}

// build makes a data directory whole or not at all: fill works in a directory beside Data, which then takes its place.
// The leftovers of an earlier, interrupted build of the same kind are removed first; their names bear our mark.
// With replace, existing data may stay in Data until fill has set it aside.
func (i *Server) build(ctx context.Context, kind string, replace bool, fill func(tmp string) error) (err error) {
	target, err := i.target(replace)
	if err != nil {
		return err
	}
	var tmp string
	err = i.beside(func() error {
		prefix := target + ".mainstay-" + kind + "-"
		if err := i.removeCopies(prefix); err != nil {
			return err
		}
		tmp, err = i.Owner.makeTemp(filepath.Dir(target), filepath.Base(prefix)+"*")
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.beside(func() error { return i.removeCopies(tmp) }))
		}
	}()
	if err := fill(tmp); err != nil {
		return err
	}
	if err := i.Owner.writeFile(filepath.Join(tmp, standbySignal), nil, fileMode(tmp)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.beside(func() error { return i.Owner.rename(tmp, target) })
}

// target is where Data really lies: absent or empty, unless it will be replaced, and no mount point, so that it can be
// renamed and renamed to.
func (i *Server) target(replace bool) (string, error) {
	path, err := filepath.EvalSymlinks(i.Data)
	if errors.Is(err, os.ErrNotExist) {
		path = filepath.Clean(i.Data)
		return path, i.Owner.makeDir(filepath.Dir(path), 0o755)
	}
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	if len(entries) > 0 && !replace {
		return "", &DataPresentError{path}
	}
	mounted, err := mountPoint(path)
	if err == nil && mounted {
		err = fmt.Errorf("%s is a mount point, and a new copy takes its place by a rename, which a mount point does not allow: "+
			"stop its PostgreSQL, move the data into a directory below it, and name that as members.%s.data in the agent's file", path,
			i.Member)
	}
	return path, err
}

// Replaceable says why a rebuild could not put a copy in the place of the data; nil if it could.
func (i *Server) Replaceable() (err error) {
	defer i.wrap("replace the data of", &err)
	_, err = i.target(true)
	return err
}

// mountPoint tells whether a directory is the root of a mount, a bind mount on its own file system too: it cannot be renamed.
func mountPoint(path string) (bool, error) {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, 0, &s); err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if s.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 { // Linux 5.8 and later
		return s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
	}
	own, err1 := device(path)
	parent, err2 := device(filepath.Dir(path))
	return own != parent, errors.Join(err1, err2)
}

func device(path string) (uint64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return uint64(fi.Sys().(*syscall.Stat_t).Dev), nil
}

// removeCopies removes copies that were not finished, with their parts outside of them.
func (i *Server) removeCopies(prefix string) error {
	old, err := filepath.Glob(prefix + "*")
	if err != nil {
		return err
	}
	for _, p := range old {
		if err := i.dropParts(p); err != nil {
			return fmt.Errorf("remove what an interrupted attempt left: %w", err)
		}
	}
	return i.Owner.removeLeftovers(prefix)
}

func (o Owner) removeLeftovers(prefix string) error {
	old, err := filepath.Glob(prefix + "*")
	if err != nil {
		return err
	}
	for _, p := range old {
		if err := o.removeAll(p); err != nil {
			return fmt.Errorf("remove what an interrupted attempt left: %w", err)
		}
	}
	return nil
}

// SetAside renames the data directory, before a rebuild, to Data.suffix, and returns that path; nothing is removed (S9).
// Its parts outside (Outlying) are moved after that, to their places. The files of this host's user, and the layout, are kept for
// the next Clone.
func (i *Server) SetAside(ctx context.Context, suffix string, parts ...Part) (path string, err error) {
	defer i.wrap("set aside the data of", &err)
	if err := i.stopped(); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	from, err := filepath.EvalSymlinks(i.Data)
	if err != nil {
		return "", err
	}
	path = from + "." + suffix
	if exists(path) {
		return "", fmt.Errorf("%s exists already; remove it, or choose another suffix", path)
	}
	// damaged data must not keep its successor from being made
	err = errors.Join(i.undoRewind(), i.takeOver())
	if unkept := i.keepOwn(from); unkept != nil {
		err = errors.Join(err, unkept, i.noteUnkept(path, unkept))
	}
	if err != nil {
		i.notice("the files of this host's user are not all carried over from " + path + ": " + err.Error())
	}
	if err := i.keepPlaces(ctx); err != nil {
		return "", err
	}
	if err := i.beside(func() error { return i.Owner.rename(from, path) }); err != nil {
		return "", err
	}
	return path, errors.Join(i.Owner.removeFile(i.rewindMark()), i.FinishAside(ctx, path, parts)) // the mark spoke of the data now gone
}
