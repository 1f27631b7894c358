package page

import "fmt"

// Line pointers, of 4 bytes each: 15 bits of offset, 2 of flags, 15 of length (itemid.h).
const (
	pointerSize   = 4
	flagsOfItem   = 3 << 15
	itemNormal    = 1 << 15
	itemRedirect  = 2 << 15
	itemDead      = 3 << 15
	lengthOfItem  = 17
	offsetsOfItem = 1<<15 - 1
)

// Heap tuples (htup_details.h).
const (
	atXmax       = 4
	atCommand    = 8
	atCtid       = 12
	atInfomask   = 20
	atHoff       = 22
	tupleHeader  = 23
	speculative  = 0xFFFE // in the place of an item's number: an insertion that is not decided yet
	comboCommand = 0x0020
	xminKnown    = 0x0300 // committed 0x100, invalid 0x200, frozen is both
	xmaxKnown    = 0x0C00 // committed 0x400, invalid 0x800
)

// What the access methods keep at the end of a page, and what of it is not logged.
const (
	btreeSpecial                         = 16
	btreeLeaf, btreeDeleted, btreeMeta   = 1 << 0, 1 << 2, 1 << 3
	btreeSplitEnd, btreeGarbage          = 1 << 5, 1 << 6
	hashSpecial                          = 16
	hashOverflow, hashBucket, hashTypes  = 1 << 0, 1 << 1, 0xF
	hashDead                             = 1 << 7
	ginSpecial                           = 8
	ginDeleted                           = 1 << 2
	gistSpecial                          = 16
	gistLeaf, gistGarbage, gistFollowing = 1 << 0, 1 << 4, 1 << 3
	spgistSpecial                        = 8
	spgistMeta                           = 1 << 0
	brinSpecial                          = 8
	brinMeta, brinRangeMap, brinRegular  = 0xF091, 0xF092, 0xF093
	brinEvacuating                       = 1 << 0
	sequenceSpecial, sequenceMagic       = 8, 0x1717
)

// special is the least size of each method's part at the end of a page, in bytes.
var special = map[Method]int{BTree: btreeSpecial, Hash: hashSpecial, GIN: ginSpecial, GiST: gistSpecial, SPGiST: spgistSpecial,
	BRIN: brinSpecial, Sequence: sequenceSpecial}

// apart is what may differ between members at the same LSN, within rules of its own.
type apart struct {
	hints  []byte  // Heap: four bits for each row, the first in the low half of a byte
	values *Values // Sequence
	split  uint64  // GiST
	ranges bool    // BRIN: it is a range map
}

// mask wipes from a page, whose header makes sense, what may differ between members at the same LSN. fault is a part of the page that makes
// no sense.
func mask(f fields, block uint32, r Rules) (a apart, fault string) {
	h := HeaderOf(f)
	f.wipe(atLSN, atLSN+8)
	f.put16(atChecksum, 0)
	if r.Fork == FreeSpace || r.Fork == Visibility || r.Method == Unknown {
		return a, ""
	}
	f.put32(atPruneXID, 0)
	f.clear16(atFlags, hasFreeLines|pageFull)
	if r.Method != Heap || !r.HintsLogged {
		f.clear16(atFlags, allVisible)
	}
	if len(f)-h.Special < special[r.Method] {
		return a, fmt.Sprintf("a page of %s ends without what that method keeps there: its special space begins at %d", r.Method, h.Special)
	}
	s := f[h.Special:]
	switch r.Method {
	case Heap:
		f.wipe(h.Lower, h.Upper)
		a.hints, fault = heapItems(f, h, block)
	case Sequence:
		f.wipe(h.Lower, h.Upper)
		a.values, fault = sequenceItem(f, h)
	case BTree:
		maskBTree(f, h, s)
	case Hash:
		maskHash(f, h, s)
	case GIN:
		if s.uint16(6)&ginDeleted != 0 {
			maskContent(f)
		} else if h.Lower > HeaderSize {
			f.wipe(h.Lower, h.Upper)
		}
	case GiST:
		f.wipe(h.Lower, h.Upper)
		a.split = uint64(s.uint32(0))<<32 | uint64(s.uint32(4))
		if s.uint16(12)&gistFollowing != 0 {
			a.split |= 1 << 63
		}
		s.put64(0, 0) // the NSN, an LSN
		if s.uint16(12)&gistLeaf != 0 {
			maskDead(f, h)
		}
		s.clear16(12, gistGarbage|gistFollowing)
	case SPGiST:
		f.wipe(h.Lower, h.Upper)
		if s.uint16(0)&spgistMeta != 0 { // behind the magic number: which pages have room, a cache that is not logged
			f.wipe(HeaderSize+4, max(h.Lower, HeaderSize+4))
		}
	case BRIN:
		kind := s.uint16(6)
		a.ranges = kind == brinRangeMap
		if kind == brinRegular || kind == brinMeta && h.Lower > HeaderSize {
			f.wipe(h.Lower, h.Upper)
		}
		s.clear16(4, brinEvacuating)
	}
	return a, fault
}

