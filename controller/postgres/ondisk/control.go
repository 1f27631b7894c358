package ondisk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strconv"

	"mainstay/controller/platform"
)

// Control is the control file, pg_control: what the data directory says of itself while no server runs, and lags
// behind while one does.
type Control struct {
	SystemID         string
	State            string // PostgreSQL's words: "shut down", "in production", ...
	Checkpoint       platform.LSN
	Redo             platform.LSN
	Timeline         platform.Timeline // of the latest checkpoint
	PrevTimeline     platform.Timeline
	MinRecovery      platform.LSN // zero: none
	MinTimeline      platform.Timeline
	BackupEndNeeded  bool // a base backup that has not been replayed to its end
	Checksums        bool
	WALLogHints      bool
	WALLevel         string
	SegmentSize      uint64 // bytes
	BlockSize        uint64 // of WAL, bytes
	PageSize         uint64 // of relations, bytes
	RelationSegment  uint64 // pages of a file of a relation that has several
	MaxConnections   int
	MaxWorkers       int
	MaxWALSenders    int
	MaxPrepared      int
	MaxLocks         int
	CommitTimestamps bool // track_commit_timestamp
	CatalogueVersion string
	XIDs
	Multi Multixacts
}

// Multixacts are the multixacts that the latest checkpoint names: the next one, where the next one's members begin, and the oldest that may
// still be asked for. Next is never 0 in a control file.
type Multixacts struct{ Next, NextMember, Oldest uint32 }

// XIDs are the transactions that the latest checkpoint names: the next one, the oldest whose status is kept, and the oldest that was
// running. That is 0 after a shutdown, and where wal_level is minimal.
type XIDs struct{ Next, Oldest, OldestActive uint32 }

// EndedXIDs is the transaction before which, as PostgreSQL orders them, all had ended when the latest checkpoint began: their status is in
// pg_xact on the disk, of a standby as well. Those that were prepared before a shutdown may still be open. 0: not known.
func (c *Control) EndedXIDs() uint32 {
	switch {
	case c.OldestActive != 0:
		return c.OldestActive
	case c.WALLevel == walLevels[0]:
		return 0
	}
	return c.XIDs.Next
}

// Clean tells whether the last server on this data ended by a completed shutdown.
func (c *Control) Clean() bool {
	return c.State == states[shutDown] || c.State == states[shutDownInRecovery]
}

// ControlFileSize is the size of the control file in bytes, in every version.
const ControlFileSize = 8192

var (
	// ErrLayout is returned for a control file of a version or machine whose layout is not known here.
	ErrLayout = errors.New("the control file has a layout that is not known here")
	// ErrChecksum is returned when the control file does not match its own checksum: it was read while a server wrote it,
	// or it is corrupt.
	ErrChecksum = errors.New("the control file does not match its checksum")
)

// checksumAt is, for each pg_control_version, the offset of the checksum, which ends the data. What is read here lies at
// the same offsets in all of them: 1300 is PostgreSQL 13 to 16, 1700 is 17, 1800 is 18.
var checksumAt = map[uint32]int{1300: 288, 1700: 288, 1800: 292}

// Offsets of ControlFileData's fields in pg_control.h, where 8-byte integers are aligned to 8 bytes.
const (
	atSystemID        = 0
	atVersion         = 8
	atCatalogue       = 12
	atState           = 16
	atCheckpoint      = 32
	atRedo            = 40
	atTimeline        = 48
	atPrevTimeline    = 52
	atNextXID         = 64
	atNextMulti       = 76
	atNextMember      = 80
	atOldestXID       = 84
	atOldestMulti     = 92
	atOldestActiveXID = 120
	atMinRecovery     = 136
	atMinTimeline     = 144
	atBackupStart     = 152
	atBackupEndNeeded = 168
	atWALLevel        = 172
	atWALLogHints     = 176
	atMaxConnections  = 180
	atMaxWorkers      = 184
	atMaxWALSenders   = 188
	atMaxPrepared     = 192
	atMaxLocks        = 196
	atCommitTime      = 200
	atMaxAlign        = 204
	atFloat           = 208
	atRelationPage    = 216
	atRelationSegment = 220
	atBlockSize       = 224
	atSegmentSize     = 228
	atChecksums       = 252
)

