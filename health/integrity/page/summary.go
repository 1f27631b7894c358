package page

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"mainstay/controller/platform"
)

// Digest stands for a page in a comparison: two checksums of 32 bits by different polynomials, which together are one of 64. Two pages that
// differ by chance have the same digest once in 2^64. It is no defence against who makes pages on purpose.
type Digest [8]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func digest(p []byte) (d Digest) {
	binary.BigEndian.PutUint32(d[:4], crc32.ChecksumIEEE(p))
	binary.BigEndian.PutUint32(d[4:], crc32.Checksum(p, castagnoli))
	return d
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes a digest as 16 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(d[:], text[:min(len(text), 2*len(d))]); err != nil || n != len(d) || len(text) != 2*len(d) {
		return fmt.Errorf("%q is not a digest of %d hexadecimal digits", text, 2*len(d))
	}
	return nil
}

// Summary is what two members exchange of a page instead of the page.
type Summary struct {
	State  State
	LSN    platform.LSN // of a page that is Blank or Used
	Digest Digest       // of what may not differ, which is neither LSN nor checksum; zero unless Used
	Hints  []byte       // of a heap: four bits for each stored row, what the page knows of the end of its transactions
	Values *Values      // of a sequence
	Split  uint64       // of a GiST index: the LSN of the page's last split, and in the highest bit whether the split is not finished
	Unruly string       // why a difference of digests says nothing; "" where it does
	Detail string       // of a Bad page: the evidence, for people
	// Visible tells of a heap's page whether its header says that all its rows are visible to everyone. Map has, of a visibility map, the same
	// bit for each page of its heap that it is about; see Layout.VisibleBits.
	Visible bool
	Map     []byte
}

// Summariser makes summaries. It keeps a buffer, and serves one goroutine.
type Summariser struct {
	Layout Layout
	masked [MaxSize]byte
}

// Summarise looks at a page as it was read, which is nil where there is none. block counts over all segments of the fork.
func (s *Summariser) Summarise(p []byte, block uint32, r Rules) Summary {
	if p == nil {
		return Summary{State: Absent}
	}
	return s.Checked(p, block, s.Layout.Check(p, block), r)
}

// Checked summarises a page of which the Layout's Check says c.
func (s *Summariser) Checked(p []byte, block uint32, c Condition, r Rules) Summary {
	sum := Summary{State: c.State, LSN: c.Header.LSN, Detail: c.Detail}
	if c.State != Used {
		return sum
	}
	switch {
	case r.Fork == Visibility:
		sum.Map = s.Layout.VisibleBits(p)
	case r.Fork == Main && r.Method == Heap:
		sum.Visible = c.Header.AllVisible()
	}
	f := fields(s.masked[:s.Layout.Size])
	copy(f, p)
	a, fault := mask(f, block, r)
	if fault != "" {
		return Summary{State: Bad, LSN: sum.LSN, Detail: fault}
	}
	sum.Hints, sum.Values, sum.Split, sum.Digest = a.hints, a.values, a.split, digest(f)
	switch {
	case r.Fork == FreeSpace:
		sum.Unruly = "a free space map is not logged"
	case r.Fork == Visibility:
		sum.Unruly = "a bit of a visibility map is cleared without a new LSN: compare the map with its heap"
	case a.ranges:
		sum.Unruly = "the range map of a BRIN index is empty on a standby after CREATE DATABASE"
	case r.Method == Unknown:
		sum.Unruly = "there is no rule for this access method"
	}
	return sum
}
