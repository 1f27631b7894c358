package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mainstay/controller/statefile"
	"mainstay/health/integrity/page"
)

// pageReads is how often a page of a running server is read until two reads are alike.
const pageReads = 20

// ErrNoPage is returned where a directory does not have a page, or it never reads alike.
var ErrNoPage = errors.New("the page is not there")

// Page reads one page from the disk of a directory whose server may run, twice alike. It heeds Options.Deadline. The errors are those of
// Scan, ErrNoPage, and the disk's.
func (s *Scanner) Page(ctx context.Context, o Options, b Block) (p []byte, l page.Layout, err error) {
	if err := s.begin(); err != nil {
		return nil, l, err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return nil, l, err
	}
	defer end()
	var failed error
	var before []byte
	for range pageReads {
		if err := ctx.Err(); err != nil {
			return nil, l, err
		}
		var now []byte
		if err := x.bounded(x.o.Deadline, "read a page", func() { now, failed = x.tree.page(b) }); err != nil || failed != nil {
			return nil, l, errors.Join(err, failed)
		}
		if before != nil && bytes.Equal(before, now) {
			return now, x.tree.layout, nil
		}
		before = now
	}
	return nil, l, fmt.Errorf("%s changes between any two reads: %w", b, ErrNoPage)
}

// page reads one page of a fork from the disk.
func (t *tree) page(b Block) ([]byte, error) {
	f, name, at, err := t.place(b)
	if err != nil {
		return nil, err
	}
	size := int64(t.layout.Size)
	from := at - at%sector
	whole := buffer(int((at + size - from + sector - 1) / sector * sector))
	n, err := t.fetch(f, name, whole, from)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && int64(n) < at-from+size:
		return nil, fmt.Errorf("%s: %w", b, ErrNoPage)
	case err != nil:
		return nil, err
	}
	return bytes.Clone(whole[at-from : at-from+size]), nil
}

// place is where a page lies.
func (t *tree) place(b Block) (f folder, name string, at int64, err error) {
	if b.Space != DefaultSpace && b.Space != GlobalSpace {
		if err := t.openSpace(b.Space); err != nil {
			return f, "", 0, err
		}
	}
	f, ok := t.folderOf(b.Space, b.Database)
	if !ok {
		return f, "", 0, fmt.Errorf("%s: %w", b, ErrNoPage)
	}
	at = int64(b.Number) * int64(t.layout.Size)
	return f, f.name(b.Node, b.Fork, uint32(at/t.segment)), at % t.segment, nil
}

// Stopped is the data directory of a server that does not run. Its calls block with the disk.
type Stopped struct{ tree *tree }

// OpenStopped opens a directory whose server does not run, and that nothing else changes. Close it.
func OpenStopped(dir string) (*Stopped, error) {
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	return &Stopped{t}, nil
}

// Close closes it.
func (s *Stopped) Close() error { return s.tree.close() }

// Layout is how its pages are made.
func (s *Stopped) Layout() page.Layout { return s.tree.layout }

// Page reads one page from the disk. ErrNoPage is returned where there is none.
func (s *Stopped) Page(b Block) ([]byte, error) { return s.tree.page(b) }

// Replace writes one page in its place, which must be there, to the disk, and reads it back from there.
func (s *Stopped) Replace(b Block, p []byte) error {
	f, name, at, err := s.tree.place(b)
	if err != nil {
		return err
	}
	if len(p) != s.tree.layout.Size {
		return fmt.Errorf("a page of %d bytes cannot stand in for one of %d", len(p), s.tree.layout.Size)
	}
	file, err := s.tree.openToWrite(f.root, f.dir+"/"+name)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < at+int64(len(p)) {
		err = fmt.Errorf("%s: %w", b, ErrNoPage)
	}
	if err == nil {
		_, err = file.WriteAt(p, at)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	back, err := s.tree.page(b)
	if err == nil && !bytes.Equal(back, p) {
		err = fmt.Errorf("%s: the disk returns another page than was written", b)
	}
	return err
}

func (t *tree) openToWrite(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if st := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || st.Uid != t.owner || st.Nlink != 1 {
			err = errForeign
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Fork reads all segments of a fork: their names, and what is in them. None is no error.
func (s *Stopped) Fork(b Block, limit int64) (names []string, content [][]byte, err error) {
	for b.Number = 0; ; b.Number += uint32(s.tree.segment / int64(s.tree.layout.Size)) {
		f, name, _, err := s.tree.place(b)
		if err != nil {
			return nil, nil, err
		}
		file, size, err := s.tree.open(f.root, f.dir+"/"+name, 0)
		if errors.Is(err, fs.ErrNotExist) {
			return names, content, nil
		} else if err != nil {
			return nil, nil, err
		}
		if limit -= size; limit < 0 {
			return nil, nil, errors.Join(fmt.Errorf("%s is larger than what is kept of it", name), file.Close())
		}
		whole := make([]byte, size)
		_, err = readAt(file, whole, 0)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, nil, err
		}
		names, content = append(names, f.path+"/"+name), append(content, whole)
	}
}

// RemoveFork removes all segments of a fork, the last one first, from the disk. It may be gone already.
func (s *Stopped) RemoveFork(b Block, segments int) error {
	if b.Fork == page.Main || b.Fork == page.Init {
		return fmt.Errorf("the %s fork cannot be made anew", b.Fork)
	}
	for n := segments - 1; n >= 0; n-- {
		b.Number = uint32(int64(n) * s.tree.segment / int64(s.tree.layout.Size))
		f, name, _, err := s.tree.place(b)
		if err != nil {
			return err
		}
		if err := f.root.Remove(f.dir + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := statefile.SyncDir(filepath.Join(f.root.Name(), f.dir)); err != nil {
			return err
		}
	}
	return nil
}
