package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mainstay/controller/durable"
)

const (
	ourMark   = "mainstay-"        // begins every name of ours in a folder that a link of the data leads to
	asideMark = ourMark + "aside-" // what a repair has set aside, until an operator drops it
	lostFound = "lost+found"       // of a file system whose root is such a folder
	walLink   = "pg_wal"           // on a disk of its own, where it is a link
	spaceDir  = "pg_tblspc"        // the folder of the links to tablespaces
	layout    = "layout.json"      // in Conf: how data that was set aside was laid out, for the next copy
)

// Part is a part of the data outside of its directory, to which a link in that leads: pg_wal on a disk of its own, or a tablespace.
type Part struct {
	Link  string // below the data directory
	From  string // the folder that it leads to, which others may use as well
	Place string // where what is the data's is set aside, on the same file system
}

// Outlying lists the parts of the data, and where each would be set aside under a suffix that begins with "mainstay-aside-": beside
// its folder, or inside where the folder above is another file system or may not be changed.
func (i *Server) Outlying(suffix string) ([]Part, error) {
	links, err := outliers(i.Data)
	if err != nil {
		return nil, err
	}
	var parts []Part
	for _, l := range links {
		names, err := i.contents(l.Link, l.At)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
			continue // a disk that is gone: nothing is left to keep
		}
		if err != nil {
			return nil, err
		}
		place, err := i.Owner.spare(l.At, suffix)
		if err != nil {
			return nil, err
		}
		parts = append(parts, Part{l.Link, l.At, place})
	}
	return parts, nil
}

// Contents lists the paths in a part's folder that are the data's.
func (i *Server) Contents(p Part) (paths []string, err error) {
	names, err := i.contents(p.Link, p.From)
	for _, n := range names {
		paths = append(paths, filepath.Join(p.From, n))
	}
	return paths, err
}

// FinishAside moves the parts of data that was set aside out of the way of its successor, and lets its links follow; what was done
// already is left. It comes after the rename of the data itself: until then the data is whole where it was, and from then on nothing
// else leads to the parts.
func (i *Server) FinishAside(ctx context.Context, data string, parts []Part) (err error) {
	defer i.wrap("set aside the parts outside of the data directory of", &err)
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if at, err := filepath.EvalSymlinks(filepath.Join(data, p.Link)); err != nil || at != p.From {
			continue
		}
		if err := i.Owner.makePlace(p.From, p.Place); err != nil {
			return err
		}
		if err := i.move(p.Link, p.From, p.Place); err != nil {
			return err
		}
		if err := i.Owner.relink(filepath.Join(data, p.Link), p.Place); err != nil {
			return err
		}
	}
	return nil
}

// outlier is a link of a data directory: what it says, and where it leads ("" for nowhere).
type outlier struct{ Link, Text, At string }

// outliers reads the links of a data directory, in a fixed order.
func outliers(data string) (all []outlier, err error) {
	paths, err := filepath.Glob(filepath.Join(data, spaceDir, "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range append([]string{filepath.Join(data, walLink)}, paths...) {
		text, err := os.Readlink(path)
		if err != nil {
			continue // a folder of the data's own
		}
		at, err := filepath.EvalSymlinks(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		link, err := filepath.Rel(data, path)
		if err != nil {
			return nil, err
		}
		all = append(all, outlier{link, text, at})
	}
	return all, nil
}

// contents names what in a folder belongs to the data whose link leads there: all of a folder of WAL but what is ours, and of a
// tablespace's the folder of our version.
func (i *Server) contents(link, dir string) (names []string, err error) {
	err = i.Owner.asOwner(func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			ours := strings.HasPrefix(e.Name(), "PG_"+strconv.Itoa(i.Binaries.Major)+"_")
			if link == walLink {
				ours = !strings.HasPrefix(e.Name(), ourMark) && e.Name() != lostFound
			}
			if ours {
				names = append(names, e.Name())
			}
		}
		return err
	})
	return names, err
}

// move moves the contents of one folder into another on the same file system. What is cut short is continued by another call. It has
// the owner's rights only: a link of the owner's has named the folders.
func (i *Server) move(link, from, to string) error {
	names, err := i.contents(link, from)
	if err != nil {
		return err
	}
	return i.Owner.asOwner(func() error {
		for _, n := range names {
			if err := os.Rename(filepath.Join(from, n), filepath.Join(to, n)); err != nil {
				return err
			}
		}
		return errors.Join(durable.SyncDir(to), durable.SyncDir(from))
	})
}

// relink replaces a link durably; a crash leaves the old one or the new.
func (o Owner) relink(path, to string) error {
	return o.asOwner(func() error {
		tmp := path + ".new"
		if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(to, tmp); err != nil {
			return err
		}
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
		return durable.SyncDir(filepath.Dir(path))
	})
}

// spare finds a path on the file system of a folder of the owner's, beside it or else inside, to which the owner can move what lies in
// the folder. It is tried, for a mount or a quota shows no other way, and nothing is left of the trial.
func (o Owner) spare(dir, suffix string) (string, error) {
	beside, inside := dir+"."+suffix, filepath.Join(dir, suffix)
	for _, place := range []string{beside, inside} {
		if exists(place) {
			return place, nil // of an attempt that was cut short
		}
	}
	if o.fits(dir, beside) == nil {
		return beside, nil
	}
	return inside, o.fits(dir, inside)
}

// around runs f, which works on a place beside or inside a folder that a link of the owner's has named: with the owner's rights, but
// beside a folder of the owner's with ours where only root can change what is there.
func (o Owner) around(dir, place string, f func() error) error {
	own, err := OwnerOf(dir)
	if err == nil && own.UID == o.UID && filepath.Dir(place) != dir {
		return o.in(filepath.Dir(place), f)
	}
	return o.asOwner(f)
}

// makePlace makes a folder of the owner's there; an existing one is left as it is.
func (o Owner) makePlace(dir, place string) error {
	return o.around(dir, place, func() error {
		if err := os.Mkdir(place, 0o700); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return nil
			}
			return err
		}
		return o.give(place)
	})
}

func (o Owner) removePlace(dir, place string) error {
	return o.around(dir, place, func() error { return os.RemoveAll(place) })
}

func (o Owner) fits(dir, place string) (err error) {
	if err := o.makePlace(dir, place); err != nil {
		return o.notWritable(dir, err)
	}
	defer func() { err = errors.Join(err, o.removePlace(dir, place)) }()
	return o.asOwner(func() error {
		trial, err := os.MkdirTemp(dir, ourMark+"*")
		if err != nil {
			return o.notWritable(dir, err)
		}
		if err := os.Rename(trial, filepath.Join(place, "trial")); err != nil {
			return errors.Join(err, os.Remove(trial))
		}
		return nil
	})
}

func (o Owner) notWritable(dir string, err error) error {
	return fmt.Errorf("%s cannot be written by %s: %w; give it the folder (chown %s %s), or check that disk", dir, o.Name, err,
		o.Name, dir)
}
