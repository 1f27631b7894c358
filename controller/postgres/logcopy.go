package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// mostLog bounds the copy of a log's folder, in bytes: it lies on the disk of Conf, which need not be large.
const mostLog = 256 << 20

// logCopy has a log's folder for the time of a rewind, where it cannot be moved: the data directory, or that folder, is a mount point.
func (i *Server) logCopy() string { return filepath.Join(i.Conf, "log.kept") }

// placeForLog says where the log's folder is kept during a rewind. Where it cannot be moved, its files are copied at once.
func (i *Server) placeForLog(ctx context.Context, h *movedFiles) error {
	mounted, err := mountPoint(filepath.Join(i.Data, h.Log))
	if err != nil {
		return err
	}
	if !mounted {
		dir, err := i.besideData("log")
		if err == nil {
			h.Place = filepath.Join(dir, "log")
			return nil
		}
		if at, wrong := mountPoint(real(i.Data)); wrong != nil || !at {
			return errors.Join(err, wrong)
		}
	}
	h.Copy = true
	return i.copyLog(ctx, filepath.Join(i.Data, h.Log))
}

// copyLog copies the newest files of a log's folder, as many as mostLog allows.
func (i *Server) copyLog(ctx context.Context, from string) error {
	to := i.logCopy()
	if err := errors.Join(i.Owner.removeAll(to), i.Owner.makeDir(to, 0o700)); err != nil {
		return err
	}
	return i.Owner.asOwner(func() error {
		files, err := regularFiles(from)
		if err != nil {
			return err
		}
		slices.SortFunc(files, func(a, b logFile) int {
			return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), cmp.Compare(a.name, b.name))
		})
		left := int64(mostLog)
		for n, f := range files {
			if left -= f.info.Size(); left < 0 {
				i.notice(fmt.Sprintf("the rewind removes the %d oldest files of %s: no more than %d MB are kept aside",
					len(files)-n, from, mostLog>>20))
				return nil
			}
			if err := errors.Join(ctx.Err(), f.copyTo(from, to)); err != nil {
				return err
			}
		}
		return nil
	})
}

// returnLogCopy puts these files in the place of those of a rewind's source.
func (i *Server) returnLogCopy(to string) error {
	from := i.logCopy()
	if !exists(from) {
		return nil
	}
	err := i.Owner.asOwner(func() error {
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		entries, err := os.ReadDir(to)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(to, e.Name())))
		}
		files, wrong := regularFiles(from)
		if err = errors.Join(err, wrong); err != nil {
			return err
		}
		for _, f := range files {
			if err := f.copyTo(from, to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return i.Owner.removeAll(from)
}

type logFile struct {
	name string // its path below the folder
	info fs.FileInfo
}

// regularFiles are those below a folder.
func regularFiles(dir string) (files []logFile, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, logFile{name, info})
		return err
	})
	return files, err
}

// copyTo keeps mode and time: a user's cleaning of logs goes by the latter.
func (f logFile) copyTo(from, to string) (err error) {
	path := filepath.Join(to, f.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	in, err := os.Open(filepath.Join(from, f.name))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, f.info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, f.info.Size()))
	return errors.Join(err, out.Sync(), out.Close(), os.Chtimes(path, f.info.ModTime(), f.info.ModTime()))
}
