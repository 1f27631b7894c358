package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"mainstay/controller/osuser"
)

// unlocked records the files of the data that a rewind has made writable, with the modes that they get back. It names the data, since
// Conf may outlive it.
type unlocked struct {
	Data  string                 `json:"data"`
	Modes map[string]os.FileMode `json:"modes"` // by path below the data
}

func (i *Server) unlockedFile() string { return filepath.Join(i.Conf, "unlocked") }

// asOwner runs f with the owner's rights, even if only we can change the folders that it works in.
func (o Owner) asOwner(f func() error) error { return osuser.User{UID: o.UID, GID: o.GID}.Do(f) }

// unlock makes writable what pg_rewind could not open for writing, a key of mode 0400 above all: it finds that out half way, and the
// data is lost. The modes are on disk before the first one changes; lock restores them. Files in own, which are put back whole, become
// the owner's; any other that belongs to another user is refused, before anything is touched.
func (i *Server) unlock(own []ownFile) error {
	u := unlocked{i.Data, map[string]os.FileMode{}}
	var taken []ownFile
	err := i.Owner.asOwner(func() error {
		return i.eachFile(func(name string, info fs.FileInfo) error {
			if opens(filepath.Join(i.Data, name)) {
				return nil
			}
			mine := slices.IndexFunc(own, func(f ownFile) bool { return f.name == name })
			switch {
			case info.Sys().(*syscall.Stat_t).Uid == i.Owner.UID && info.Mode()&0o200 == 0:
				u.Modes[name] = info.Mode().Perm()
			case mine >= 0:
				taken = append(taken, own[mine])
			default:
				return fmt.Errorf(
					"pg_rewind could not write %s, which would ruin the data midway: let %s write it (chown %s), or move it out of the data directory",
					filepath.Join(i.Data, name), i.Owner.Name, i.Owner.Name)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, f := range taken {
		if err := i.Owner.writeFile(filepath.Join(i.Data, f.name), f.content, 0o600); err != nil {
			return err
		}
	}
	if len(u.Modes) == 0 {
		return nil
	}
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := i.Owner.writeFile(i.unlockedFile(), text, 0o600); err != nil {
		return err
	}
	return i.Owner.asOwner(func() error {
		var errs []error
		for name, mode := range u.Modes {
			errs = append(errs, os.Chmod(filepath.Join(i.Data, name), mode|0o200))
		}
		return errors.Join(errs...)
	})
}

// lock gives back the modes that an unlock has changed, in this run of the agent or in an earlier one that did not come so far.
func (i *Server) lock() error {
	raw, err := i.Owner.readIfThere(i.unlockedFile())
	if err != nil || raw == "" {
		return err
	}
	var u unlocked
	if err := json.Unmarshal([]byte(raw), &u); err != nil {
		return fmt.Errorf("%s is damaged: %w; remove it, and check the modes of keys in %s", i.unlockedFile(), err, i.Data)
	}
	err = i.Owner.asOwner(func() error {
		var errs []error
		for name, mode := range u.Modes {
			path := filepath.Join(i.Data, name)
			if info, err := os.Lstat(path); u.Data == i.Data && filepath.IsLocal(name) && err == nil && info.Mode() == mode|0o200 {
				errs = append(errs, os.Chmod(path, mode))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	return i.Owner.removeFile(i.unlockedFile())
}

// eachFile gives see the regular files of the data, those in tablespaces and behind a linked pg_wal too, by their path below it.
func (i *Server) eachFile(see func(name string, info fs.FileInfo) error) error {
	roots := []string{i.Data, i.wal().dir()}
	spaces, err := filepath.Glob(filepath.Join(i.Data, "pg_tblspc", "*"))
	if err != nil {
		return err
	}
	for n, root := range append(roots, spaces...) {
		if info, err := os.Lstat(root); n > 0 && (err != nil || info.Mode()&fs.ModeSymlink == 0) {
			continue // seen in the data already
		}
		err := filepath.WalkDir(root+"/", func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // a folder that cannot be read ends pg_rewind's trial run already
			}
			info, err := e.Info()
			if err != nil {
				return nil
			}
			name, err := filepath.Rel(i.Data, path)
			if err != nil {
				return err
			}
			return see(name, info)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// opens tells whether a file of the data can be opened for writing; called with the owner's rights.
func opens(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
