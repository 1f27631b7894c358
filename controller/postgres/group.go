package postgres

import (
	"io/fs"
	"os"
	"path/filepath"
)

// groupMode is the mode of a data directory that the owner's group may read: PostgreSQL knows no third one.
const groupMode = 0o750

// fileMode is that of a file which we make in a data directory.
func fileMode(dir string) os.FileMode {
	if info, err := os.Stat(dir); err == nil && info.Mode()&groupMode == groupMode {
		return 0o640
	}
	return 0o600
}

// groupAccess gives a copy the group's access that the cluster's data or this host's had. pg_basebackup makes what is in the copy like
// the source's, but the directory itself is ours; its mode decides with which the server makes files.
func (i *Server) groupAccess(tmp string, here places, parts []spot) error {
	return i.Owner.asOwner(func() error {
		info, err := os.Stat(filepath.Join(tmp, "global"))
		if err != nil {
			return err
		}
		like := info.Mode().Perm()&groupMode == groupMode
		if !like && here.Mode&groupMode != groupMode {
			return nil
		}
		for _, dir := range append(temps(parts), tmp) {
			if like {
				break
			}
			if err := openTree(dir); err != nil {
				return err
			}
		}
		return os.Chmod(tmp, groupMode)
	})
}

func temps(parts []spot) (dirs []string) {
	for _, s := range parts {
		dirs = append(dirs, s.temp)
	}
	return dirs
}

// openTree lets the group read what PostgreSQL has made; keys and other files of a user keep their modes.
func openTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode() == fs.ModeDir|0o700:
			return os.Chmod(path, groupMode)
		case info.Mode() == 0o600 && !isOwn(e.Name()):
			return os.Chmod(path, 0o640)
		}
		return nil
	})
}
