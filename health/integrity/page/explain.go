package page

import "fmt"

// Explain says for people where two pages differ, beyond what may differ.
func (l Layout) Explain(a, b []byte, block uint32, r Rules) string {
	for _, p := range [][]byte{a, b} {
		if c := l.Check(p, block); c.State == Bad {
			return c.Detail
		} else if c.State != Used {
			return "one page is " + c.State.String()
		}
	}
	f, g := fields(append([]byte(nil), a...)), fields(append([]byte(nil), b...))
	h := HeaderOf(a)
	if _, fault := mask(f, block, r); fault != "" {
		return fault
	}
	if _, fault := mask(g, block, r); fault != "" {
		return fault
	}
	first, last, count := -1, 0, 0
	for n := range f {
		if f[n] != g[n] {
			if count++; first < 0 {
				first = n
			}
			last = n
		}
	}
	if count == 0 {
		return "the masked pages are the same"
	}
	return fmt.Sprintf("%d bytes differ, from %d to %d, the first in %s", count, first, last, place(a, h, first))
}

// place names the part of a page that a byte belongs to.
func place(p fields, h Header, at int) string {
	switch {
	case at < HeaderSize:
		return "the header"
	case at < h.Lower:
		return fmt.Sprintf("line pointer %d", (at-HeaderSize)/pointerSize+1)
	case at < h.Upper:
		return "the free space"
	case at >= h.Special:
		return "what the access method keeps at the end"
	}
	for i := HeaderSize; i+pointerSize <= h.Lower; i += pointerSize {
		n := p.uint32(i)
		if offset := int(n & offsetsOfItem); at >= offset && at < offset+int(n>>lengthOfItem) {
			return fmt.Sprintf("item %d, at its byte %d", (i-HeaderSize)/pointerSize+1, at-offset)
		}
	}
	return "bytes between items"
}
