package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"mainstay/controller/postgres"
)

// mostWindow bounds the memory that a packed copy may ask for; pack uses frameSize.
const mostWindow = 64 << 20

// unpacking writes a packed copy to the disk, and verifies it in the same pass: each file against the manifest, and the whole against the
// SHA-256 of its record.
type unpacking struct {
	*manifest
	owner postgres.Owner
	roots map[uint32]*os.Root // of tablespaces; 0: the data directory
	dirs  []place             // to give to the owner at the end
	found []string
}

// place is a path below one of the roots.
type place struct {
	root *os.Root
	path string
}

// unpack writes what r gives to a tree whose folders are not there yet. Damage is a *finding. The tree belongs to this process until all is
// there, so that no other user can put a link into its way.
func unpack(ctx context.Context, r io.Reader, want packed, m *manifest, t tree, owner postgres.Owner, w *watch) (err error) {
	u := &unpacking{manifest: m, owner: owner, roots: map[uint32]*os.Root{}}
	defer func() {
		for _, root := range u.roots {
			err = errors.Join(err, root.Close())
		}
	}()
	if err := u.makeRoots(t); err != nil {
		return err
	}
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(mostWindow))
	if err != nil {
		return err
	}
	reading := u.files(ctx, tar.NewReader(z), w)
	if reading == nil {
		_, reading = io.Copy(io.Discard, z) // what is behind the archive's end
	}
	z.Close() // nothing else reads from here on
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.sha {
		return &finding{CheckManifest, fmt.Sprintf("the packed copy has the SHA-256 %s in the place of %s", got, want.sha)}
	}
	if reading != nil {
		return reading
	}
	return u.finish(t)
}

func (u *unpacking) makeRoots(t tree) error {
	for oid, dir := range t.spaces {
		if err := u.makeRoot(oid, dir); err != nil {
			return err
		}
	}
	return u.makeRoot(0, t.data)
}

func (u *unpacking) makeRoot(oid uint32, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) { // a restore may be given an empty one
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	u.roots[oid] = root
	return root.Chmod(".", dirMode)
}

func (u *unpacking) files(ctx context.Context, in *tar.Reader, w *watch) error {
	buffer := make([]byte, 1<<20)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		w.touch()
		if err := u.file(h, in, buffer); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func (u *unpacking) file(h *tar.Header, in io.Reader, buffer []byte) error {
	name := path.Clean(h.Name)
	if !filepath.IsLocal(name) {
		return errors.New("the name leads out of the copy")
	}
	at := u.place(name)
	switch h.Typeflag {
	case tar.TypeDir:
		if at.path == "." {
			return nil
		}
		u.dirs = append(u.dirs, at)
		return at.root.MkdirAll(at.path, dirMode)
	case tar.TypeReg:
	default:
		return fmt.Errorf("the type %c of an entry is not known here", h.Typeflag)
	}
	f, err := at.root.OpenFile(at.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	to := io.Writer(f)
	v := u.verifier(name)
	if v != nil {
		to = io.MultiWriter(f, v)
	}
	_, err = io.CopyBuffer(to, in, buffer)
	if err = errors.Join(err, giveFile(f, u.owner), f.Close()); err != nil {
		return err
	}
	switch {
	case v == nil && !unlisted(name):
		u.found = append(u.found, name+" is in the copy and not in the manifest")
	case v != nil && v.fault() != "":
		u.found = append(u.found, name+" "+v.fault())
	}
	return nil
}

// place is where a name of the manifest belongs.
func (u *unpacking) place(name string) place {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 2 || parts[0] != spaceFolder {
		return place{u.roots[0], name}
	}
	root, there := u.roots[oidOf(parts[0]+"/"+parts[1])]
	switch {
	case !there: // a tablespace within the data directory
		return place{u.roots[0], name}
	case len(parts) == 2:
		return place{root, "."}
	}
	return place{root, parts[2]}
}

// finish verifies that nothing is missing, makes the links, and gives everything to the owner, the data directory last.
func (u *unpacking) finish(t tree) error {
	for _, name := range u.missing() {
		u.found = append(u.found, name+" is in the manifest and not in the copy")
	}
	if len(u.found) > 0 {
		return &finding{CheckManifest, listed(u.found)}
	}
	data := u.roots[0]
	if err := data.MkdirAll(spaceFolder, dirMode); err != nil {
		return err
	}
	for _, oid := range t.oids() {
		if err := data.Symlink(t.spaces[oid], link(oid)); err != nil {
			return err
		}
		u.dirs = append(u.dirs, place{data, link(oid)}, place{u.roots[oid], "."})
	}
	u.dirs = append(u.dirs, place{data, spaceFolder}, place{data, "."})
	if os.Geteuid() != 0 {
		return nil
	}
	for _, d := range u.dirs {
		if err := d.root.Lchown(d.path, int(u.owner.UID), int(u.owner.GID)); err != nil {
			return err
		}
	}
	return nil
}
