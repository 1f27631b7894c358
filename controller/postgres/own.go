package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"mainstay/controller/durable"
)

// ownFile is a file that the user of this host keeps in the data directory, and that a copy of another member's data would
// replace by that member's.
type ownFile struct {
	name    string
	content []byte
	mode    os.FileMode
	link    string // where it leads, if it is a symbolic link; then it has nothing else
	group   uint32 // where its mode lets the group do anything
	acl     []byte // then too; nil for none
}

// ownPatterns are the names of such files.
var ownPatterns = []string{"*.conf", "*.crt", "*.key", "*.pem"}

// isOwn tells whether a path below the data directory is that of such a file.
func isOwn(name string) bool {
	return slices.ContainsFunc(ownPatterns, func(pattern string) bool {
		match, err := filepath.Match(pattern, name)
		return err == nil && match // a * matches no separator: those below folders are none
	})
}

// ownFiles reads configuration, access rules, ALTER SYSTEM's settings and keys in a data directory. Those that can be read are returned
// with an unreadError about the others.
func (o Owner) ownFiles(dir string) (own []ownFile, err error) {
	unread := &unreadError{}
	for _, pattern := range ownPatterns {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			fi, err := os.Lstat(path)
			if err == nil && fi.Mode()&os.ModeSymlink != 0 {
				to, err := os.Readlink(path)
				if err != nil {
					unread.add(path, err)
					continue
				}
				own = append(own, ownFile{name: filepath.Base(path), link: to})
				continue
			}
			if err != nil || !fi.Mode().IsRegular() {
				continue
			}
			content, err := o.readFile(path)
			if err != nil {
				unread.add(path, err)
				continue
			}
			f := ownFile{name: filepath.Base(path), content: content, mode: fi.Mode().Perm()}
			st := fi.Sys().(*syscall.Stat_t)
			if st.Uid != o.UID { // it becomes the owner's, whose keys PostgreSQL lets no group read
				f.mode &= 0o700
			} else if f.group = st.Gid; f.mode&0o070 != 0 {
				if f.acl, err = o.acl(path, accessACL); err != nil {
					unread.add(path, err)
					continue
				}
			}
			own = append(own, f)
		}
	}
	if len(unread.names) > 0 {
		return own, unread
	}
	return own, nil
}

// putBack writes them into data that was taken from another member. Where this host's configuration lies elsewhere, the
// source's is removed: nothing reads it, and it would mislead.
func (i *Server) putBack(dir string, own []ownFile) error {
	var errs []error
	for _, f := range own {
		errs = append(errs, i.putOwn(dir, f))
	}
	for name, path := range i.userFiles() {
		mine := slices.ContainsFunc(own, func(f ownFile) bool { return f.name == name })
		if !mine && !i.inData(path) {
			errs = append(errs, i.Owner.removeFile(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

func (i *Server) putOwn(dir string, f ownFile) error {
	path := filepath.Join(dir, f.name)
	if f.link != "" {
		return i.Owner.relink(path, f.link)
	}
	if err := i.Owner.writeFile(path, f.content, f.mode); err != nil || f.mode&0o070 == 0 {
		return err
	}
	err := i.Owner.regroup(path, f.group)
	if err == nil {
		err = i.Owner.setACL(path, accessACL, f.acl)
	}
	if err != nil {
		i.notice("the access rights of " + path + " were not carried over: " + err.Error())
	}
	return nil
}

// ownDir keeps the files of data that was set aside, until its successor has started with them. A copy that has never started has them
// too, perhaps mended since, so a further copy gets those: what they keep from starting is no fault of the data (Fault).
func (i *Server) ownDir() string { return filepath.Join(i.Conf, "own") }

// keepOwn takes them out of data about to be set aside.
func (i *Server) keepOwn(dir string) error {
	if exists(i.rewindMark()) && exists(i.ownDir()) {
		return nil // kept when the rewind began, which has mixed the files since
	}
	own, err := i.Owner.ownFiles(dir)
	if len(own) == 0 && err != nil {
		return err // what an earlier copy had may be better than nothing
	}
	return errors.Join(err, i.saveOwn(own))
}

func (i *Server) saveOwn(own []ownFile) error {
	tmp := i.ownDir() + ".new"
	if err := errors.Join(i.Owner.removeAll(tmp), i.Owner.makeDir(i.Conf, 0o750), i.Owner.makeDir(tmp, 0o700)); err != nil {
		return err
	}
	for _, f := range own {
		if err := i.putOwn(tmp, f); err != nil {
			return err
		}
	}
	return errors.Join(i.Owner.removeAll(i.ownDir()), i.Owner.rename(tmp, i.ownDir()))
}

// OwnFilesWork is called when the member has answered: its own files, put back into a copy, and the layout, need not be kept longer.
func (i *Server) OwnFilesWork() error {
	if !exists(i.ownDir()) && !exists(i.placesFile()) {
		return nil
	}
	return errors.Join(i.Owner.removeAll(i.ownDir()), i.Owner.removeFile(i.placesFile()), durable.SyncDir(i.Conf))
}
