package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"mainstay/health/backup/target"
)

// packer packs chunks as they are read, in the reader's own goroutine. Its output is the same each time.
type packer struct {
	next func() ([]byte, error) // the next chunk, or io.EOF
	want string                 // SHA-256 of all chunks; empty: not known
	sum  hash.Hash
	out  bytes.Buffer
	enc  *zstd.Encoder
	done bool
}

func newPacker(next func() ([]byte, error), want string) (*packer, error) {
	p := &packer{next: next, want: want, sum: sha256.New()}
	var err error
	p.enc, err = zstd.NewWriter(&p.out, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	return p, err
}

// Read fails if the content is not the one that was wanted.
func (p *packer) Read(b []byte) (int, error) {
	for p.out.Len() == 0 && !p.done {
		chunk, err := p.next()
		if p.done = err == io.EOF; p.done {
			if p.want != "" && sumOf(p.sum) != p.want {
				return 0, errors.New("the segment has changed since it was checked")
			}
			err = p.enc.Close()
		} else if err == nil {
			p.sum.Write(chunk)
			_, err = p.enc.Write(chunk)
		}
		if err != nil {
			return 0, err
		}
	}
	if p.out.Len() == 0 {
		return 0, io.EOF
	}
	return p.out.Read(b)
}

// packed is a small content.
func packed(content []byte) (io.Reader, error) {
	left := [][]byte{content}
	return newPacker(func() ([]byte, error) {
		if len(left) == 0 {
			return nil, io.EOF
		}
		chunk := left[0]
		left = nil
		return chunk, nil
	}, "")
}

// unpacked reads an object's content. An error that is not the target's says that the object is damaged.
type unpacked struct {
	name string
	r    io.ReadCloser
	dec  *zstd.Decoder
}

func openPacked(ctx context.Context, t target.Target, name string) (*unpacked, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	u := &unpacked{name: name, r: r}
	if u.dec, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
		return nil, errors.Join(u.fail(err), r.Close())
	}
	return u, nil
}

func (u *unpacked) fail(err error) error {
	var of *target.Error
	if err == nil || err == io.EOF || errors.As(err, &of) {
		return err
	}
	return fmt.Errorf("%s: %w: it cannot be unpacked (%w)", u.name, target.ErrDamaged, err)
}

func (u *unpacked) Read(b []byte) (int, error) {
	n, err := u.dec.Read(b)
	return n, u.fail(err)
}

func (u *unpacked) Close() error {
	u.dec.Close()
	return u.r.Close()
}

// contentSum is the SHA-256 of an object's unpacked content.
func contentSum(ctx context.Context, t target.Target, name string) (string, error) {
	u, err := openPacked(ctx, t, name)
	if err != nil {
		return "", err
	}
	defer u.Close()
	h := sha256.New()
	if _, err := io.Copy(h, u); err != nil {
		return "", err
	}
	return sumOf(h), nil
}
