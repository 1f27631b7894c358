package postgres

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// readAhead is how much of a segment is read at once, in bytes; a multiple of every size of a page, and no more than the
// smallest segment.
const readAhead = 128 << 10

const endless = platform.LSN(math.MaxUint64)

// stretch is the part of WAL that was written on a timeline.
type stretch struct {
	timeline   platform.Timeline
	begin, end platform.LSN
}

// walFiles reads the pages of a line of timelines from the segment files in a folder.
type walFiles struct {
	owner                 Owner // whose folder it is
	dir                   string
	segmentSize, pageSize uint64
	line                  []stretch // oldest first
	// strayed: a page was taken from an older timeline's file behind the place where the line leaves that timeline.
	// Recovery does so too, where the newer file is missing, and what follows may be no part of the line.
	strayed bool
	pace    func(ctx context.Context, bytes int) error // before each read; nil: none

	file    *os.File // nil: none open
	of      segment
	stretch stretch // that the file is of
	buf     []byte
	bufAt   platform.LSN // of buf's first byte
}

// follow feeds a walk until it ends.
func (w *walFiles) follow(ctx context.Context, walk *ondisk.Walk) (ondisk.End, error) {
	defer w.close()
	for {
		at, more := walk.Next()
		if !more {
			return walk.End(), nil
		}
		page, err := w.page(ctx, at)
		if err != nil {
			return ondisk.End{}, err
		}
		if page == nil {
			walk.Missing()
			continue
		}
		walk.Page(page)
	}
}

// page is the page at an address; nil if it is not there, or not all of it. It is good until the next call.
func (w *walFiles) page(ctx context.Context, at platform.LSN) ([]byte, error) {
	if n := uint64(at) / w.segmentSize; w.file == nil || w.of.number != n {
		if err := w.open(n); err != nil || w.file == nil {
			return nil, err
		}
	}
	if at+platform.LSN(w.pageSize) > w.stretch.end {
		w.strayed = true
	}
	if page := w.buffered(at); page != nil {
		return page, nil
	}
	if err := w.fill(ctx, at); err != nil {
		return nil, err
	}
	return w.buffered(at), nil
}

func (w *walFiles) buffered(at platform.LSN) []byte {
	if at < w.bufAt || uint64(at-w.bufAt)+w.pageSize > uint64(len(w.buf)) {
		return nil
	}
	return w.buf[at-w.bufAt:][:w.pageSize]
}

// fill reads ahead. An error behind a whole page is left for later: that page may be the last.
func (w *walFiles) fill(ctx context.Context, at platform.LSN) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.pace != nil {
		if err := w.pace(ctx, readAhead); err != nil {
			return err
		}
	}
	if w.buf == nil {
		w.buf = make([]byte, readAhead)
	}
	n, err := w.file.ReadAt(w.buf[:readAhead], int64(uint64(at)%w.segmentSize))
	w.buf, w.bufAt = w.buf[:n], at
	if errors.Is(err, io.EOF) || uint64(n) >= w.pageSize {
		return nil
	}
	return err
}

// open takes, as recovery does, a segment's file of the newest timeline that had begun by then, and none of an older
// timeline than the file before. None there leaves w.file nil.
func (w *walFiles) open(number uint64) error {
	w.close()
	for _, s := range slices.Backward(w.line) {
		if number < uint64(s.begin)/w.segmentSize {
			continue
		}
		if s.timeline < w.of.timeline {
			return nil
		}
		next := segment{s.timeline, number}
		f, err := w.owner.open(filepath.Join(w.dir, next.name(w.segmentSize)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		w.file, w.of, w.stretch = f, next, s
		return nil
	}
	return nil
}

func (w *walFiles) close() {
	if w.file != nil {
		w.file.Close() // it was only read
	}
	w.file, w.buf = nil, w.buf[:0]
}
