package ondisk

import (
	"hash/crc32"

	"mainstay/controller/platform"
)

const (
	alignment    = 8
	recordHeader = 24
	// maxRecord is the most that PostgreSQL allocates for one record, in bytes (MaxAllocSize).
	maxRecord = 1<<30 - 1
)

// Offsets in a record, XLogRecord in xlogrecord.h, and in the one that replaces a record given up by a crash.
const (
	atPrevious    = 8
	atInfo        = 16
	atManager     = 17
	atRecordSum   = 20
	atBlockID     = 24
	atOverwritten = 26
	overwriteEnd  = 34
)

// Resource managers: a few numbers are PostgreSQL's own, and from 15 on extensions have the upper half.
const (
	managerXLOG       = 0
	lastOwnManager    = 21
	firstCustom       = 128
	customSinceMajor  = 15
	shortDataFollows  = 255 // a block id
	infoMask          = 0xF0
	infoShutdown      = 0x00
	infoOnline        = 0x10
	infoSwitch        = 0x40
	infoOverwriteLost = 0xD0
)

// record is one that is being read.
type record struct {
	start platform.LSN
	total uint32 // bytes, page headers not counted
	got   uint32
	head  [overwriteEnd]byte // what has come of it, from its start
	sum   uint32             // of what has come, the header left out
}

// add takes as much as belongs to the record and returns how many bytes that were.
func (r *record) add(b []byte) int {
	b = b[:min(uint64(len(b)), uint64(r.total-r.got))]
	if r.got < overwriteEnd {
		copy(r.head[r.got:], b)
	}
	skip := min(recordHeader-min(recordHeader, int(r.got)), len(b))
	r.sum = crc32.Update(r.sum, castagnoli, b[skip:])
	r.got += uint32(len(b))
	return len(b)
}

// intact compares the checksum: of the data, then of the header before it.
func (r *record) intact() bool {
	return crc32.Update(r.sum, castagnoli, r.head[:atRecordSum]) == fields(r.head[:]).uint32(atRecordSum)
}

func (r *record) previous() platform.LSN { return fields(r.head[:]).lsn(atPrevious) }
func (r *record) manager() byte          { return r.head[atManager] }

func (r *record) knownManager(major int) bool {
	m := r.manager()
	return m <= lastOwnManager || m >= firstCustom && major >= customSinceMajor
}

// is tells whether the record is of PostgreSQL's own XLOG manager and of that kind.
func (r *record) is(info byte) bool {
	return r.manager() == managerXLOG && r.head[atInfo]&infoMask == info
}

func (r *record) isSwitch() bool     { return r.is(infoSwitch) }
func (r *record) isCheckpoint() bool { return r.is(infoShutdown) || r.is(infoOnline) }

// overwrites is the start of the incomplete record that this one replaces; zero for any other record.
func (r *record) overwrites() platform.LSN {
	if !r.is(infoOverwriteLost) || r.total < overwriteEnd || r.head[atBlockID] != shortDataFollows {
		return 0
	}
	return fields(r.head[:]).lsn(atOverwritten)
}
