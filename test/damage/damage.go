// Package damage spoils the files of a scratch server's data directory in the ways that disks, filesystems and bugs do, for tests of what
// finds it. The server is stopped, or has not the pages in its buffers: it would write them back.
//
// Each damage is a function of the data and of the Spot where it strikes. Everything but a damage's own bytes stays what PostgreSQL wrote;
// "sealed" damages carry a checksum that is right, as if PostgreSQL itself had been wrong.
package damage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"mainstay/controller/postgres/ondisk"
	"mainstay/health/integrity/page"
)

// Kind names a damage.
type Kind string

// Kinds of damages.
const (
	HeapByte         Kind = "heap byte"
	HeapByteSealed   Kind = "heap byte, valid checksum"
	IndexByte        Kind = "index byte"
	IndexByteSealed  Kind = "index byte, valid checksum"
	BadXmin          Kind = "xmin garbage, valid checksum"
	BadHint          Kind = "committed row marked as aborted, valid checksum"
	BadPointer       Kind = "line pointer out of the page, valid checksum"
	BadHeader        Kind = "header bounds, valid checksum"
	ZeroedHeap       Kind = "zeroed heap page"
	ZeroedIndex      Kind = "zeroed index page"
	ZeroedTOAST      Kind = "zeroed TOAST page"
	LostWrite        Kind = "lost write"
	FutureLSN        Kind = "LSN beyond the end of WAL, valid checksum"
	Truncated        Kind = "truncated by some pages"
	TruncatedMiddle  Kind = "truncated segment before others"
	MissingLast      Kind = "last segment missing"
	MissingMiddle    Kind = "segment missing before others"
	OddEnd           Kind = "file ends within a page"
	Misdirected      Kind = "misdirected write"
	MisdirectedValid Kind = "misdirected write, valid checksum"
	StaleMap         Kind = "visibility map bit without all-visible page"
	LostCommit       Kind = "pg_xact byte zeroed"
	ControlBit       Kind = "pg_control bit"
)

// Spot is where a damage strikes. Paths are those of a fork's first segment, below the data directory.
type Spot struct {
	Heap, Index, TOAST string
	Block              uint32 // a page with rows, in all three
	Other              uint32 // another page of the heap, with rows
	Old                []byte // what Block of the heap was before its last change
	XID                uint32 // a committed transaction
}

// Damage is one way to spoil data.
type Damage struct {
	Kind Kind
	Do   func(Data, Spot) error
}

// All are the damages.
var All = []Damage{
	{HeapByte, func(d Data, s Spot) error { return d.lastByte(s.Heap, s.Block, false) }},
	{HeapByteSealed, func(d Data, s Spot) error { return d.lastByte(s.Heap, s.Block, true) }},
	{IndexByte, func(d Data, s Spot) error { return d.lastByte(s.Index, s.Block, false) }},
	{IndexByteSealed, func(d Data, s Spot) error { return d.lastByte(s.Index, s.Block, true) }},
	{BadXmin, func(d Data, s Spot) error {
		return d.row(s, func(t []byte) { binary.LittleEndian.PutUint32(t, binary.LittleEndian.Uint32(t)^0x40000000) })
	}},
	{BadHint, func(d Data, s Spot) error {
		return d.row(s, func(t []byte) { t[21] = t[21]&^1 | 2 }) // of t_infomask: xmin invalid in place of committed
	}},
	{BadPointer, func(d Data, s Spot) error {
		return d.Edit(s.Heap, s.Block, true, func(p []byte) { binary.LittleEndian.PutUint32(p[page.HeaderSize:], uint32(len(p)-8)|1<<15|40<<17) })
	}},
	{BadHeader, func(d Data, s Spot) error {
		return d.Edit(s.Heap, s.Block, true, func(p []byte) { binary.LittleEndian.PutUint16(p[14:], uint16(len(p)+8)) })
	}},
	{ZeroedHeap, func(d Data, s Spot) error { return d.Edit(s.Heap, s.Block, false, func(p []byte) { clear(p) }) }},
	{ZeroedIndex, func(d Data, s Spot) error { return d.Edit(s.Index, s.Block, false, func(p []byte) { clear(p) }) }},
	{ZeroedTOAST, func(d Data, s Spot) error { return d.Edit(s.TOAST, s.Block, false, func(p []byte) { clear(p) }) }},
	{LostWrite, func(d Data, s Spot) error { return d.Edit(s.Heap, s.Block, false, func(p []byte) { copy(p, s.Old) }) }},
	{FutureLSN, func(d Data, s Spot) error {
		return d.Edit(s.Heap, s.Block, true, func(p []byte) { binary.LittleEndian.PutUint32(p, 0x7FFF) })
	}},
	{Truncated, func(d Data, s Spot) error { return d.truncate(s.Heap, d.last(s.Heap), -3*int64(d.Layout.Size)) }},
	{TruncatedMiddle, func(d Data, s Spot) error { return d.truncate(s.Heap, 0, -3*int64(d.Layout.Size)) }},
	{MissingLast, func(d Data, s Spot) error { return os.Remove(d.file(s.Heap, d.last(s.Heap))) }},
	{MissingMiddle, func(d Data, s Spot) error { return os.Remove(d.file(s.Heap, 1)) }},
	{OddEnd, func(d Data, s Spot) error { return d.truncate(s.Heap, d.last(s.Heap), -100) }},
	{Misdirected, func(d Data, s Spot) error { return d.misdirect(s, false) }},
	{MisdirectedValid, func(d Data, s Spot) error { return d.misdirect(s, true) }},
	{StaleMap, func(d Data, s Spot) error {
		n := s.Block % (uint32(d.Layout.Size-page.HeaderSize) * 4)
		return d.Edit(s.Heap+"_vm", d.Layout.MapBlock(s.Block), true, func(p []byte) { p[page.HeaderSize+n/4] |= 1 << (n % 4 * 2) })
	}},
	{LostCommit, func(d Data, s Spot) error {
		at := int64(s.XID / 4)
		segment := int64(d.Layout.Size) * 32
		return change(filepath.Join(d.Dir, "pg_xact", fmt.Sprintf("%04X", at/segment)), at%segment, 1, func(b []byte) { b[0] = 0 })
	}},
	{ControlBit, func(d Data, s Spot) error {
		return change(filepath.Join(d.Dir, "global", "pg_control"), 60, 1, func(b []byte) { b[0] ^= 1 })
	}},
}

