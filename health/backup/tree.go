package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// tree is a copy of a data directory, and of its tablespaces outside of it, by OID. Their links lead to these folders and nowhere else.
type tree struct {
	data   string
	spaces map[uint32]string
}

// spaceFolder is where the links of tablespaces are, below a data directory.
const spaceFolder = "pg_tblspc"

// treeIn is the tree that the run, or a chain, keeps in a folder.
func treeIn(dir string, spaces []Space) tree {
	t := tree{data: filepath.Join(dir, copyFolder), spaces: map[uint32]string{}}
	for _, s := range spaces {
		t.spaces[s.OID] = filepath.Join(dir, spacesFolder, strconv.FormatUint(uint64(s.OID), 10))
	}
	return t
}

// Folders of a copy: data and tablespaces; and, in a run, what a chain is combined into.
const (
	copyFolder   = "data"
	spacesFolder = "spaces"
	fullFolder   = "full"
)

// object of a tree: a file or a folder. Name is as in the manifest; path is below root.
type treeFile struct {
	name, path string
	root       *os.Root
	dir        bool
}

// link is the place of a tablespace's link, below the data directory.
func link(oid uint32) string { return fmt.Sprintf("%s/%d", spaceFolder, oid) }

// each visits all folders and files of the tree, folders first, in the order of names. It follows no link but the tree's own, and a link,
// or anything else that is neither file nor folder, is a finding.
func (t tree) each(ctx context.Context, visit func(treeFile) error) error {
	root, err := os.OpenRoot(t.data)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := walk(ctx, root, "", t.spaces, visit); err != nil {
		return err
	}
	for _, oid := range t.oids() {
		to, err := root.Readlink(link(oid))
		if err == nil && to != t.spaces[oid] {
			err = &finding{CheckManifest, fmt.Sprintf("the link of tablespace %d leads to %s, out of the copy", oid, to)}
		}
		if err != nil {
			return err
		}
		if err := walkSpace(ctx, t.spaces[oid], link(oid), visit); err != nil {
			return err
		}
	}
	return nil
}

func walkSpace(ctx context.Context, dir, name string, visit func(treeFile) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return walk(ctx, root, name, nil, visit)
}

func (t tree) oids() (all []uint32) {
	for oid := range t.spaces {
		all = append(all, oid)
	}
	slices.Sort(all)
	return all
}

func walk(ctx context.Context, root *os.Root, prefix string, links map[uint32]string, visit func(treeFile) error) error {
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		f := treeFile{name: path.Join(prefix, name), path: name, root: root, dir: e.IsDir()}
		switch {
		case e.Type()&fs.ModeSymlink != 0 && links[oidOf(name)] != "":
			return nil
		case !e.IsDir() && !e.Type().IsRegular():
			return &finding{CheckManifest, fmt.Sprintf("%s is neither a file nor a folder (%s)", f.name, e.Type())}
		}
		return visit(f)
	})
}

// oidOf reads the OID of a tablespace's link; 0 for another name.
func oidOf(name string) uint32 {
	digits, ok := strings.CutPrefix(name, spaceFolder+"/")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil {
		return 0
	}
	return uint32(n)
}

// open opens a file of the tree to read: never a pipe or a device for long.
func (f treeFile) open() (*os.File, fs.FileInfo, error) {
	file, err := f.root.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", f.name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// unlisted tells whether a file of a copy is in no manifest: the manifest itself, and WAL, which recovery verifies.
func unlisted(name string) bool { return name == manifestName || strings.HasPrefix(name, "pg_wal/") }

// readTreeManifest reads the manifest of a copy.
func readTreeManifest(data string) (*manifest, error) {
	root, err := os.OpenRoot(data)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, _, err := treeFile{name: manifestName, path: manifestName, root: root}.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readManifest(f)
}
