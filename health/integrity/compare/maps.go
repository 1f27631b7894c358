package compare

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// A set bit of a visibility map must mean that the page of the heap says so on the same member: queries and VACUUM pass by such pages.
// The other way round is allowed. On the disk both are written at different times, so a contradiction counts only if
//   - the map's LSN is the same before and after a checkpoint: setting a bit changes it, so the bit was set all the time; and
//   - the page of the heap, read after the checkpoint, is older than that: clearing its flag is logged, so the flag was clear all the time.

const (
	mapKind = "visibility map"
	// openMaps is why a page of a map is neither right nor wrong.
	openMaps = "pages of visibility maps that contradict their heaps, and kept changing"
	// mostStale is how many pages of a heap are read again for one page of its map and member; listedStale how many the evidence names.
	mostStale   = 16
	listedStale = 3
)

// heap is what the pages of the present relation say: for each member a bit for each page that is not all-visible.
type heap struct {
	relation integrity.Relation
	hidden   [][]byte
}

// staleMap is a page of a visibility map with bits that contradict its heap.
type staleMap struct {
	ends  platform.LSN // as in waiting
	looks int
	lsn   []platform.LSN    // of the map, for each member, at the last look
	seen  []map[uint32]bool // for each member the pages that the map calls all-visible, and that do not; true: that is sure
}

func (w *staleMap) done() bool {
	return w.looks >= mostLooks || slices.ContainsFunc(w.seen, func(s map[uint32]bool) bool {
		return slices.Contains(slices.Collect(maps.Values(s)), true)
	})
}

// mapped takes the first look at a page of a heap, or of its map, which comes behind all pages of the heap.
func (r *run) mapped(at integrity.Block, s []page.Summary) {
	switch {
	case r.catalog[at.Relation].Method != page.Heap:
	case at.Fork == page.Main:
		if r.heap.hidden == nil || r.heap.relation != at.Relation {
			r.heap = heap{at.Relation, make([][]byte, len(s))}
		}
		for m := range s {
			r.heap.hide(m, at.Number, s[m])
		}
	case at.Fork == page.Visibility && r.heap.relation == at.Relation && len(r.waiting) < mostWaiting:
		w := newStaleMap(s)
		for m := range s {
			w.seen[m] = r.stale(s[m], at.Number, r.heap.hidden[m])
		}
		if w.contradicts() {
			r.maps[at] = w
		}
	}
}

// newStaleMap is for the pages of a map that members have.
func newStaleMap(s []page.Summary) *staleMap {
	w := &staleMap{seen: make([]map[uint32]bool, len(s)), lsn: make([]platform.LSN, len(s))}
	for m := range s {
		w.lsn[m], w.seen[m] = s[m].LSN, map[uint32]bool{}
	}
	return w
}

func (w *staleMap) contradicts() bool {
	return slices.ContainsFunc(w.seen, func(s map[uint32]bool) bool { return len(s) > 0 })
}

// hide notes a page that is not all-visible.
func (h *heap) hide(m int, block uint32, s page.Summary) {
	if hidden(s) {
		if at := int(block / 8); at >= len(h.hidden[m]) {
			h.hidden[m] = append(h.hidden[m], make([]byte, at+1-len(h.hidden[m]))...)
		}
		h.hidden[m][block/8] |= 1 << (block % 8)
	}
}

// hidden tells whether a page is not all-visible. What was not read, or is no page, says nothing; a page without content is not.
func hidden(s page.Summary) bool {
	return !s.Visible && (s.State == page.Used || s.State == page.Zero || s.State == page.Blank)
}

// stale are the first pages of a heap that a page of its map calls all-visible, and that are hidden.
func (r *run) stale(vm page.Summary, number uint32, hidden []byte) map[uint32]bool {
	all := map[uint32]bool{}
	first := page.Layout{Size: r.data[0].PageSize}.Mapped(number) // a multiple of 8
	for n, bits := range vm.Map {
		at := int(first/8) + n
		if at >= len(hidden) || len(all) >= mostStale {
			break
		}
		for i := range uint32(8) {
			if bits&hidden[at]>>i&1 != 0 {
				all[uint32(8*at)+i] = false
			}
		}
	}
	return all
}

