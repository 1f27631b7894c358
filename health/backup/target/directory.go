package target

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/fencing/program"
)

const (
	// unfinished is the folder of objects that are being written. No name of an object begins with a dot.
	unfinished = ".unfinished"
	// abandoned is how old the last byte of one is that a crash has left.
	abandoned = 24 * time.Hour
	chunk     = 1 << 20 // bytes of a file that are read or written at once
	// mostCalls at once: each that hangs holds a thread until the kernel answers.
	mostCalls = 64
)

// directory keeps each object as a file. Files are written aside, synced, and put in place under their name; then the folder is synced.
// Every call to the filesystem is made apart, as it may be a network's.
type directory struct {
	path  string
	calls atomic.Int32
}

// apart makes calls to the filesystem, at most until ctx ends. f must leave alone what its caller may use after it has given up.
func apart[T any](ctx context.Context, d *directory, f func() (T, error)) (T, error) {
	if d.calls.Load() >= mostCalls {
		var none T
		return none, fmt.Errorf("%w: %d calls to it have not returned", program.ErrHung, mostCalls)
	}
	return program.Attempt(ctx, func() (T, error) {
		d.calls.Add(1)
		defer d.calls.Add(-1)
		return f()
	})
}

// inRoot makes calls below the directory, which no name leaves.
func inRoot[T any](ctx context.Context, d *directory, f func(*os.Root) (T, error)) (T, error) {
	return apart(ctx, d, func() (T, error) {
		var none T
		root, err := os.OpenRoot(d.path)
		if fi, other := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) || err != nil && other == nil && !fi.IsDir() {
			return none, fmt.Errorf("%w: %w", errGone, err)
		}
		if err != nil {
			return none, err
		}
		defer root.Close()
		return f(root)
	})
}

// regular is the size of an object's file.
func regular(root *os.Root, name string) (int64, error) {
	fi, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return 0, ErrNotThere
	case err != nil:
		return 0, err
	case !fi.Mode().IsRegular():
		return 0, fmt.Errorf("%s is no file", name)
	}
	return fi.Size(), nil
}

func (d *directory) stat(ctx context.Context, name string) (int64, error) {
	return inRoot(ctx, d, func(root *os.Root) (int64, error) { return regular(root, name) })
}

func (d *directory) put(ctx context.Context, name string, r io.Reader, _ int64, over bool, moved func()) error {
	aside := path.Join(unfinished, rand.Text())
	f, err := inRoot(ctx, d, func(root *os.Root) (*os.File, error) {
		f, err := begin(root, aside)
		if err == nil && ctx.Err() != nil { // the call hung, and nobody waits for it
			return nil, errors.Join(context.Cause(ctx), f.Close(), root.Remove(aside))
		}
		return f, err
	})
	if err != nil {
		return err
	}
	moved()
	if err = d.fill(ctx, f, r); err == nil {
		_, err = apart(ctx, d, func() (any, error) { return nil, errors.Join(synced(f), f.Close()) })
	}
	if err == nil {
		moved()
		_, err = inRoot(ctx, d, func(root *os.Root) (any, error) { return nil, place(root, aside, name, over) })
	}
	if err != nil {
		d.discard(ctx, f, aside)
	}
	return err
}

// discard removes an object that was not finished, also after ctx has ended. What it cannot remove in time, a later put does.
func (d *directory) discard(ctx context.Context, f *os.File, aside string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = inRoot(ctx, d, func(root *os.Root) (any, error) {
		f.Close() // it may be closed already
		return nil, root.Remove(aside)
	})
}

