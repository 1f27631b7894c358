package page

import (
	"bytes"
	"fmt"
)

// State is the state of a page judged on its own. The zero value says nothing.
type State int

// States of a page.
const (
	Unread State = iota
	Absent       // beyond the end of its file: never an answer of Check
	Zero         // all zeros: PostgreSQL extends files with such pages
	Blank        // initialised and nothing else, without WAL
	Used
	Bad
)

var stateNames = []string{"unread", "absent", "zero", "blank", "used", "bad"}

func (s State) String() string { return name(stateNames, int(s)) }

func name(names []string, n int) string {
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%d", n)
}

// Fault is what is wrong with a Bad page.
type Fault int

// Faults of a page.
const (
	NoFault       Fault = iota
	WrongChecksum       // the page is not what PostgreSQL wrote there
	WrongHeader         // the checksum matches or there is none, and the header makes no sense
	WrongItem           // a line pointer leads out of the page, or to no row: only Summarise looks at those
)

var faultNames = []string{"none", "checksum", "header", "item"}

func (f Fault) String() string { return name(faultNames, int(f)) }

// Condition is the condition of one page judged on its own.
type Condition struct {
	State    State
	Verified bool // by a checksum, and not by the header only
	Fault    Fault
	Detail   string // of a Bad page: the evidence, for people
	Header   Header // not of a Zero page
	// Elsewhere is, where the checksum is wrong as that block and right as another of the first 65535, that block's number plus one: if the
	// fork has that block, the page may have been written to the wrong place. Nearly every checksum is right as one of so many blocks.
	Elsewhere uint32
}

var zeros [MaxSize]byte

// Check looks at a page as PostgreSQL does when it reads it from disk (PageIsVerified), and a little closer. p has the layout's size.
// Bytes that were read while PostgreSQL wrote the page may be Bad; only those that stay the same are.
func (l Layout) Check(p []byte, block uint32) (c Condition) {
	if !l.Known() || len(p) != l.Size {
		return Condition{}
	}
	if bytes.Equal(p, zeros[:l.Size]) {
		return Condition{State: Zero}
	}
	c.State, c.Header = Used, HeaderOf(p)
	header := c.Header.fault(l)
	if l.Checksums {
		raw := sum(p)
		if want := fold(raw ^ block); want != c.Header.Checksum {
			c.State, c.Fault = Bad, WrongChecksum
			c.Detail = fmt.Sprintf("its checksum is %04X instead of %04X", c.Header.Checksum, want)
			c.Elsewhere = elsewhere(raw, c.Header.Checksum)
			if header != "" {
				c.Detail += ", and " + header
			}
			return c
		}
		c.Verified = true
	}
	if header != "" {
		c.State, c.Fault, c.Detail = Bad, WrongHeader, header
	} else if c.Header.blank(l) {
		c.State = Blank
	}
	return c
}

// blank: a page that was initialised when its file was extended, which is not logged until rows come.
func (h Header) blank(l Layout) bool {
	return h.LSN == 0 && h.Lower == HeaderSize && h.Upper == h.Special && h.Special == l.Size
}

// elsewhere finds the lowest block as which a checksum would be right, plus one; 0 for none below 65535.
func elsewhere(raw uint32, checksum uint16) uint32 {
	if checksum == 0 {
		return 0
	}
	// fold(raw^block) is that checksum where raw^block leaves checksum-1 when divided by 65535; such a block changes the low half of raw only.
	base := raw & 0xFFFF0000
	for low := (uint32(checksum) - 1 + 65535 - base%65535) % 65535; low <= 0xFFFF; low += 65535 {
		if block := (base | low) ^ raw; block < 65535 {
			return block + 1
		}
	}
	return 0
}
