package page

import "encoding/binary"

// columns is how many sums PostgreSQL's checksum keeps in parallel (N_SUMS), and rowSize the bytes that all of them take at once.
const (
	columns = 32
	rowSize = 4 * columns
	prime   = 16777619
)

// bases are the first values of the sums (checksumBaseOffsets).
var bases = [columns]uint32{
	0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
	0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
	0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
	0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
}

// Checksum is what pd_checksum of a page must be where it is that block of its relation's fork, counted over all segments. The page's
// length is a Layout's Size.
func Checksum(p []byte, block uint32) uint16 {
	return fold(sum(p) ^ block)
}

func fold(n uint32) uint16 { return uint16(n%65535 + 1) }

// sum is the checksum before the number of the block enters it, of a page whose pd_checksum counts as zero.
func sum(p []byte) (result uint32) {
	var first [rowSize]byte
	copy(first[:], p[:rowSize])
	first[atChecksum], first[atChecksum+1] = 0, 0
	for c := 0; c < columns; c += 8 { // eight sums fit into registers
		s := (*[8]uint32)(bases[c : c+8])
		a0, a1, a2, a3, a4, a5, a6, a7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		for at := 0; at < len(p); at += rowSize {
			row := p[at+4*c:][:32]
			if at == 0 {
				row = first[4*c:][:32]
			}
			a0 = mix(a0, binary.LittleEndian.Uint32(row[0:]))
			a1 = mix(a1, binary.LittleEndian.Uint32(row[4:]))
			a2 = mix(a2, binary.LittleEndian.Uint32(row[8:]))
			a3 = mix(a3, binary.LittleEndian.Uint32(row[12:]))
			a4 = mix(a4, binary.LittleEndian.Uint32(row[16:]))
			a5 = mix(a5, binary.LittleEndian.Uint32(row[20:]))
			a6 = mix(a6, binary.LittleEndian.Uint32(row[24:]))
			a7 = mix(a7, binary.LittleEndian.Uint32(row[28:]))
		}
		for _, a := range [8]uint32{a0, a1, a2, a3, a4, a5, a6, a7} {
			result ^= mix(mix(a, 0), 0)
		}
	}
	return result
}

func mix(sum, value uint32) uint32 {
	t := sum ^ value
	return t*prime ^ t>>17
}
