package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// leastRoom is what a disk must have free, in bytes: two files of WAL of the usual size. PostgreSQL needs one to continue.
const leastRoom = 32 << 20

// Full names the folders whose disks have no room for PostgreSQL: the data directory, pg_wal where that is another disk, tablespaces.
// What the system keeps for root is no room.
func (i *Server) Full() (full []string, err error) {
	paths := []string{i.Data, filepath.Join(i.Data, walLink)}
	err = i.Owner.asOwner(func() error {
		spaces, err := os.ReadDir(filepath.Join(i.Data, "pg_tblspc"))
		for _, e := range spaces {
			paths = append(paths, filepath.Join(i.Data, "pg_tblspc", e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	seen := map[unix.Fsid]bool{}
	for _, path := range paths {
		var s unix.Statfs_t
		if wrong := unix.Statfs(path, &s); wrong != nil {
			if !errors.Is(wrong, unix.ENOENT) { // a folder may go away meanwhile
				err = errors.Join(err, &os.PathError{Op: "statfs", Path: path, Err: wrong})
			}
			continue
		}
		if free := int64(s.Bavail) * s.Bsize; !seen[s.Fsid] && free < leastRoom {
			full = append(full, fmt.Sprintf("%s (%d MB free)", path, free>>20))
		}
		seen[s.Fsid] = true
	}
	return full, err
}
