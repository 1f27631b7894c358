package integrity

import (
	"time"

	"mainstay/controller/platform"
)

// Kind is how a file or page is damaged.
type Kind string

// Kinds of damage that one data directory shows on its own.
const (
	WrongChecksum  Kind = "checksum"
	WrongHeader    Kind = "header"
	WrongItem      Kind = "line pointer" // found only where pages are summarised, as it needs the access method
	AheadOfWAL     Kind = "ahead of WAL" // a page whose LSN the server has not reached
	MissingSegment Kind = "missing segment"
	ShortSegment   Kind = "short segment"
	OddSize        Kind = "odd size"
	ReadError      Kind = "read error"
)

// Finding is one damage.
type Finding struct {
	Block
	Path   string       `json:"path"` // below the data directory
	Kind   Kind         `json:"kind"`
	LSN    platform.LSN `json:"lsn,omitempty"` // as the page has it, which may be damaged itself
	Detail string       `json:"detail"`        // the evidence, for people
	// Elsewhere is a block of the same fork as which a page with a wrong checksum would be right, plus one: it may have been written to the
	// wrong place. 0 for none. A random checksum fits one of n blocks by chance n times in 65535.
	Elsewhere uint32        `json:"elsewhere,omitempty"`
	Reads     int           `json:"reads"` // that showed the same
	Over      time.Duration `json:"over"`  // between the first and the last of them
	// Settled: no server can change it any more, or it outlasted a checkpoint that began after the first read. A finding that is not
	// settled may be mended by the server's next checkpoint.
	Settled bool `json:"settled"`
}

// ZeroRun is a run of pages without content before one that has some. PostgreSQL leaves such runs when it extends a file by many pages and
// crashes, and in hash indexes; a zeroed page looks the same. Only a comparison tells.
type ZeroRun struct {
	Block
	Count uint32 `json:"count"`
}