// Data is a data directory.
type Data struct {
	Dir     string
	Layout  page.Layout
	Segment uint32 // pages
	Control ondisk.Control
}

// Open reads what the control file says of the pages.
func Open(dir string) (Data, error) {
	content, err := os.ReadFile(filepath.Join(dir, "global", "pg_control"))
	if err != nil {
		return Data{}, err
	}
	c, err := ondisk.ParseControl(content)
	return Data{dir, page.Layout{Size: int(c.PageSize), Checksums: c.Checksums}, uint32(c.RelationSegment), c}, err
}

func (d Data) file(path string, segment uint32) string {
	path = filepath.Join(d.Dir, path)
	if segment > 0 {
		path += fmt.Sprintf(".%d", segment)
	}
	return path
}

// last is a fork's last segment.
func (d Data) last(path string) (n uint32) {
	for {
		if _, err := os.Stat(d.file(path, n+1)); err != nil {
			return n
		}
		n++
	}
}

// Page reads a page.
func (d Data) Page(path string, block uint32) (p []byte, err error) {
	err = d.at(path, block, func(b []byte) { p = append(p, b...) })
	return p, err
}

// Edit changes a page, and seals it with the checksum that belongs to what it has become.
func (d Data) Edit(path string, block uint32, seal bool, edit func(p []byte)) error {
	return d.at(path, block, func(p []byte) {
		edit(p)
		if seal && d.Layout.Checksums {
			binary.LittleEndian.PutUint16(p[8:], page.Checksum(p, block))
		}
	})
}

func (d Data) at(path string, block uint32, edit func(p []byte)) error {
	return change(d.file(path, block/d.Segment), int64(block%d.Segment)*int64(d.Layout.Size), d.Layout.Size, edit)
}

// change reads a part of a file, and writes back what edit makes of it.
func change(path string, at int64, size int, edit func([]byte)) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	b := make([]byte, size)
	if _, err = f.ReadAt(b, at); err != nil {
		return err
	}
	before := string(b)
	if edit(b); string(b) == before {
		return nil
	}
	_, err = f.WriteAt(b, at)
	return err
}

// item is the place of a line pointer's item, whose number begins at 1.
func item(p []byte, n int) (from, to int) {
	v := binary.LittleEndian.Uint32(p[page.HeaderSize+4*(n-1):])
	return int(v & 0x7FFF), int(v&0x7FFF) + int(v>>17)
}

// lastByte changes the last byte of a page's second item: a value, never a header.
func (d Data) lastByte(path string, block uint32, seal bool) error {
	return d.Edit(path, block, seal, func(p []byte) {
		_, to := item(p, 2)
		p[to-1] ^= 0x10
	})
}

// row changes a page's second row.
func (d Data) row(s Spot, edit func(t []byte)) error {
	return d.Edit(s.Heap, s.Block, true, func(p []byte) {
		from, to := item(p, 2)
		edit(p[from:to])
	})
}

func (d Data) misdirect(s Spot, seal bool) error {
	from, err := d.Page(s.Heap, s.Other)
	if err != nil {
		return err
	}
	return d.Edit(s.Heap, s.Block, seal, func(p []byte) { copy(p, from) })
}

func (d Data) truncate(path string, segment uint32, by int64) error {
	name := d.file(path, segment)
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.Truncate(name, info.Size()+by)
}

// Resegment splits the relation files of a stopped server's copy into segments of so many pages, as a server built so would have them, and
// says so in the control file. No server of the usual build starts on it.
func Resegment(dir string, pages uint32) error {
	d, err := Open(dir)
	if err != nil {
		return err
	}
	for _, pattern := range []string{"base/*/*", "global/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range files {
			if err := split(path, int64(pages)*int64(d.Layout.Size)); err != nil {
				return err
			}
		}
	}
	return change(filepath.Join(dir, "global", "pg_control"), 0, ondisk.ControlFileSize, func(b []byte) {
		end := map[uint32]int{1300: 288, 1700: 288, 1800: 292}[binary.LittleEndian.Uint32(b[8:])]
		binary.LittleEndian.PutUint32(b[220:], pages)
		binary.LittleEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
	})
}

func split(path string, size int64) error {
	if name := filepath.Base(path); name[0] < '0' || name[0] > '9' {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil || int64(len(content)) <= size {
		return err
	}
	for n := int64(1); n*size < int64(len(content)); n++ {
		part := content[n*size : min((n+1)*size, int64(len(content)))]
		name := fmt.Sprintf("%s.%d", path, n)
		if err := os.WriteFile(name, part, 0o600); err != nil {
			return err
		}
		if err := sameOwner(path, name); err != nil {
			return err
		}
	}
	return os.Truncate(path, size)
}
