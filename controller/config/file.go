package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// local is a local file while it is read: a reader with the folder from which relative paths start.
type local struct {
	*reader
	folder string
}

// load reads a local file into the destinations of its fields; the checks run only if it could be read. The file is on the system's
// own disk; load does not bound the wait for a disk that hangs, so a daemon reloads apart from its loops.
func load(file string, fields func(l *local) []field, checks func(l *local)) error {
	r := &reader{report: newReport(file), left: maxNodes}
	l := &local{reader: r}
	data, err := readAll(file)
	if err == nil {
		l.folder, err = filepath.Abs(filepath.Dir(file))
	}
	if err != nil {
		return Unreadable(file, err)
	}
	if root := r.parse(data); root != nil {
		r.value(root, where{}, r.section(fields(l)...))
		checks(l)
	}
	return r.found.err()
}

// errFolder and errSpecial are returned for a path that is not a regular file.
var (
	errFolder  = errors.New("is a folder, not a file")
	errSpecial = errors.New("is not a regular file")
)

// readAll reads a regular file, up to one byte past the limit. A pipe or a device might never end.
func readAll(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errFolder
	case !info.Mode().IsRegular():
		return nil, errSpecial
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(f, maxFile+1))
	return b.Bytes(), err
}

// reason phrases an error of the operating system as the end of a sentence that begins with the file's name.
func reason(err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, errFolder), errors.Is(err, errSpecial):
		return err.Error()
	case errors.As(err, &pe):
		err = pe.Err
	}
	return "cannot be read: " + err.Error()
}

// Unreadable is the mistake of a file that the operating system did not open or read.
func Unreadable(file string, err error) error {
	return Mistakes{{File: file, What: reason(err), Do: otherFile(err), cause: err}}
}

// otherFile is the remedy when a file cannot be read.
func otherFile(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name another file"
	case errors.Is(err, fs.ErrPermission):
		return "let this user read it, or name another file"
	}
	return "name the right file"
}

// path reads the path of a file or folder; a relative one starts from the folder of the file that names it.
func (l *local) path(dst *string) reading {
	return func(n *yaml.Node, at where) {
		var s string
		l.textInto(n, at, &s)
		switch {
		case s == "":
		case s == "~" || strings.HasPrefix(s, "~/"):
			l.unread(n, at, quote(s)+" begins with ~, which is not expanded", "write the full path")
		case strings.ContainsRune(s, 0):
			l.unread(n, at, quote(s)+" is not a path", "write the full path")
		case !filepath.IsAbs(s):
			*dst = filepath.Join(l.folder, s)
		default:
			*dst = filepath.Clean(s)
		}
	}
}

// readable reports a missing file, and one that this process may not read.
func (l *local) readable(at where, path, do string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.IsDir() {
			err = errFolder
		}
		f.Close()
	}
	if err != nil {
		l.add(at, path+" "+reason(err), do)
	}
}

// writable reports a folder that this process could neither write into nor create: it must be writable itself or, if it does not
// exist, the nearest existing folder above it.
func (l *local) writable(at where, path string) {
	if path == "" {
		l.add(at, "is missing", "name a separate folder on a disk that survives a restart")
		return
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		do := "name a folder that this user may write into"
		switch {
		case err != nil:
			l.add(at, dir+" "+reason(err), do)
		case !info.IsDir():
			l.add(at, dir+" is a file, not a folder", do)
		case syscall.Access(dir, writeAndSearch) != nil:
			l.add(at, dir+" cannot be written", do)
		}
		return
	}
}

// writeAndSearch is W_OK|X_OK of access(2), the rights needed to create a file in a folder.
const writeAndSearch = 2 | 1
