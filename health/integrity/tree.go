package integrity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/integrity/page"
)

// tree opens the files of one data directory, and nothing else. Its calls may hang with the disk: each is made inside Scanner.bounded.
type tree struct {
	data    *os.Root
	spaces  map[uint32]*os.Root // of this version's directory in each further tablespace
	owner   uint32              // the user whose files they are
	version string              // the name of those directories begins with PG_ and ends so
	layout  page.Layout
	segment int64 // bytes
	redo    platform.LSN
}

// openTree reads the control file, on which all else rests.
func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t := &tree{data: root, spaces: map[uint32]*os.Root{}}
	if err := t.begin(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *tree) begin() error {
	info, err := t.data.Stat(".")
	if err != nil {
		return err
	}
	t.owner = info.Sys().(*syscall.Stat_t).Uid
	c, err := t.control()
	if err != nil {
		return fmt.Errorf("global/pg_control: %w", err)
	}
	t.layout = page.Layout{Size: int(c.PageSize), Checksums: c.Checksums}
	t.segment = int64(c.PageSize * c.RelationSegment)
	if !t.layout.Known() || c.RelationSegment == 0 || c.RelationSegment >= 1<<31 {
		return fmt.Errorf("global/pg_control names pages of %d bytes and segments of %d pages: %w", c.PageSize, c.RelationSegment,
			ondisk.ErrLayout)
	}
	t.version, t.redo = "_"+c.CatalogueVersion, c.Redo
	return nil
}

// controlReads: a server overwrites its control file in place, so that a read may meet half of a write.
const controlReads = 20

func (t *tree) control() (c ondisk.Control, err error) {
	for range controlReads {
		var f *os.File
		if f, _, err = t.open(t.data, "global/pg_control", 0); err != nil {
			return c, err
		}
		content := make([]byte, ondisk.ControlFileSize+1)
		n, readErr := io.ReadFull(f, content)
		if err := f.Close(); err != nil || readErr != nil && !errors.Is(readErr, io.ErrUnexpectedEOF) {
			return c, errors.Join(readErr, err)
		}
		if c, err = ondisk.ParseControl(content[:n]); !errors.Is(err, ondisk.ErrChecksum) {
			break
		}
	}
	return c, err
}

func (t *tree) close() error {
	errs := []error{t.data.Close()}
	for _, s := range t.spaces {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// errForeign is returned for what is no regular file of the owner's.
var errForeign = errors.New("it is no regular file of the data directory's owner")

// open opens a file for reading, and never a pipe or a device for long. The file may be gone (fs.ErrNotExist).
func (t *tree) open(root *os.Root, path string, flags int) (*os.File, int64, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|flags, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Uid != t.owner) {
		err = errForeign
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// folder is where the files of one tablespace and database are.
type folder struct {
	space, database uint32
	root            *os.Root
	dir             string // below root
	path            string // below the data directory
}

// folderOf is where a relation's files are; ok is false for a tablespace that is not there.
func (t *tree) folderOf(space, database uint32) (f folder, ok bool) {
	f = folder{space: space, database: database, root: t.data, dir: "global"}
	switch space {
	case GlobalSpace:
	case DefaultSpace:
		f.dir = fmt.Sprintf("base/%d", database)
	default:
		f.dir = fmt.Sprint(database)
		if f.root, ok = t.spaces[space]; !ok {
			return f, false
		}
		f.path = fmt.Sprintf("pg_tblspc/%d/%s/%d", space, filepath.Base(f.root.Name()), database)
		return f, true
	}
	f.path = f.dir
	return f, true
}

// name is how a file of a fork is called.
func (f folder) name(node uint32, fork page.Fork, segment uint32) string {
	s := fmt.Sprint(node)
	if fork != page.Main {
		s += "_" + fork.String()
	}
	if segment > 0 {
		s += fmt.Sprintf(".%d", segment)
	}
	return s
}

// folders lists the databases of all tablespaces. What cannot be read is left out and counted.
func (t *tree) folders(c *Catalogue) (all []folder) {
	global, _ := t.folderOf(GlobalSpace, 0)
	all = append(all, global)
	for _, database := range t.numbers(c, t.data, "base", "base") {
		f, _ := t.folderOf(DefaultSpace, database)
		all = append(all, f)
	}
	for _, space := range t.numbers(c, t.data, "pg_tblspc", "pg_tblspc") {
		if err := t.openSpace(space); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				c.skip(fmt.Sprintf("pg_tblspc/%d", space), 0, Unopened, err.Error())
			}
			continue
		}
		for _, database := range t.numbers(c, t.spaces[space], ".", fmt.Sprintf("pg_tblspc/%d", space)) {
			f, _ := t.folderOf(space, database)
			all = append(all, f)
		}
	}
	return all
}

// openSpace opens this version's directory of a tablespace. pg_tblspc has the only links that are followed.
func (t *tree) openSpace(space uint32) error {
	if t.spaces[space] != nil {
		return nil
	}
	outside, err := os.OpenRoot(filepath.Join(t.data.Name(), "pg_tblspc", fmt.Sprint(space)))
	if err != nil {
		return err
	}
	defer outside.Close()
	names, err := list(outside, ".")
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "PG_") && strings.HasSuffix(n, t.version) {
			root, err := outside.OpenRoot(n)
			if err == nil {
				t.spaces[space] = root
			}
			return err
		}
	}
	return fs.ErrNotExist // no relation is in it
}

// numbers are the subdirectories whose names are OIDs.
func (t *tree) numbers(c *Catalogue, root *os.Root, dir, path string) (all []uint32) {
	names, err := list(root, dir)
	if err != nil {
		c.skip(path, 0, Unopened, err.Error())
	}
	for _, n := range names {
		if number, ok := oid(n); ok {
			all = append(all, number)
		}
	}
	return all
}

func list(root *os.Root, dir string) ([]string, error) {
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// listing is a folder whose files are being listed, a few at a time: databases have hundreds of thousands, each of which costs a call.
type listing struct {
	folder
	opened *os.Root // nil before the first
	all    *os.File
}

const listedAtOnce = 1000

// files adds the next files of a folder; more is false after the last.
func (t *tree) files(c *Catalogue, f *listing) (more bool) {
	names, err := f.next()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) {
			c.skip(f.path, 0, Unopened, err.Error())
		}
		f.close()
		return false
	}
	for _, name := range names {
		node, fork, segment, known, reason := named(name)
		if !known && reason == "" {
			continue
		}
		path := f.path + "/" + name
		info, err := f.opened.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			c.skip(path, 0, Unopened, err.Error())
		case info.IsDir() && reason != "":
		case !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Uid != t.owner:
			c.skip(path, 0, Foreign, errForeign.Error())
		case reason != "":
			c.skip(path, info.Size(), reason, "")
		default:
			c.Files = append(c.Files, File{Relation{f.space, f.database, node}, fork, segment, info.Size(), path})
		}
	}
	return true
}

func (f *listing) next() (names []string, err error) {
	if f.opened == nil {
		if f.opened, err = f.root.OpenRoot(f.dir); err != nil {
			return nil, err
		}
		if f.all, err = f.opened.Open("."); err != nil {
			return nil, err
		}
	}
	return f.all.Readdirnames(listedAtOnce)
}

func (f *listing) close() {
	if f.opened != nil {
		f.opened.Close()
		f.all.Close() // nil if it could not be opened
	}
}
