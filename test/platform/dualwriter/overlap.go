package dualwriter

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Ack is one acknowledged INSERT. The server acknowledged it at some instant between Started and Acked.
type Ack struct {
	Host     string
	N        int           // number of the attempt on its host
	Timeline string        // as in the names of WAL files: 00000002
	Started  time.Duration // since the start of the run, right before the statement was sent
	Acked    time.Duration // right after its answer was read
}

// before tells whether a was acknowledged before b, for certain: its answer was here before b was sent.
func (a Ack) before(b Ack) bool { return a.Acked < b.Started }

func (a Ack) String() string {
	return fmt.Sprintf("%s #%d on timeline %s [%v, %v]", a.Host, a.N, a.Timeline, a.Started, a.Acked)
}

// Reign is what one host acknowledged on one timeline.
type Reign struct {
	Host     string
	Timeline string
	Begin    time.Duration // Started of the first
	End      time.Duration // Acked of the last
	Acks     int
}

// Overlap proves two primaries at once: Again is of the same reign as First, Between of another host, and each was
// answered before the next was sent.
type Overlap struct {
	First, Between, Again Ack
	Acks                  int // how many acknowledgements of Between's reign lie inside First's reign like this
}

func (o Overlap) String() string {
	return fmt.Sprintf("two primaries at once (%d proofs): %v, then %v, then %v", o.Acks, o.First, o.Between, o.Again)
}

// Acks returns all acknowledgements so far, by host in order.
func (t *Tester) Acks() []Ack {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.acks)
}

// Reigns returns who acknowledged when, ordered by begin.
func (t *Tester) Reigns() []Reign { return reigns(t.Acks()) }

// Overlaps returns the proofs of two primaries at once, one for each pair of reigns; none is what S1 asks for.
//
// The rule: a reign is (host, timeline), and each reign is one stretch of time. A primary that is followed by another one
// comes back only by a promotion, and each promotion begins a new timeline. So if host A acknowledged on timeline t, then
// host B acknowledged, then A again on the same t, A had been primary all along. "Then" means that the answer of the one
// was read before the next was sent, by one clock: no delay of the network or of a server can pretend it.
//
// It does not detect two primaries of which one acknowledged nothing before, or nothing after, an acknowledgement of
// the other. With an attempt every 10 ms that is a handover to within some attempts, not a second primary.
func (t *Tester) Overlaps() []Overlap { return overlaps(t.Acks()) }

type reignKey struct{ host, timeline string }

func (a Ack) key() reignKey { return reignKey{a.Host, a.Timeline} }

func reigns(acks []Ack) []Reign {
	byKey := map[reignKey]Reign{}
	for _, a := range acks {
		r, seen := byKey[a.key()]
		if !seen {
			r = Reign{Host: a.Host, Timeline: a.Timeline, Begin: a.Started}
		}
		r.Begin, r.End, r.Acks = min(r.Begin, a.Started), max(r.End, a.Acked), r.Acks+1
		byKey[a.key()] = r
	}
	all := make([]Reign, 0, len(byKey))
	for _, r := range byKey {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reign) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Timeline, b.Timeline))
	})
	return all
}

func overlaps(acks []Ack) (found []Overlap) {
	// There is one writer for each host: in the order of Started, the acknowledgements of a reign are in the order of Acked as well.
	acks = slices.Clone(acks)
	slices.SortFunc(acks, func(a, b Ack) int {
		return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.Host, b.Host))
	})
	byKey := map[reignKey][]Ack{}
	for _, a := range acks {
		byKey[a.key()] = append(byKey[a.key()], a)
	}
	for _, outer := range reigns(acks) {
		own := byKey[reignKey{outer.Host, outer.Timeline}]
		for _, inner := range reigns(acks) {
			if inner.Host == outer.Host {
				continue
			}
			if o := inside(own, byKey[reignKey{inner.Host, inner.Timeline}]); o.Acks > 0 {
				found = append(found, o)
			}
		}
	}
	return found
}

// inside looks for acknowledgements of other that lie between two of own, and returns the first with its closest neighbours.
func inside(own, other []Ack) (o Overlap) {
	for _, b := range other {
		sent := sort.Search(len(own), func(i int) bool { return !own[i].before(b) }) // own[:sent] are before b
		again := sort.Search(len(own), func(i int) bool { return b.before(own[i]) }) // own[again:] are after b
		if sent == 0 || again == len(own) {
			continue
		}
		if o.Acks == 0 {
			o.First, o.Between, o.Again = own[sent-1], b, own[again]
		}
		o.Acks++
	}
	return o
}
