package page

// bitsOfBlock is what a visibility map has for each page of its heap.
const bitsOfBlock = 2

// MapBlock is the block of a heap's visibility map that has the bits of one of its pages.
func (l Layout) MapBlock(block uint32) uint32 { return block / l.mapped() }

// mapped is for how many pages of a heap one page of its visibility map has bits.
func (l Layout) mapped() uint32 { return uint32(l.Size-HeaderSize) * 8 / bitsOfBlock }

// MapBits reads the bits of one page of a heap from the page of the visibility map that MapBlock names. A page with a set bit must have
// Header.AllVisible, unless one of both was read while it changed.
func (l Layout) MapBits(vm []byte, block uint32) (visible, frozen bool) {
	n := block % l.mapped()
	b := vm[HeaderSize+n/4] >> (n % 4 * bitsOfBlock)
	return b&1 != 0, b&2 != 0
}

// VisibleBits has a bit for each page of a heap that a page of its visibility map is about: whether it calls that page all-visible.
func (l Layout) VisibleBits(vm []byte) []byte {
	bits := make([]byte, (l.mapped()+7)/8)
	for n := range bits {
		for half, b := range vm[HeaderSize+2*n : min(HeaderSize+2*n+2, len(vm))] {
			for i := range 4 {
				bits[n] |= b >> (2 * i) & 1 << (4*half + i)
			}
		}
	}
	return bits
}

// Mapped is the first page of a heap that a page of its visibility map is about.
func (l Layout) Mapped(vm uint32) uint32 { return vm * l.mapped() }
