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

// Transactions reads count pages of pg_xact, from the page of that number on and in the order of their numbers, for a comparison by
// page.CompareTransactions: page n begins with the transaction n * TransactionsPerPage. These pages have neither checksum nor LSN. A page
// that is not there, or goes meanwhile, is left out. each may keep no page. Of the options it heeds Rate and Deadline. Its
// errors are those of Scan, each's own, and those of the files.
func (s *Scanner) Transactions(ctx context.Context, o Options, from, count uint32, each func(number uint32, content []byte) error) error {
	return s.Table(ctx, o, TransactionsDir, from, count, each)
}

// Folders of tables of fixed entries (SLRUs) that are compared, below the data directory.
const (
	TransactionsDir = "pg_xact"
	OffsetsDir      = "pg_multixact/offsets"
	MembersDir      = "pg_multixact/members"
)

// Table is Transactions for the pages in one of those folders.
func (s *Scanner) Table(ctx context.Context, o Options, dir string, from, count uint32,
	each func(number uint32, content []byte) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return err
	}
	defer end()
	if err := x.table(ctx, dir, from, count, each); err != nil {
		return fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	return nil
}

func (x *scan) table(ctx context.Context, dir string, from, count uint32, each func(number uint32, content []byte) error) error {
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
		if n, err := strconv.ParseUint(name, 16, 32); err == nil && name == slruName(uint32(n)) &&
			n*slruPages < uint64(from)+uint64(count) && (n+1)*slruPages > uint64(from) {
			segments = append(segments, uint32(n))
		}
	}
	slices.Sort(segments)
	for _, segment := range segments {
		if err := x.pace(ctx, int64(slruPages*x.tree.layout.Size)); err != nil {
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
			number := segment*slruPages + uint32(n)
			if number < from || number-from >= count {
				continue
			}
			if err := each(number, read.content[n*x.tree.layout.Size:][:x.tree.layout.Size]); err != nil {
				return err
			}
		}
	}
	return nil
}

func slruName(segment uint32) string { return fmt.Sprintf("%04X", segment) }
