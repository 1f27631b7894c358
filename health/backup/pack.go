package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// mostNamed bounds how many damaged files evidence names.
const mostNamed = 10

// packing is the one pass over a copy: it verifies all files against the manifest, and packs what it reads. After the first finding it only
// verifies.
type packing struct {
	*manifest
	w      *watch
	rate   int64
	out    *tar.Writer // nil: verify only
	buffer []byte
	found  []string
	spent  time.Duration // reading and verifying
}

// packed is a packed copy on the disk.
type packed struct {
	size     int64
	sha      string
	verified time.Duration // what reading and verifying took of the pass
}

// pack verifies a copy, and writes it to a file. Damage is a *finding.
func pack(ctx context.Context, t tree, m *manifest, to string, rate int64, nice int, w *watch) (p packed, err error) {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := &summedWriter{w: file, sum: sha256.New()}
	z, err := newFrames(out, nice)
	if err != nil {
		return p, err
	}
	a := &packing{manifest: m, w: w, rate: rate, out: tar.NewWriter(z)}
	if err = a.run(ctx, t); err == nil {
		err = a.out.Close()
	}
	if err = errors.Join(err, z.Close()); err != nil {
		return p, err
	}
	return packed{out.n, hex.EncodeToString(out.sum.Sum(nil)), a.spent}, nil
}

// verify checks a copy against its manifest. Damage is a *finding.
func verify(ctx context.Context, t tree, m *manifest, rate int64, w *watch) error {
	a := &packing{manifest: m, w: w, rate: rate}
	return a.run(ctx, t)
}

func (a *packing) run(ctx context.Context, t tree) error {
	a.buffer = make([]byte, 1<<20)
	a.w.total.Store(a.Bytes)
	if err := t.each(ctx, func(f treeFile) error { return a.visit(ctx, f) }); err != nil {
		return err
	}
	for _, name := range a.missing() {
		a.note(name, "is in the manifest and not in the copy")
	}
	return a.verdict()
}

func (a *packing) note(name, what string) {
	a.found = append(a.found, name+" "+what)
	a.out = nil
}

func (a *packing) verdict() error {
	if len(a.found) == 0 {
		return nil
	}
	return &finding{CheckManifest, listed(a.found)}
}

// The modes of a copy: those of PostgreSQL's own files.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

func (a *packing) visit(ctx context.Context, f treeFile) error {
	if f.dir {
		if a.out == nil || f.name == "." {
			return nil
		}
		return a.out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: f.name + "/", Mode: dirMode, Format: tar.FormatPAX})
	}
	v := a.verifier(f.name)
	if v == nil && !unlisted(f.name) {
		a.note(f.name, "is in the copy and not in the manifest")
		return nil
	}
	if f.name == manifestName || v == nil && a.out == nil {
		return nil
	}
	file, info, err := f.open()
	if err != nil {
		return err
	}
	defer file.Close()
	if v != nil && info.Size() != v.entry.size {
		v.n = info.Size()
		a.note(f.name, v.fault())
		return nil
	}
	if err := a.copy(ctx, f.name, file, info.Size(), v); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if v != nil {
		if fault := v.fault(); fault != "" {
			a.note(f.name, fault)
		}
	}
	return nil
}

// copy reads a file once, for its checksum and for the archive.
func (a *packing) copy(ctx context.Context, name string, file *os.File, size int64, v *verifier) error {
	if a.out != nil {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: fileMode, Format: tar.FormatPAX}
		if err := a.out.WriteHeader(header); err != nil {
			return err
		}
	}
	from := newPaced(ctx, file, a.w, a.rate)
	for left := size; left > 0; {
		began := time.Now()
		n, err := from.Read(a.buffer[:min(left, int64(len(a.buffer)))])
		if v != nil {
			_, _ = v.Write(a.buffer[:n]) // which cannot fail
		}
		a.spent += time.Since(began)
		if left -= int64(n); a.out != nil {
			if _, err := a.out.Write(a.buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) && left > 0 {
			return fmt.Errorf("it ends after %d bytes of %d", size-left, size)
		}
		if err != nil && left > 0 {
			return err
		}
	}
	return nil
}

// summedWriter counts and sums what passes.
type summedWriter struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (s *summedWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	return n, err
}
