package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// An incremental comparison reads the pages that WAL has changed since the one before, and those that this one did not find equal. All
// others were found equal, had been written out by then on every member, and no server has had a reason to write them since. That says
// nothing about what a disk has made of them: they keep the age of their last reading.
//
// Every change that is logged names its page in its record's header, whatever the resource manager. What is not logged is no matter of a
// comparison: hint bits, free space maps, unlogged relations. Three things are not named page by page. Files that are created, cut off or
// copied are read whole, or from there on. So is what a fork has beyond its former length, or beyond the length that it has on another
// member, and a fork that was not there. The bits that a change clears in a visibility map are found by the page of the heap.

// Base is what an incremental comparison rests on: one that has reached its end.
type Base struct {
	Data         Data              `json:"data"` // of all its members, but for the incarnation and the role
	Incarnations map[string]string `json:"incarnations"`
	// From is where the last checkpoint or restartpoint had begun of the member that was behind the others, before the first page was read.
	// A page that no record from there on names had been written out by every member when it was compared.
	From  platform.LSN      `json:"from"`
	Full  time.Time         `json:"full"` // when the last comparison began that has read every page
	Forks []Fork            `json:"forks"`
	Open  []integrity.Block `json:"open,omitempty"` // what was not equal
}

// noBase is why a comparison is full that should rest on none.
const noBase = "no earlier comparison is known on this host that has reached its end and left few pages open"

// mostOpen is how many pages a comparison may leave open for the next one to be incremental.
const mostOpen = 10_000

// baseOf is what the next comparison may rest on; nil for nothing. It is asked before the results are given.
func (r *run) baseOf(began time.Time) *Base {
	if len(r.waiting)+len(r.maps) > mostOpen || r.c.Unverified[tooMany] > 0 {
		return nil
	}
	b := &Base{Data: r.data[0], Incarnations: r.c.Incarnations, From: r.from, Full: began, Forks: r.forks}
	if b.Data.Incarnation, b.Data.Primary, b.Data.HintsLogged = "", false, r.hints; r.since != nil {
		b.Full = r.o.Since.Full
	}
	open := map[integrity.Block]bool{}
	for at := range r.waiting {
		open[at] = true
	}
	for at, w := range r.maps {
		open[at] = true
		for _, seen := range w.seen {
			for block := range seen {
				open[integrity.Block{Relation: at.Relation, Number: block}] = true
			}
		}
	}
	b.Open = slices.SortedFunc(maps.Keys(open), integrity.Block.Compare)
	return b
}

// Changes are the pages that WAL has changed.
type Changes struct {
	forks     map[Fork]*changed // without lengths
	databases map[[2]uint32]bool
}

// changed is of one fork.
type changed struct {
	bits []byte
	from uint32 // this block and all behind it; math.MaxUint32: none
}

// NewChanges has none.
func NewChanges() *Changes {
	return &Changes{forks: map[Fork]*changed{}, databases: map[[2]uint32]bool{}}
}

// Add adds what a record names.
func (c *Changes) Add(change ondisk.Change) {
	at := integrity.Block{Relation: integrity.Relation{Space: change.Space, Database: change.Database, Node: change.Node},
		Fork: page.Fork(change.Fork), Number: change.Block}
	switch change.Reach {
	case ondisk.OneBlock:
		c.of(at).set(at.Number)
	case ondisk.Onwards:
		f := c.of(at)
		f.from = min(f.from, at.Number)
	case ondisk.Databases:
		c.databases[[2]uint32{change.Space, change.Database}] = true
	}
}

func (c *Changes) of(at integrity.Block) *changed {
	key := Fork{Relation: at.Relation, Fork: at.Fork}
	f := c.forks[key]
	if f == nil {
		f = &changed{from: math.MaxUint32}
		c.forks[key] = f
	}
	return f
}

// Merge adds those of another one.
func (c *Changes) Merge(o *Changes) {
	for key, f := range o.forks {
		into := c.of(key.first())
		into.from = min(into.from, f.from)
		if len(into.bits) < len(f.bits) {
			into.bits = append(into.bits, make([]byte, len(f.bits)-len(into.bits))...)
		}
		for n, b := range f.bits {
			into.bits[n] |= b
		}
	}
	maps.Copy(c.databases, o.databases)
}

// packedChanges are changes in a file.
type packedChanges struct {
	Forks     []packedChanged `json:"forks,omitempty"`
	Databases [][2]uint32     `json:"databases,omitempty"` // tablespace and database
}

type packedChanged struct {
	Of   integrity.Block `json:"of"` // its number is changed.from
	Bits []byte          `json:"bits,omitempty"`
}

// MarshalJSON writes them in an order of their own.
func (c *Changes) MarshalJSON() ([]byte, error) {
	var p packedChanges
	for key, f := range c.forks {
		at := key.first()
		at.Number = f.from
		p.Forks = append(p.Forks, packedChanged{at, f.bits})
	}
	slices.SortFunc(p.Forks, func(a, b packedChanged) int { return a.Of.Compare(b.Of) })
	p.Databases = slices.SortedFunc(maps.Keys(c.databases), func(a, b [2]uint32) int { return slices.Compare(a[:], b[:]) })
	return json.Marshal(p)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Changes) UnmarshalJSON(text []byte) error {
	var p packedChanges
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	*c = *NewChanges()
	for _, f := range p.Forks {
		from := f.Of.Number
		f.Of.Number = 0
		*c.of(f.Of) = changed{f.Bits, from}
	}
	for _, d := range p.Databases {
		c.databases[d] = true
	}
	return nil
}

