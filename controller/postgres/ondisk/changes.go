package ondisk

import (
	"fmt"

	"mainstay/controller/platform"
)

// Reach is how much a Change is about.
type Reach byte

// Reaches of a change.
const (
	OneBlock  Reach = iota // Block
	Onwards                // Block, and all of the fork behind it
	Databases              // all relations of Database in Space
)

// Change is what a record of WAL may have changed in the files of relations. A record may name a block and leave it as it is.
type Change struct {
	Reach                 Reach
	Fork                  byte   // as in WAL: 0 main, 1 free space map, 2 visibility map, 3 init
	Space, Database, Node uint32 // OIDs of tablespace and database, and the relfilenode
	Block                 uint32 // counts over all of the fork's segments
}

// Each has the walk call visit for every change that the valid records name: the blocks that a record of any resource manager refers to,
// and what records about whole files and databases create or cut off. It is called once the record is whole and its checksum is right. A
// record that names its blocks in a way not known here ends the walk.
//
// A bit that is cleared in a visibility map is named by the page of the heap only: the map's block is for the caller to find. Hint bits
// that are not logged, and free space maps, are in no record.
//
// The walk ends before a record that ends behind until: WAL behind what was flushed may be written anew after a crash. 0: no bound.
func (w *Walk) Each(until platform.LSN, visit func(Change)) { w.until, w.visit = until, visit }

// mostHead is more than all headers of blocks in a record have, and the data of records about files and databases, in bytes:
// XLR_MAX_BLOCK_ID + 1 times the longest header of a block, and those of the data, the origin and the transaction.
const mostHead = recordHeader + 33*(4+5+2+12+4) + 64

// keep takes what belongs to the head of the current record.
func (w *Walk) keep(b []byte) {
	r := &w.record
	if r.got == 0 {
		w.head = w.head[:0]
	}
	b = b[:min(uint64(len(b)), uint64(r.total-r.got), uint64(max(0, mostHead-len(w.head))))]
	w.head = append(w.head, b...)
}

// Resource managers and infos of records that are about files without naming blocks.
const (
	managerStorage  = 2
	managerDatabase = 4
	infoCreateFile  = 0x10
	infoTruncate    = 0x20
	infoCreateCopy  = 0x00
	infoCreateByWAL = 0x10 // before 15: DROP DATABASE
)

// Parts of a record's header, xlogrecord.h.
const (
	longDataFollows = 254
	originFollows   = 253
	topXIDFollows   = 252
	mostBlockID     = 32
	forkMask        = 0x0F
	hasImage        = 0x10
	sameRelation    = 0x80
	imageHasHole    = 0x01
	compressed14    = 0x02 // up to 14
	compressed15    = 0x1C // from 15 on: by pglz, LZ4 or zstd
)

// decoder reads the current record.
func (w *Walk) decoder() decoder {
	return decoder{left: w.head[recordHeader:], rest: int64(w.record.total) - recordHeader, major: w.format.Major}
}

// changes calls visit for what the current record, which is whole, has changed.
func (w *Walk) changes() error {
	d := w.decoder()
	if err := d.blocks(w.visit); err != nil {
		return fmt.Errorf("the record at %s: %w", w.record.start, err)
	}
	switch info := w.record.head[atInfo] & infoMask; w.record.manager() {
	case managerStorage:
		return d.files(info, w.visit)
	case managerDatabase:
		if info != infoCreateCopy && info != infoCreateByWAL {
			return nil
		}
		f, err := d.take(8)
		if err == nil {
			w.visit(Change{Reach: Databases, Database: f.uint32(0), Space: f.uint32(4)})
		}
		return err
	}
	return nil
}

// decoder reads the head of a record, behind the record's own header.
type decoder struct {
	left  fields
	rest  int64 // bytes of the record from left on
	data  int64 // that belong to blocks and to the record itself, as far as the headers have said
	major int
}

var errHead = fmt.Errorf("it names its blocks in a way that is not known here")

func (d *decoder) take(n int) (fields, error) {
	if len(d.left) < n {
		return nil, errHead
	}
	f := d.left[:n]
	d.left, d.rest = d.left[n:], d.rest-int64(n)
	return f, nil
}

// blocks reads all headers. Then left is at the data of blocks, or, where there are none, at the record's own.
func (d *decoder) blocks(visit func(Change)) error {
	var last Change
	next := 0
	for d.rest > d.data {
		f, err := d.take(1)
		if err != nil {
			return err
		}
		size := 0
		switch id := int(f[0]); {
		case id == originFollows:
			size = 2
		case id == topXIDFollows:
			size = 4
		case id == shortDataFollows:
			if f, err = d.take(1); err == nil {
				d.data += int64(f[0])
			}
		case id == longDataFollows:
			if f, err = d.take(4); err == nil {
				d.data += int64(f.uint32(0))
			}
		case id <= mostBlockID && id >= next:
			next = id + 1
			if last, err = d.block(last); err == nil {
				visit(last)
			}
		default:
			err = errHead
		}
		if err == nil && size > 0 {
			_, err = d.take(size)
		}
		if err != nil {
			return err
		}
	}
	if d.rest != d.data {
		return errHead
	}
	return nil
}

// block reads the header of a block, behind its id.
func (d *decoder) block(last Change) (Change, error) {
	f, err := d.take(3)
	if err != nil {
		return last, err
	}
	flags := f[0]
	d.data += int64(f.uint16(1))
	last.Fork = flags & forkMask
	if flags&hasImage != 0 {
		if f, err = d.take(5); err != nil {
			return last, err
		}
		d.data += int64(f.uint16(0))
		compressed := byte(compressed15)
		if d.major < 15 {
			compressed = compressed14
		}
		if f[4]&imageHasHole != 0 && f[4]&compressed != 0 {
			if _, err = d.take(2); err != nil {
				return last, err
			}
		}
	}
	if flags&sameRelation == 0 {
		if f, err = d.take(12); err != nil {
			return last, err
		}
		last.Space, last.Database, last.Node = f.uint32(0), f.uint32(4), f.uint32(8)
	} else if last.Node == 0 {
		return last, errHead
	}
	if f, err = d.take(4); err != nil {
		return last, err
	}
	last.Block = f.uint32(0)
	return last, nil
}

// files reads the data of a record about the files of a relation (storage_xlog.h).
func (d *decoder) files(info byte, visit func(Change)) error {
	const main, visibility = 0, 2
	switch info {
	case infoCreateFile:
		f, err := d.take(16)
		if err == nil {
			visit(Change{Reach: Onwards, Space: f.uint32(0), Database: f.uint32(4), Node: f.uint32(8), Fork: f[12]})
		}
		return err
	case infoTruncate:
		f, err := d.take(16)
		if err == nil {
			c := Change{Reach: Onwards, Space: f.uint32(4), Database: f.uint32(8), Node: f.uint32(12), Fork: main, Block: f.uint32(0)}
			visit(c)
			c.Fork, c.Block = visibility, 0
			visit(c)
		}
		return err
	}
	return nil
}
