// Package durable writes small files in one step that survives a power cut: a reader sees the old content or the new one, never a part.
//
// Data is written into a new file in the same folder, synced, and put in place; then the folder is synced. No link is followed, and no
// other file is opened. It must never leave a damaged file at the path that was named: after an error the old content is there. Calls wait
// for the disk, so a caller with a deadline makes them apart from its loop.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write puts data at path, with exactly this mode. One process writes the file, one call at a time: what a crash left of the new file is
// replaced by the next call, so that nothing accumulates.
func Write(path string, data []byte, mode fs.FileMode) error {
	tmp := path + ".new"
	if err := syscall.Unlink(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "replace", Path: tmp, Err: err}
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return finish(f, path, data, mode, os.Rename)
}

// WriteShared is Write for a file that several processes may write at once: it then holds the content of one of them.
func WriteShared(path string, data []byte, mode fs.FileMode) error {
	return beside(path, data, mode, os.Rename)
}

// Create is WriteShared for a file that must not exist yet; else the error is fs.ErrExist.
func Create(path string, data []byte, mode fs.FileMode) error {
	return beside(path, data, mode, os.Link)
}

func beside(path string, data []byte, mode fs.FileMode, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	return finish(f, path, data, mode, place)
}

// finish fills f and puts it in place; f is closed, and its own name is gone.
func finish(f *os.File, path string, data []byte, mode fs.FileMode, place func(from, to string) error) error {
	defer os.Remove(f.Name()) // gone already after a rename
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names of a folder durable: after it, files created, renamed or removed there stay so over a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