func (f *changed) set(n uint32) {
	if at := int(n / 8); at >= len(f.bits) {
		f.bits = append(f.bits, make([]byte, at+1-len(f.bits))...)
	}
	f.bits[n/8] |= 1 << (n % 8)
}

// runs are the blocks before from, as first ones and counts.
func (f *changed) runs(from uint32) iter.Seq2[uint32, uint32] {
	return func(yield func(uint32, uint32) bool) {
		var first, count uint32
		for n, b := range f.bits {
			for ; b != 0; b &= b - 1 {
				at := uint32(8*n + bits.TrailingZeros8(b))
				switch {
				case at >= from:
				case count > 0 && at == first+count:
					count++
				default:
					if count > 0 && !yield(first, count) {
						return
					}
					first, count = at, 1
				}
			}
		}
		if count > 0 {
			yield(first, count)
		}
	}
}

// since is an incremental comparison.
type since struct {
	*Changes
	lengths map[Fork]uint32
}

// rest finds what is read: all, or, for an incremental comparison that can be made, what has changed. The error is the context's.
func (r *run) rest(ctx context.Context, lists []Listing) error {
	for n, l := range lists {
		if n == 0 || l.Redo < r.from {
			r.from = l.Redo
		}
	}
	r.c.Horizon = r.from
	if r.o.Since == nil {
		return nil
	}
	if r.o.Since.From == 0 {
		r.c.FullBecause = noBase
		return nil
	}
	if why := r.restsOn(*r.o.Since, lists); why != "" {
		r.c.FullBecause = why
		return nil
	}
	if err := r.turn(ctx); err != nil {
		return err
	}
	var changes *Changes
	data := r.total * int64(r.data[0].PageSize)
	err := r.holding(ctx, func(ctx context.Context) (err error) {
		changes, r.c.WALBytes, err = r.o.Changes(ctx, r.o.Since.Data.Timeline, r.o.Since.From, r.from, data)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		r.c.FullBecause = err.Error()
		return nil
	}
	s := &since{changes, make(map[Fork]uint32, len(r.o.Since.Forks))}
	for _, f := range r.o.Since.Forks {
		s.lengths[Fork{Relation: f.Relation, Fork: f.Fork}] = f.Blocks
	}
	for _, at := range r.o.Since.Open {
		s.of(at).set(at.Number)
	}
	for _, f := range r.forks {
		if f.Fork == page.Visibility {
			s.mapOf(f, page.Layout{Size: r.data[0].PageSize})
		}
	}
	r.since = s
	for _, f := range r.forks {
		all := int64(f.Blocks)
		for _, count := range r.blocks(f) {
			all -= int64(count)
		}
		r.c.Unread += all
	}
	r.total -= r.c.Unread
	r.c.Incremental = true
	r.age()
	return nil
}

// age is that of the oldest reading of a page that is not read again.
func (r *run) age() {
	if r.c.Unread > 0 {
		r.c.UnreadMS = max(1, time.Since(r.o.Since.Full).Milliseconds())
	}
}

// restsOn is why a comparison cannot rest on another one; "" if it can.
func (r *run) restsOn(b Base, lists []Listing) string {
	d := r.data[0]
	if d.Incarnation, d.Primary, d.HintsLogged = "", false, r.hints; d.Timeline != b.Data.Timeline {
		return fmt.Sprintf("the primary has changed since the last comparison: it was of timeline %d, and the last checkpoint is of %d",
			b.Data.Timeline, d.Timeline)
	} else if d != b.Data {
		return "checksums or wal_log_hints are not what they were at the last comparison"
	}
	for n, l := range lists {
		switch was, known := b.Incarnations[r.names[n]]; {
		case !known:
			return r.names[n] + " was not in the last comparison"
		case was != l.Incarnation:
			return "the data of " + r.names[n] + " is another copy than that of the last comparison"
		}
	}
	return ""
}

// mapOf adds the pages of a visibility map that are about pages of its heap.
func (s *since) mapOf(vm Fork, l page.Layout) {
	heap := s.forks[Fork{Relation: vm.Relation}]
	if heap == nil {
		return
	}
	f := s.of(vm.first())
	for first, count := range heap.runs(math.MaxUint32) {
		for n := l.MapBlock(first); n <= l.MapBlock(first+count-1); n++ {
			f.set(n)
		}
	}
	if heap.from != math.MaxUint32 {
		f.from = min(f.from, l.MapBlock(heap.from))
	}
}

// blocks are those of a fork to look at, as first ones and counts.
func (r *run) blocks(f Fork) iter.Seq2[uint32, uint32] {
	return func(yield func(uint32, uint32) bool) {
		from := uint32(0)
		if r.since != nil && !r.since.databases[[2]uint32{f.Space, f.Database}] {
			key := Fork{Relation: f.Relation, Fork: f.Fork}
			from = min(r.shortest[key], r.since.lengths[key])
			if c := r.since.forks[key]; c != nil {
				from = min(from, c.from)
				for first, count := range c.runs(from) {
					if !yield(first, count) {
						return
					}
				}
			}
		}
		if from < f.Blocks {
			yield(from, f.Blocks-from)
		}
	}
}
