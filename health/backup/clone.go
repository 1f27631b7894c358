package backup

import (
	"context"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"mainstay/controller/postgres"
)

// cloneTree makes a tree whose files share their blocks with another one's. Like unpack it gives all to the owner at the end.
func cloneTree(ctx context.Context, from, to tree, owner postgres.Owner, w *watch) (err error) {
	u := &unpacking{manifest: &manifest{}, owner: owner, roots: map[uint32]*os.Root{}}
	defer func() {
		for _, root := range u.roots {
			err = errors.Join(err, root.Close())
		}
	}()
	if err := u.makeRoots(to); err != nil {
		return err
	}
	err = from.each(ctx, func(f treeFile) error {
		w.touch()
		at := u.place(f.name)
		if f.dir {
			if at.path == "." {
				return nil
			}
			u.dirs = append(u.dirs, at)
			return at.root.MkdirAll(at.path, dirMode)
		}
		return u.clone(f, at)
	})
	if err != nil {
		return err
	}
	return u.finish(to)
}

func (u *unpacking) clone(f treeFile, at place) error {
	source, _, err := f.open()
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := at.root.OpenFile(at.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlFileClone(int(file.Fd()), int(source.Fd())), giveFile(file, u.owner), file.Close())
}