func maskBTree(f fields, h Header, s fields) {
	f.wipe(h.Lower, h.Upper)
	flags := s.uint16(12)
	if flags&btreeLeaf != 0 && flags&(btreeDeleted|btreeMeta) == 0 {
		maskDead(f, h)
	}
	s.clear16(12, btreeGarbage|btreeSplitEnd)
	s.put16(14, 0) // the cycle of a vacuum
}

func maskHash(f fields, h Header, s fields) {
	f.wipe(h.Lower, h.Upper)
	switch flags := s.uint16(12); {
	case flags&hashTypes == 0: // not used any more
		maskContent(f)
	case flags&(hashBucket|hashOverflow) != 0:
		maskDead(f, h)
	}
	s.clear16(12, hashDead)
}

// maskContent is for pages that an access method has no use for any more, and that replay makes anew.
func maskContent(f fields) {
	f.wipe(atLower, atSpecial)
	f.wipe(HeaderSize, len(f))
}

// maskDead takes from an index's items the hint that their row is dead. A line pointer that is unused or a redirection stays what it is.
func maskDead(f fields, h Header) {
	for at := HeaderSize; at+pointerSize <= h.Lower; at += pointerSize {
		if p := f.uint32(at); p&flagsOfItem == itemDead {
			f.put32(at, p&^flagsOfItem|itemNormal)
		}
	}
}

// heapItems masks the rows of a heap's page, and returns their hints.
func heapItems(f fields, h Header, block uint32) (hints []byte, fault string) {
	half := false
	for at, item := HeaderSize, 1; at+pointerSize <= h.Lower; at, item = at+pointerSize, item+1 {
		p := f.uint32(at)
		offset, length := int(p&offsetsOfItem), int(p>>lengthOfItem)
		if p&flagsOfItem == itemRedirect || length == 0 {
			if p&flagsOfItem == itemRedirect && (offset == 0 || HeaderSize+offset*pointerSize > h.Lower) {
				return nil, fmt.Sprintf("line pointer %d redirects to %d, which there is not", item, offset)
			} else if p&flagsOfItem == itemNormal {
				return nil, fmt.Sprintf("line pointer %d has a row of no bytes", item)
			}
			continue
		}
		if offset < h.Upper || offset+length > h.Special {
			return nil, fmt.Sprintf("line pointer %d leads to bytes %d to %d, outside of %d to %d", item, offset, offset+length, h.Upper, h.Special)
		}
		if p&flagsOfItem == itemNormal {
			if length < tupleHeader {
				return nil, fmt.Sprintf("line pointer %d has a row of %d bytes", item, length)
			}
			bits := maskTuple(f[offset:offset+length], block, item)
			if hints == nil {
				hints = make([]byte, 0, (h.Lower-HeaderSize)/pointerSize/2+1)
			}
			if half {
				hints[len(hints)-1] |= bits << 4
			} else {
				hints = append(hints, bits)
			}
			half = !half
		}
		f.wipe(offset+length, min(offset+aligned(length), h.Special))
	}
	return hints, ""
}

// maskTuple returns the hints of a row: xmin committed, xmin invalid, xmax committed, xmax invalid. A frozen row's xmin is no hint.
func maskTuple(t fields, block uint32, item int) (hints byte) {
	infomask := t.uint16(atInfomask)
	hints = byte(infomask & xmaxKnown >> 8)
	infomask &^= xmaxKnown | comboCommand
	if infomask&xminKnown != xminKnown {
		hints |= byte(infomask & xminKnown >> 8)
		infomask &^= xminKnown
	}
	t.put16(atInfomask, infomask)
	t.put32(atCommand, 0)
	if t.uint16(atCtid+4) == speculative { // replay gives the row its own place
		t.put16(atCtid, uint16(block>>16))
		t.put16(atCtid+2, uint16(block))
		t.put16(atCtid+4, uint16(item))
	}
	return hints
}

// Values are what a sequence keeps.
type Values struct {
	Last   int64 // last_value
	Left   int64 // log_cnt: how many further values nextval gives without WAL
	Called bool
}

// sequenceData is the size of last_value, log_cnt and is_called.
const sequenceData = 17

// sequenceItem takes the values of a sequence out of its page.
func sequenceItem(f fields, h Header) (*Values, string) {
	if f.uint32(h.Special) != sequenceMagic || h.Lower != HeaderSize+pointerSize {
		return nil, "the page of a sequence has another magic number, or more than one row"
	}
	p := f.uint32(HeaderSize)
	offset, length := int(p&offsetsOfItem), int(p>>lengthOfItem)
	if p&flagsOfItem != itemNormal || offset < h.Upper || offset+length > h.Special || length < tupleHeader {
		return nil, "the row of a sequence is not in its page"
	}
	t := f[offset : offset+length]
	data := int(t[atHoff])
	if !t.inside(data, sequenceData) {
		return nil, "the row of a sequence is too short"
	}
	d := t[data : data+sequenceData]
	v := Values{Last: int64(d.uint64(0)), Left: int64(d.uint64(8)), Called: d[16] != 0}
	t.wipe(data, data+sequenceData)
	f.wipe(offset+length, min(offset+aligned(length), h.Special))
	return &v, ""
}
