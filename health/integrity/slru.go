package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// slruPages is how many pages a file of pg_xact and its like has (SLRU_PAGES_PER_SEGMENT).
const slruPages = 32

// Transactions reads pg_xact, page by page in the order of their numbers, for a comparison by page.CompareTransactions: page n begins with
// the transaction n * TransactionsPerPage. These pages have neither checksum nor LSN. A file that goes meanwhile is left out. each may
// keep no page. Its errors are those of Scan, each's own, and those of the files.
func (s *Scanner) Transactions(ctx context.Context, o Options, each func(number uint32, content []byte) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return err
	}
	defer end()
	if err := x.transactions(ctx, each); err != nil {
		return fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	return nil
}

func (x *scan) transactions(ctx context.Context, each func(number uint32, content []byte) error) error {
	const dir = "pg_xact"
	var listed struct {
		names []string
		err   error
	}
	err := x.bounded(x.o.Deadline, "list "+dir, func() { listed.names, listed.err = list(x.tree.data, dir) })
	if err != nil {
		return err
	} else if listed.err != nil {
		return listed.err
	}
	var segments []uint32
	for _, name := range listed.names {
		if n, err := strconv.ParseUint(name, 16, 32); err == nil && name == slruName(uint32(n)) {
			segments = append(segments, uint32(n))
		}
	}
	slices.Sort(segments)
	for _, segment := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		var read struct {
			content []byte
			err     error
		}
		name, size := slruName(segment), slruPages*x.tree.layout.Size
		if err := x.bounded(x.o.Deadline, "read "+dir+"/"+name, func() {
			b := buffer(size)
			n, err := x.fetch(x.tree, folder{root: x.tree.data, dir: dir}, name, b, 0)
			read.content, read.err = b[:n], err
		}); err != nil {
			return err
		}
		if errors.Is(read.err, fs.ErrNotExist) {
			continue
		} else if read.err != nil {
			return read.err
		}
		for n := 0; (n+1)*x.tree.layout.Size <= len(read.content); n++ {
			if err := each(segment*slruPages+uint32(n), read.content[n*x.tree.layout.Size:][:x.tree.layout.Size]); err != nil {
				return err
			}
		}
	}
	return nil
}

func slruName(segment uint32) string { return fmt.Sprintf("%04X", segment) }