// begin creates the file of an object that will be written, and removes what crashes have left.
func begin(root *os.Root, aside string) (*os.File, error) {
	if err := root.Mkdir(unfinished, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if left, err := fs.ReadDir(root.FS(), unfinished); err == nil {
		for _, e := range left {
			if fi, err := e.Info(); err == nil && time.Since(fi.ModTime()) > abandoned {
				_ = root.Remove(path.Join(unfinished, e.Name())) // another process may have
			}
		}
	}
	return root.OpenFile(aside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// fill copies r into f. Only the writing is apart, each time with a buffer that is not used again if it hangs.
func (d *directory) fill(ctx context.Context, f *os.File, r io.Reader) error {
	buf := make([]byte, chunk)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := apart(ctx, d, func() (int, error) { return f.Write(buf[:n]) }); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// synced makes the content durable, and has the next reader ask the disk and not the kernel's memory.
func synced(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // an advice
	return nil
}

// place gives a file its name.
func place(root *os.Root, aside, name string, over bool) error {
	err := makeFolders(root, path.Dir(name))
	if err == nil {
		err = link(root, aside, name, over)
	}
	if errors.Is(err, fs.ErrNotExist) { // another call has removed a folder that was empty
		if err = makeFolders(root, path.Dir(name)); err == nil {
			err = link(root, aside, name, over)
		}
	}
	if err != nil {
		return err
	}
	return syncFolder(root, path.Dir(name))
}

func link(root *os.Root, aside, name string, over bool) error {
	if over {
		return root.Rename(aside, name)
	}
	err := root.Link(aside, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return ErrExists
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS): // no hard links there
		_, err := regular(root, name)
		if err == nil {
			return ErrExists
		}
		if !errors.Is(err, ErrNotThere) {
			return err
		}
		return root.Rename(aside, name)
	case err != nil:
		return err
	}
	return root.Remove(aside)
}

// makeFolders creates a folder and those above it, each durable in the one above.
func makeFolders(root *os.Root, folder string) error {
	if folder == "." {
		return nil
	}
	if err := makeFolders(root, path.Dir(folder)); err != nil {
		return err
	}
	err := root.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(root, path.Dir(folder))
}

func syncFolder(root *os.Root, folder string) error {
	f, err := root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *directory) get(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := inRoot(ctx, d, func(root *os.Root) (*os.File, error) {
		if _, err := regular(root, name); err != nil {
			return nil, err
		}
		return root.Open(name)
	})
	if err != nil {
		return nil, err
	}
	return &fileReader{ctx: ctx, d: d, f: f, buf: make([]byte, chunk)}, nil
}

// fileReader reads through a buffer of its own, as a call that hangs may fill it later.
type fileReader struct {
	ctx  context.Context
	d    *directory
	f    *os.File
	buf  []byte
	left bytes.Reader // what is in buf and not read
	err  error
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.left.Len() == 0 && r.err == nil {
		var n int
		n, r.err = apart(r.ctx, r.d, func() (int, error) { return r.f.Read(r.buf) })
		r.left.Reset(r.buf[:n])
	}
	if r.left.Len() > 0 {
		return r.left.Read(p)
	}
	return 0, r.err
}

func (r *fileReader) Close() error {
	r.err = fs.ErrClosed
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Second)
	defer cancel()
	_, err := apart(ctx, r.d, func() (any, error) { return nil, r.f.Close() })
	return err
}

func (d *directory) list(ctx context.Context, prefix string, moved func()) ([]Object, error) {
	return inRoot(ctx, d, func(root *os.Root) (all []Object, err error) {
		top := path.Clean(prefix) // "." for all
		err = fs.WalkDir(root.FS(), top, func(name string, e fs.DirEntry, err error) error {
			moved()
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR) && name == top:
				return nil // it was removed meanwhile, or was never there
			case err != nil:
				return err
			case name != top && strings.HasPrefix(e.Name(), "."):
				if e.IsDir() {
					return fs.SkipDir
				}
				return nil
			case !e.Type().IsRegular(), name == top:
				return context.Cause(ctx)
			}
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			all = append(all, Object{Name: name, Size: fi.Size()})
			return nil
		})
		return all, err
	})
}

func (d *directory) remove(ctx context.Context, name string) error {
	_, err := inRoot(ctx, d, func(root *os.Root) (any, error) {
		if _, err := regular(root, name); err != nil {
			return nil, err
		}
		if err := root.Remove(name); err != nil {
			return nil, err
		}
		folder := path.Dir(name)
		for folder != "." && root.Remove(folder) == nil { // as long as they are empty
			folder = path.Dir(folder)
		}
		return nil, syncFolder(root, folder)
	})
	return err
}
