package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mainstay/controller/durable"
	"mainstay/controller/osuser"
)

// maxText bounds a file that is read whole; configuration and history files are far smaller.
const maxText = 16 << 20

// ourselves is the user of this process.
func ourselves() Owner { return Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())} }

// in runs f, which works on files in dir, with the owner's rights, unless only we can change what dir names. An object that the owner
// has put there in place of a file of ours, such as a link, then gives no access that the owner does not have. If the owner is
// root, the rights are those of the first other user that could have put it there.
func (o Owner) in(dir string, f func() error) error { return o.as(osuser.OtherChanger, dir, f) }

// beside is in for files beside the data directory, after links are followed.
func (i *Server) beside(f func() error) error { return i.Owner.as(osuser.OtherChangerAbove, i.Data, f) }

func (o Owner) as(changer func(path string) (*osuser.User, error), path string, f func() error) error {
	if os.Geteuid() != 0 {
		return f()
	}
	who, err := changer(path)
	switch {
	case err != nil:
		return err
	case who == nil:
		return f()
	case o.UID != 0:
		who = &osuser.User{UID: o.UID, GID: o.GID}
	}
	if err = who.Do(f); errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w, to user %d, which can change folders above it: "+
			"give that user the folder (chown %d), or make root the owner of all folders above", err,
			who.UID, who.UID)
	}
	return err
}

// open opens a file to read. Anything but a regular one might never end.
func (o Owner) open(path string) (f *os.File, err error) {
	err = o.in(filepath.Dir(path), func() error {
		if f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", path)
		}
		if err != nil {
			f.Close()
		}
		return err
	})
	return f, err
}

func (o Owner) readFile(path string) ([]byte, error) {
	raw, err := o.readBounded(path, maxText)
	if err == nil && len(raw) > maxText {
		err = fmt.Errorf("%s is larger than %d MB", path, maxText>>20)
	}
	return raw, err
}

// readBounded reads a file, and of a longer one the first byte past the limit too, so that it shows.
func (o Owner) readBounded(path string, limit int64) ([]byte, error) {
	f, err := o.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// readIfThere is readFile, and "" where there is none.
func (o Owner) readIfThere(path string) (string, error) {
	raw, err := o.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(raw), err
}

// appendTo opens a file to append to, made where there is none.
func (o Owner) appendTo(path string) (f *os.File, err error) {
	err = o.in(filepath.Dir(path), func() error {
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return err
		}
		if err = o.own(f); err != nil {
			f.Close()
		}
		return err
	})
	return f, err
}

// rename replaces a file, or an empty folder, durably.
func (o Owner) rename(from, to string) error {
	dir := filepath.Dir(to)
	return o.in(dir, func() error {
		if err := syscall.Rename(from, to); err != nil { // os.Rename would refuse an empty folder
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return durable.SyncDir(dir)
	})
}

func (o Owner) removeAll(path string) error {
	return o.in(filepath.Dir(path), func() error { return os.RemoveAll(path) })
}

// removeFile removes a file durably; a missing one is no error.
func (o Owner) removeFile(path string) error {
	dir := filepath.Dir(path)
	return o.in(dir, func() error {
		if err := os.Remove(path); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}
		return durable.SyncDir(dir)
	})
}

// ours: a file that we make now belongs to the owner already, or to the user that stands in for root.
func (o Owner) ours() bool { return o.UID == 0 || int(o.UID) == os.Geteuid() }

// own gives an open file to the owner, if we run as another user.
func (o Owner) own(f *os.File) error {
	if o.ours() {
		return nil
	}
	return f.Chown(int(o.UID), int(o.GID))
}

// give is own for a path that only we can change.
func (o Owner) give(path string) error {
	if o.ours() {
		return nil
	}
	return os.Lchown(path, int(o.UID), int(o.GID))
}

// writeFile replaces a file atomically and durably: a reader, and a crash, see the old content or the new.
func (o Owner) writeFile(path string, content []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	return o.in(dir, func() (err error) {
		f, err := os.CreateTemp(dir, ".mainstay-*")
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				os.Remove(f.Name())
			}
		}()
		_, err = f.Write(content)
		err = errors.Join(err, f.Chmod(mode), o.own(f), f.Sync(), f.Close())
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err = os.Rename(f.Name(), path); err != nil {
			return err
		}
		return durable.SyncDir(dir)
	})
}

// makeDir makes a directory that the owner can use; an existing one is left as it is.
func (o Owner) makeDir(path string, mode os.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return o.in(filepath.Dir(path), func() error {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
		return o.give(path)
	})
}

// makeTemp makes a new directory of the owner's.
func (o Owner) makeTemp(dir, pattern string) (path string, err error) {
	err = o.in(dir, func() error {
		if path, err = os.MkdirTemp(dir, pattern); err != nil {
			return err
		}
		return o.give(path)
	})
	return path, err
}