// Every control file holds these, to tell machines apart.
const (
	wantMaxAlign = 8
	wantFloat    = 1234567.0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ParseControl reads a control file. Its errors are ErrLayout and ErrChecksum.
func ParseControl(file []byte) (Control, error) {
	if len(file) != ControlFileSize {
		return Control{}, ErrLayout
	}
	f := fields(file)
	end, known := checksumAt[f.uint32(atVersion)]
	if !known || f.uint32(atMaxAlign) != wantMaxAlign || math.Float64frombits(f.uint64(atFloat)) != wantFloat {
		return Control{}, ErrLayout
	}
	if crc32.Checksum(file[:end], castagnoli) != f.uint32(end) {
		return Control{}, ErrChecksum
	}
	return Control{
		SystemID:         strconv.FormatUint(f.uint64(atSystemID), 10),
		State:            word(states, f.uint32(atState), "unrecognized status code"),
		Checkpoint:       f.lsn(atCheckpoint),
		Redo:             f.lsn(atRedo),
		Timeline:         platform.Timeline(f.uint32(atTimeline)),
		PrevTimeline:     platform.Timeline(f.uint32(atPrevTimeline)),
		MinRecovery:      f.lsn(atMinRecovery),
		MinTimeline:      platform.Timeline(f.uint32(atMinTimeline)),
		BackupEndNeeded:  file[atBackupEndNeeded] != 0 || f.lsn(atBackupStart) != 0,
		Checksums:        f.uint32(atChecksums) > 0,
		WALLogHints:      file[atWALLogHints] != 0,
		WALLevel:         word(walLevels, f.uint32(atWALLevel), "unrecognized wal_level"),
		SegmentSize:      uint64(f.uint32(atSegmentSize)),
		BlockSize:        uint64(f.uint32(atBlockSize)),
		PageSize:         uint64(f.uint32(atRelationPage)),
		RelationSegment:  uint64(f.uint32(atRelationSegment)),
		MaxConnections:   f.int(atMaxConnections),
		MaxWorkers:       f.int(atMaxWorkers),
		MaxWALSenders:    f.int(atMaxWALSenders),
		MaxPrepared:      f.int(atMaxPrepared),
		MaxLocks:         f.int(atMaxLocks),
		CommitTimestamps: file[atCommitTime] != 0,
		CatalogueVersion: strconv.FormatUint(uint64(f.uint32(atCatalogue)), 10),
		XIDs:             XIDs{f.uint32(atNextXID), f.uint32(atOldestXID), f.uint32(atOldestActiveXID)},
		Multi:            Multixacts{f.uint32(atNextMulti), f.uint32(atNextMember), f.uint32(atOldestMulti)},
	}, nil
}

// The words are pg_controldata's.
var (
	states = []string{"starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery",
		"in archive recovery", "in production"}
	walLevels = []string{"minimal", "replica", "logical"}
)

// Indexes of states.
const (
	shutDown           = 1
	shutDownInRecovery = 2
)

func word(words []string, n uint32, otherwise string) string {
	if uint64(n) < uint64(len(words)) {
		return words[n]
	}
	return otherwise
}

// fields are bytes whose integers are read by offset.
type fields []byte

func (f fields) uint16(at int) uint16    { return binary.LittleEndian.Uint16(f[at:]) }
func (f fields) uint32(at int) uint32    { return binary.LittleEndian.Uint32(f[at:]) }
func (f fields) uint64(at int) uint64    { return binary.LittleEndian.Uint64(f[at:]) }
func (f fields) int(at int) int          { return int(int32(f.uint32(at))) }
func (f fields) lsn(at int) platform.LSN { return platform.LSN(f.uint64(at)) }
