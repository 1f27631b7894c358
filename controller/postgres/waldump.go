package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// record is one line of pg_waldump.
type record struct {
	start  platform.LSN
	length uint64 // bytes, page headers not counted
	rmgr   string
	xid    uint32 // 0 for none
	desc   string
}

// commits: the record ends a transaction well, a prepared one included.
func (r record) commits() bool { return r.rmgr == "Transaction" && strings.HasPrefix(r.desc, "COMMIT") }

// rmgr: Transaction len (rec/tot):     34/    34, tx:        735, lsn: 0/0151F0B8, prev 0/0151F080, desc: COMMIT 2026-...
var recordLine = regexp.MustCompile(
	`^rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+, desc: (.*)$`)

func parseRecord(line string) (record, bool) {
	m := recordLine.FindStringSubmatch(line)
	if m == nil {
		return record{}, false
	}
	n, err1 := strconv.ParseUint(m[2], 10, 64)
	xid, err2 := strconv.ParseUint(m[3], 10, 32)
	lsn, err3 := platform.ParseLSN(m[4])
	return record{start: lsn, length: n, rmgr: m[1], xid: uint32(xid), desc: m[5]}, err1 == nil && err2 == nil && err3 == nil
}

// WAL page headers: the first page of a segment has a long one.
const (
	shortHeader = 24
	longHeader  = 40
	alignment   = 8
)

// end is where the record ends, as PostgreSQL counts it: aligned, the headers of the pages it crosses included. After a
// segment switch the rest of the segment is void.
func (r record) end(page, segment uint64) platform.LSN {
	pos, left := uint64(r.start), r.length
	if r.rmgr == "XLOG" && strings.HasPrefix(r.desc, "SWITCH") {
		return platform.LSN((pos/segment + 1) * segment)
	}
	for {
		room := page - pos%page
		if left <= room {
			break
		}
		pos, left = pos+room, left-room
		if pos%segment == 0 {
			pos += longHeader
		} else {
			pos += shortHeader
		}
	}
	pos += left
	return platform.LSN((pos + alignment - 1) / alignment * alignment)
}

var (
	// the last valid record, and the place where none follows
	dumpEnd = regexp.MustCompile(`error in WAL record at ([0-9A-F]+/[0-9A-F]+): invalid record length at ([0-9A-F]+/[0-9A-F]+)`)
	dumpBad = regexp.MustCompile(`error in WAL record at ([0-9A-F]+/[0-9A-F]+)`)
	// nothing valid from the start on
	dumpNone = regexp.MustCompile(`could not find a valid record after`)
)

// dump runs pg_waldump on one timeline of pg_wal and gives each record to see. pg_waldump ends with an error wherever
// valid WAL ends, so failure is the normal end: its text is returned, and err only for what is none.
func (i *Server) dump(ctx context.Context, t platform.Timeline, from platform.LSN, see func(record),
	args ...string) (text string, err error) {
	return i.dumpIn(ctx, i.wal().dir(), t, from, see, args...)
}

// dumpIn is dump of the WAL in another folder.
func (i *Server) dumpIn(ctx context.Context, dir string, t platform.Timeline, from platform.LSN, see func(record),
	args ...string) (text string, err error) {
	args = append([]string{"-p", dir, "-t", strconv.Itoa(int(t)), "-s", from.String()}, args...)
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		read <- eachLine(r, func(line string) {
			if rec, ok := parseRecord(line); ok {
				see(rec)
			}
		})
	}()
	err = i.stream(ctx, w, nil, "pg_waldump", args...)
	w.Close()
	if rerr := <-read; rerr != nil {
		return "", rerr
	}
	var failed *CommandError
	if ctx.Err() == nil && errors.As(err, &failed) && !errors.Is(err, ErrStuck) {
		return failed.Tail, nil
	}
	return "", err
}

// longestLine is how much of a line is kept, in bytes. pg_waldump prints all of a logical message, however long.
const longestLine = 1 << 20

// eachLine reads lines to the end, and gives no more than the beginning of those that are too long.
func eachLine(r io.Reader, see func(string)) error {
	in := bufio.NewReaderSize(r, longestLine)
	for {
		line, more, err := in.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		see(string(line))
		for more && err == nil {
			_, more, err = in.ReadLine()
		}
	}
}

// recordAt reads the one record at a position.
func (i *Server) recordAt(ctx context.Context, t platform.Timeline, at platform.LSN) (record, error) {
	var got record
	text, err := i.dump(ctx, t, at, func(r record) { got = r }, "-n", "1")
	if err != nil {
		return record{}, err
	}
	if got.start != at {
		return record{}, fmt.Errorf("no WAL record at %s on timeline %d: %s", at, t, text)
	}
	return got, nil
}