// settleMaps looks again at maps whose contradictions a checkpoint of every member has outlasted.
func (r *run) settleMaps(ctx context.Context, redo platform.LSN) (looked, open bool, err error) {
	for _, at := range slices.SortedFunc(maps.Keys(r.maps), integrity.Block.Compare) {
		w := r.maps[at]
		if w.done() || w.ends == 0 || w.ends > redo {
			open = open || !w.done()
			continue
		}
		if err := r.lookAtMap(ctx, at, w); err != nil {
			return looked, true, err
		}
		looked, open = true, true
	}
	return looked, open, nil
}

// lookAtMap reads the map once more, and the pages of the heap that it contradicts.
func (r *run) lookAtMap(ctx context.Context, at integrity.Block, w *staleMap) error {
	blocks := map[uint32]bool{}
	for _, seen := range w.seen {
		maps.Copy(blocks, seen)
	}
	b := batch{extents: []integrity.Extent{r.extent(at, 1)}, blocks: uint32(len(blocks) + 1)}
	for _, block := range slices.Sorted(maps.Keys(blocks)) {
		b.extents = append(b.extents, r.extent(integrity.Block{Relation: at.Relation, Number: block}, 1))
	}
	var next *staleMap
	var vm []page.Summary
	first := page.Layout{Size: r.data[0].PageSize}.Mapped(at.Number)
	err := r.look(ctx, b, func(now integrity.Block, s []page.Summary, _ []platform.LSN) {
		if now == at {
			vm, next = slices.Clone(s), newStaleMap(s)
			return
		}
		bit := now.Number - first
		for m := range s {
			if bits := vm[m].Map; int(bit/8) < len(bits) && bits[bit/8]>>(bit%8)&1 != 0 && hidden(s[m]) {
				_, known := w.seen[m][now.Number]
				next.seen[m][now.Number] = known && vm[m].LSN == w.lsn[m] && s[m].LSN <= w.ends
			}
		}
	})
	if err != nil {
		return err
	}
	if next == nil || !next.contradicts() {
		delete(r.maps, at)
		return nil
	}
	next.looks = w.looks + 1
	*w = *next
	return nil
}

// giveMaps counts and lists the maps that contradict their heaps. Such a page of a map is none that is equal, or not verified.
func (r *run) giveMaps() {
	for _, at := range slices.SortedFunc(maps.Keys(r.maps), integrity.Block.Compare) {
		d := health.DifferentBlock{Path: pathOf(at), Relation: r.catalog[at.Relation].Name, Block: at.Number, Kind: mapKind, Named: true,
			Settled: true}
		var texts []string
		var suspects []int
		for m, seen := range r.maps[at].seen {
			maps.DeleteFunc(seen, func(_ uint32, sure bool) bool { return !sure })
			if len(seen) > 0 {
				suspects = append(suspects, m)
				texts = append(texts, r.names[m]+": "+staleText(slices.Sorted(maps.Keys(seen))))
			}
		}
		switch w := r.waiting[at]; {
		case w == nil:
			r.c.Equal--
		case w.listed:
			continue
		default:
			delete(r.waiting, at)
		}
		if len(suspects) == 0 {
			r.c.Unverified[openMaps]++
			continue
		}
		d.Detail = strings.Join(texts, "; ") + ". " + r.mends(suspects)
		r.add(suspects, d)
	}
}

func staleText(blocks []uint32) string {
	var names []string
	for _, b := range blocks[:min(listedStale, len(blocks))] {
		names = append(names, fmt.Sprint(b))
	}
	text := "the map calls page " + strings.Join(names, ", ") + " of the table all-visible, and the page itself does not"
	if more := len(blocks) - listedStale; more > 0 {
		text += fmt.Sprintf("; the same holds for %d more", more)
	}
	return text
}

// mends is what makes the maps of these members right: what VACUUM of the primary finds right there it does not log.
func (r *run) mends(suspects []int) string {
	for m, d := range r.data {
		if d.Primary && slices.Contains(suspects, m) {
			return "VACUUM (DISABLE_PAGE_SKIPPING) of the table on the primary makes its map anew"
		}
	}
	return "The map of the primary is right, or was not compared: a new copy of its data mends that"
}
