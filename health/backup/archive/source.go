package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/fencing/program"
)

// Source is the pg_wal of one member, of a running server or a stopped one.
type Source struct {
	Data   string // data directory
	Format ondisk.Format
	// From is where the archive of a target begins that holds nothing of the timeline's line; 0 is with the oldest segment in pg_wal.
	From platform.LSN
	// Pace is called with the bytes of each read before it is made; nil: never. Its error ends the step.
	Pace func(ctx context.Context, bytes int) error
}

// readAhead is how much of a segment is read at once, in bytes: a multiple of every size of a page, and no more than the smallest segment.
const readAhead = 128 << 10

// mostHistory is the most that is read of a history file, in bytes.
const mostHistory = 1 << 20

// inWAL makes calls in pg_wal, apart: its disk may hang. No link in it is followed to outside.
func inWAL[T any](ctx context.Context, s *Source, f func(*os.Root) (T, error)) (T, error) {
	return program.Attempt(ctx, func() (T, error) {
		root, err := os.OpenRoot(filepath.Join(s.Data, "pg_wal"))
		if err != nil {
			var none T
			return none, err
		}
		defer root.Close()
		return f(root)
	})
}

// list names the segments and histories in pg_wal.
func (s *Source) list(ctx context.Context) (contents, error) {
	return inWAL(ctx, s, func(root *os.Root) (contents, error) {
		c := contents{map[ondisk.Segment]bool{}, nil, map[platform.Timeline]bool{}}
		entries, err := fs.ReadDir(root.FS(), ".")
		for _, e := range entries {
			if t, ok := ondisk.ParseHistoryName(e.Name()); ok {
				c.histories[t] = true
			} else if seg, ok := ondisk.ParseSegment(e.Name(), s.Format.Segment); ok {
				c.segments[seg] = true
			}
		}
		return c, err
	})
}

func (s *Source) history(ctx context.Context, t platform.Timeline) ([]byte, error) {
	return inWAL(ctx, s, func(root *os.Root) ([]byte, error) {
		f, err := root.Open(ondisk.HistoryName(t))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readHistory(f)
	})
}

func readHistory(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostHistory+1))
	if err == nil && len(text) > mostHistory {
		err = fmt.Errorf("%w: a history file has more than %d bytes", ErrUnreadable, mostHistory)
	}
	return text, err
}

// segmentReader reads a segment's file in chunks. Of a partial one, what lies behind upto is void, and read as zeros.
type segmentReader struct {
	ctx   context.Context
	s     *Source
	f     *os.File
	start platform.LSN
	upto  platform.LSN
	at    platform.LSN // of the next chunk
}

func (s *Source) open(ctx context.Context, seg ondisk.Segment) (*segmentReader, error) {
	size := s.Format.Segment
	f, err := inWAL(ctx, s, func(root *os.Root) (*os.File, error) {
		f, err := root.Open(seg.Name(size))
		if err != nil {
			return nil, err
		}
		fi, err := f.Stat()
		if err == nil && (!fi.Mode().IsRegular() || uint64(fi.Size()) != size) {
			err = fmt.Errorf("%w: its file has %d bytes", ErrUnreadable, fi.Size())
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	})
	start := platform.LSN(seg.Number * size)
	return &segmentReader{ctx, s, f, start, start + platform.LSN(size), start}, err
}

// next is the next chunk; io.EOF behind the last. It may be kept.
func (r *segmentReader) next() ([]byte, error) {
	end := r.start + platform.LSN(r.s.Format.Segment)
	if r.at == end {
		return nil, io.EOF
	}
	chunk := make([]byte, min(readAhead, int(end-r.at)))
	if r.at < r.upto {
		if r.s.Pace != nil {
			if err := r.s.Pace(r.ctx, len(chunk)); err != nil {
				return nil, err
			}
		}
		if _, err := program.Attempt(r.ctx, func() (int, error) { return r.f.ReadAt(chunk, int64(r.at-r.start)) }); err != nil {
			return nil, err
		}
		if r.upto < r.at+platform.LSN(len(chunk)) {
			clear(chunk[r.upto-r.at:])
		}
	}
	r.at += platform.LSN(len(chunk))
	return chunk, nil
}

func (r *segmentReader) Close() error {
	if r.ctx.Err() != nil {
		return nil // a read may hang; the file is closed when it is not used any more
	}
	return r.f.Close()
}

// feed gives a walk the pages of a chunk that it wants; its error says why the walk ended.
func feed(walk *ondisk.Walk, page uint64, at platform.LSN, chunk []byte) error {
	for ; len(chunk) > 0; at, chunk = at+platform.LSN(page), chunk[page:] {
		next, more := walk.Next()
		if !more {
			break
		}
		if next == at {
			walk.Page(chunk[:page])
		}
	}
	if _, more := walk.Next(); !more {
		return fmt.Errorf("%w: %s", ErrUnreadable, walk.End().Why)
	}
	return nil
}

// check reads a complete segment through a walk, and returns its SHA-256.
func (s *Source) check(ctx context.Context, seg ondisk.Segment, walk *ondisk.Walk) (sum string, err error) {
	r, err := s.open(ctx, seg)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	for {
		at := r.at
		chunk, err := r.next()
		if err == io.EOF {
			return sumOf(h), nil
		}
		if err != nil {
			return "", err
		}
		h.Write(chunk)
		if err := feed(walk, s.Format.Page, at, chunk); err != nil {
			return "", err
		}
	}
}

// page reads one page of a segment.
func (s *Source) page(ctx context.Context, seg ondisk.Segment, at platform.LSN) ([]byte, error) {
	r, err := s.open(ctx, seg)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return program.Attempt(ctx, func() ([]byte, error) {
		page := make([]byte, s.Format.Page)
		_, err := r.f.ReadAt(page, int64(at-r.start))
		return page, err
	})
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
