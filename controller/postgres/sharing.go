package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// sharing is the access of others to a data directory on this host: its group, and its POSIX ACLs (acl(5)). PostgreSQL allows both, as
// long as the mode is 0700 or 0750. The zero sharing is that of data which is not there.
type sharing struct {
	Group   *uint32 `json:"group,omitempty"`
	Within  bool    `json:"within,omitempty"` // what lies in it is that group's too
	SetGID  bool    `json:"setgid,omitempty"`
	ACL     []byte  `json:"acl,omitempty"`
	Default []byte  `json:"default,omitempty"`
	// Folders are those in it that have ACLs, by their paths below it: PostgreSQL's own uppermost ones, and all of the user's.
	Folders map[string]aclOf `json:"folders,omitempty"`
}

// aclOf is a folder's ACLs, each nil for none.
type aclOf struct {
	Access  []byte `json:"access,omitempty"`
	Default []byte `json:"default,omitempty"`
}

// folderACLs reads those of the folders within a data directory. Most of PostgreSQL's are one for each database: they inherit.
func (o Owner) folderACLs(data string) (map[string]aclOf, error) {
	found := map[string]aclOf{}
	look := func(path string, e fs.DirEntry, err error) error {
		name, wrong := filepath.Rel(data, path)
		if err != nil || wrong != nil || !e.IsDir() || name == "." {
			return errors.Join(err, wrong)
		}
		var a aclOf
		if a.Access, err = readACL(path, accessACL); err != nil {
			return err
		}
		if a.Default, err = readACL(path, defaultACL); err != nil {
			return err
		}
		if len(a.Access)+len(a.Default) > 0 {
			found[name] = a
		}
		if serversOwn(name) {
			return fs.SkipDir
		}
		return nil
	}
	err := o.asOwner(func() error { return filepath.WalkDir(data+"/", look) })
	return found, err
}

// shareFolders gives a copy's folders the ACLs that those of this host had. The log's folder is made for it; others that the source has
// not are not.
func (o Owner) shareFolders(tmp, log string, folders map[string]aclOf) (err error) {
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		path := filepath.Join(tmp, name)
		if !filepath.IsLocal(name) {
			continue
		}
		if name == log && !exists(path) {
			err = errors.Join(err, o.asOwner(func() error { return os.MkdirAll(path, 0o700) }))
		}
		if info, wrong := os.Lstat(path); wrong != nil || !info.IsDir() {
			continue
		}
		a := folders[name]
		err = errors.Join(err, o.setACL(path, defaultACL, a.Default), o.setACL(path, accessACL, a.Access))
	}
	return err
}

// Extended attributes that hold ACLs (include/uapi/linux/xattr.h).
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

func (i *Server) sharingOf() (s sharing, err error) {
	info, err := os.Stat(i.Data)
	if err != nil {
		return s, err
	}
	group := info.Sys().(*syscall.Stat_t).Gid
	s.Group, s.SetGID = &group, info.Mode()&fs.ModeSetgid != 0
	if within, err := os.Stat(filepath.Join(i.Data, "global")); err == nil {
		s.Within = within.Sys().(*syscall.Stat_t).Gid == group
	}
	data := real(i.Data)
	s.ACL, err = i.Owner.acl(data, accessACL)
	if err == nil {
		s.Default, err = i.Owner.acl(data, defaultACL)
	}
	if err == nil {
		s.Folders, err = i.Owner.folderACLs(data)
	}
	return s, err
}

// beginSharing prepares the empty directory of a copy: what is made in it inherits from it.
func (i *Server) beginSharing(tmp string, s sharing) {
	if s.Group == nil {
		return
	}
	err := i.Owner.setACL(tmp, defaultACL, s.Default)
	if s.SetGID {
		err = errors.Join(err, i.Owner.regroup(tmp, *s.Group), i.Owner.asOwner(func() error { return os.Chmod(tmp, fs.ModeSetgid|0o700) }))
	}
	i.notShared(err)
}

// share gives a whole copy this host's group and ACL.
func (i *Server) share(tmp, log string, s sharing) {
	if s.Group == nil {
		return
	}
	regroup := func() error {
		if !s.Within {
			return i.Owner.regroup(tmp, *s.Group)
		}
		return filepath.WalkDir(tmp, func(path string, e fs.DirEntry, err error) error {
			if err != nil || isOwn(e.Name()) || !e.IsDir() && !e.Type().IsRegular() {
				return err
			}
			return i.Owner.regroup(path, *s.Group)
		})
	}
	err := errors.Join(regroup(), i.Owner.setACL(tmp, accessACL, s.ACL), i.Owner.shareFolders(tmp, log, s.Folders))
	if s.SetGID { // a change of mode or ACL by a user who is not in the group takes that bit away
		err = errors.Join(err, i.Owner.withFile(tmp, func(f *os.File) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return f.Chmod(info.Mode().Perm() | fs.ModeSetgid)
		}))
	}
	i.notShared(err)
}

func (i *Server) notShared(err error) {
	if err != nil {
		i.notice("the group and ACLs of " + i.Data + " were not carried over to the copy: " + err.Error())
	}
}

// acl reads an ACL, nil for none.
func (o Owner) acl(path, name string) (acl []byte, err error) {
	err = o.asOwner(func() error {
		acl, err = readACL(path, name)
		return err
	})
	return acl, err
}

func readACL(path, name string) ([]byte, error) {
	acl := make([]byte, 64<<10) // XATTR_SIZE_MAX
	n, err := unix.Lgetxattr(path, name, acl)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "getxattr " + name, Path: path, Err: err}
	}
	return append([]byte(nil), acl[:n]...), nil
}

func (o Owner) setACL(path, name string, acl []byte) error {
	if len(acl) == 0 {
		return nil
	}
	return o.asOwner(func() error {
		if err := unix.Lsetxattr(path, name, acl, 0); err != nil {
			return &os.PathError{Op: "setxattr " + name, Path: path, Err: err}
		}
		return nil
	})
}

// regroup gives a file or folder of the owner's to a group, of which the owner need not be.
func (o Owner) regroup(path string, group uint32) error {
	return o.withFile(path, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil || info.Sys().(*syscall.Stat_t).Gid == group {
			return err
		}
		return f.Chown(-1, int(group))
	})
}

// withFile runs f with our rights on a file or folder that was opened with the owner's, and is the owner's. No link is followed.
func (o Owner) withFile(path string, f func(*os.File) error) error {
	var file *os.File
	err := o.asOwner(func() (err error) {
		file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && info.Sys().(*syscall.Stat_t).Uid != o.UID {
		err = fmt.Errorf("%s does not belong to %s", path, o.Name)
	}
	if err != nil {
		return err
	}
	return f(file)
}
