package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// removeTree removes a folder, or all of it but one file. It ends early with ctx, because a large folder takes long. The folder's owner
// may replace folders by links meanwhile: such links are removed, or end the removal, and nothing outside is changed.
func removeTree(ctx context.Context, path, but string) error {
	above, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return gone(err)
	}
	defer above.Close()
	name := filepath.Base(path)
	info, err := above.Lstat(name)
	if err != nil {
		return gone(err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder: inspect it and remove it by hand", path)
	}
	if err := empty(ctx, above, name, but); err != nil || but != "" {
		return err
	}
	return gone(above.Remove(name))
}

// empty removes the content of a folder, but one file. Each folder is opened from its parent, never through a link to the outside.
func empty(ctx context.Context, above *os.Root, name, but string) error {
	dir, err := above.OpenRoot(name)
	if err != nil {
		return gone(err)
	}
	defer dir.Close()
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Name() == but {
			continue
		}
		if e.IsDir() {
			if err := empty(ctx, dir, e.Name(), ""); err != nil {
				return err
			}
		}
		if err := gone(dir.Remove(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// gone ignores the error that a file does not exist.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sizeOf adds up the files below a path.
func sizeOf(ctx context.Context, path string) (size int64, err error) {
	err = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		size += info.Size()
		return ctx.Err()
	})
	return size, err
}
