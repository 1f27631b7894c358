package compare

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity/page"
)

// Transactions asks for the status of transactions, as pg_xact has it: for each page which of its transactions have committed.
type Transactions struct {
	From   uint32 `json:"from"`   // the first page
	Count  uint32 `json:"count"`  // pages, at most MostStatus, or MostBits where Bits is set
	Oldest uint32 `json:"oldest"` // the transactions from this one on and before Active, as PostgreSQL orders them, count
	Active uint32 `json:"active"`
	Bits   bool   `json:"bits,omitempty"` // the bits of each page as well as their digest
}

// Status is what one page of pg_xact says.
type Status struct {
	Page      uint32      `json:"page"`
	Digest    page.Digest `json:"digest"`              // of page.Committed
	Committed []byte      `json:"committed,omitempty"` // see page.Committed
}

// Bounds of Transactions.
const (
	MostStatus = 1024
	MostBits   = 16
)

// Valid returns the error of a question that no comparison asks.
func (t *Transactions) Valid() error {
	most := uint32(MostStatus)
	if t.Bits {
		most = MostBits
	}
	if t.Count == 0 || t.Count > most {
		return fmt.Errorf("the status of %d pages of transactions cannot be read: want 1 to %d", t.Count, most)
	}
	return nil
}

// StatusOf makes a Status of a page as it was read.
func (t *Transactions) StatusOf(l page.Layout, number uint32, content []byte) Status {
	bits := page.Committed(content, number*l.TransactionsPerPage(), t.Oldest, t.Active)
	s := Status{Page: number, Digest: page.DigestOf(bits)}
	if t.Bits {
		s.Committed = bits
	}
	return s
}

const (
	statusKind = "transaction status"
	// slruPages is how many pages a file of pg_xact has.
	slruPages = 32
	// listedXIDs is how many transactions the evidence names.
	listedXIDs = 3
	// mostStatus bounds the pages of pg_xact that are compared again.
	mostStatus = 1000
)

// Reasons for what is not verified.
const (
	noSegment  = "pages of pg_xact that not all members have: they were truncated, or a file is missing"
	noStatus   = "pg_xact, of which a member's agent tells nothing"
	openStatus = "pages of pg_xact that differ, and no checkpoint has passed since"
	multixacts = "pg_multixact is not compared"
)

// Multixacts is the reason under which a listing counts pg_multixact.
const Multixacts = multixacts

// span is the transactions that are compared: all of them have ended on every member, and their status is on each disk.
type span struct {
	oldest, active uint32
	from, count    uint32 // pages
}

// waitingStatus is a page of pg_xact that differs.
type waitingStatus struct {
	ends platform.LSN // as in waiting
	now  statusVerdict
	sure bool
	gone bool // it cannot be decided any more: truncated meanwhile
}

// statusVerdict is what the same page of pg_xact of all members says.
type statusVerdict struct {
	xids     []uint32 // that differ
	suspects []int
	named    bool
	text     string
}

// spanOf is what is compared by the checkpoints of all members; false if a member does not tell.
func spanOf(all []Where, l page.Layout) (s span, ok bool) {
	s.oldest, s.active = all[0].OldestXID, all[0].EndedXIDs
	for _, w := range all {
		if w.EndedXIDs == 0 || w.OldestXID == 0 {
			return span{}, false
		}
		if int32(w.OldestXID-s.oldest) > 0 {
			s.oldest = w.OldestXID
		}
		if int32(w.EndedXIDs-s.active) < 0 {
			s.active = w.EndedXIDs
		}
	}
	if int32(s.active-s.oldest) <= 0 {
		return s, true
	}
	per := l.TransactionsPerPage()
	s.from = s.oldest / per
	last := (s.active - 1) / per
	s.count = (last-s.from+pagesOf(l))%pagesOf(l) + 1
	return s, true
}

// pagesOf is how many pages pg_xact has before their numbers begin anew.
func pagesOf(l page.Layout) uint32 { return uint32(1 << 32 / uint64(l.TransactionsPerPage())) }

// status looks at every page of pg_xact once.
func (r *run) status(ctx context.Context) error {
	l := page.Layout{Size: r.data[0].PageSize}
	for done := uint32(0); done < r.span.count; {
		from := (r.span.from + done) % pagesOf(l)
		count := min(r.span.count-done, MostStatus, pagesOf(l)-from)
		all, err := r.statuses(ctx, from, count, false)
		if err != nil {
			return err
		}
		for n := from; n < from+count; n++ {
			r.c.Blocks++
			r.c.PageBytes += int64(l.Size)
			switch had, same := together(all, n); {
			case had < len(r.members):
				r.c.Unverified[noSegment]++
			case same:
				r.c.Equal++
			case len(r.statusWaits) >= mostStatus:
				r.c.Unverified[tooMany]++
			default:
				r.statusWaits[n] = &waitingStatus{}
			}
		}
		done += count
		r.tell()
	}
	return r.lookAtStatus(ctx, slices.Sorted(maps.Keys(r.statusWaits)))
}

// statuses asks all members about the same pages: by member, and then by page.
func (r *run) statuses(ctx context.Context, from, count uint32, bits bool) ([]map[uint32]Status, error) {
	if err := r.turn(ctx); err != nil {
		return nil, err
	}
	all, sent := make([]map[uint32]Status, len(r.members)), make([]int64, len(r.members))
	want := Transactions{From: from, Count: count, Oldest: r.span.oldest, Active: r.span.active, Bits: bits}
	err := r.each(ctx, r.o.Patience, func(ctx context.Context, n int) error {
		found, at, bytes, err := r.members[n].Transactions(ctx, want)
		if err == nil {
			err = r.unchanged(n, at.Data)
		}
		all[n] = make(map[uint32]Status, len(found))
		for _, s := range found {
			all[n][s.Page] = s
		}
		sent[n] += bytes
		return err
	})
	for _, bytes := range sent {
		r.c.SentBytes += bytes
	}
	return all, err
}

// together tells how many members have a page, and whether they say the same.
func together(all []map[uint32]Status, n uint32) (had int, same bool) {
	var first page.Digest
	same = true
	for _, m := range all {
		s, ok := m[n]
		if !ok {
			continue
		}
		if had == 0 {
			first = s.Digest
		}
		had++
		same = same && s.Digest == first
	}
	return had, same
}

// lookAtStatus looks at the bits of pages that differ.
func (r *run) lookAtStatus(ctx context.Context, pages []uint32) error {
	l := page.Layout{Size: r.data[0].PageSize}
	for _, n := range pages {
		all, err := r.statuses(ctx, n, 1, true)
		if err != nil {
			return err
		}
		w := r.statusWaits[n]
		had, same := together(all, n)
		switch {
		case had < len(r.members):
			w.gone, w.now = true, statusVerdict{}
			continue
		case same:
			r.c.Equal++
			delete(r.statusWaits, n)
			continue
		}
		bits := make([][]byte, len(all))
		for m := range all {
			bits[m] = all[m][n].Committed
		}
		before := w.now.xids
		w.now = r.judgeStatus(bits, n*l.TransactionsPerPage())
		w.sure = slices.ContainsFunc(w.now.xids, func(xid uint32) bool { return slices.Contains(before, xid) })
		w.ends = 0
	}
	return nil
}

// judgeStatus names the members that are wrong about transactions: those that most members contradict.
func (r *run) judgeStatus(bits [][]byte, first uint32) (v statusVerdict) {
	for m := 1; m < len(bits); m++ {
		v.xids = append(v.xids, page.DifferentBits(bits[0], bits[m], first)...)
	}
	slices.SortFunc(v.xids, func(a, b uint32) int { return cmp.Compare(a-first, b-first) })
	v.xids = slices.Compact(v.xids)
	v.named = true
	var texts []string
	for n, xid := range v.xids {
		var has, lacks []int
		for m := range bits {
			if at := xid - first; bits[m][at/8]>>(at%8)&1 != 0 {
				has = append(has, m)
			} else {
				lacks = append(lacks, m)
			}
		}
		wrong, ok := lacks, 2*len(has) > len(bits)
		if 2*len(lacks) > len(bits) {
			wrong, ok = has, true
		}
		if !ok || len(wrong) == 1 && r.data[wrong[0]].Primary { // the replay of all replicas may have the same fault
			v.named, wrong = false, slices.Concat(has, lacks)
		}
		v.suspects = append(v.suspects, wrong...)
		if n < listedXIDs {
			texts = append(texts, fmt.Sprintf("transaction %d has committed by %s, and not by %s", xid, r.namesOf(has), r.namesOf(lacks)))
		}
	}
	slices.Sort(v.suspects)
	v.suspects = slices.Compact(v.suspects)
	v.text = strings.Join(texts, "; ")
	if more := len(v.xids) - listedXIDs; more > 0 {
		v.text += fmt.Sprintf("; and %d more", more)
	}
	if !v.named {
		v.text += ". This would decide: a third member that is a replica, too, or that file of an older backup"
	}
	return v
}

func (r *run) namesOf(members []int) string {
	var names []string
	for _, m := range members {
		names = append(names, r.names[m])
	}
	return strings.Join(names, " and ")
}

// settleStatus looks again at pages of pg_xact whose difference a checkpoint of every member has outlasted; open tells whether others wait.
func (r *run) settleStatus(ctx context.Context, redo platform.LSN) (looked, open bool, err error) {
	var due []uint32
	for n, w := range r.statusWaits {
		switch {
		case w.sure || w.gone:
		case w.ends != 0 && w.ends <= redo:
			due = append(due, n)
		}
	}
	slices.Sort(due)
	if err := r.lookAtStatus(ctx, due); err != nil {
		return false, true, err
	}
	for _, w := range r.statusWaits {
		open = open || !w.sure && !w.gone
	}
	return len(due) > 0, open, nil
}

// giveStatus counts and lists the pages of pg_xact that have not become equal.
func (r *run) giveStatus() {
	for _, n := range slices.Sorted(maps.Keys(r.statusWaits)) {
		w := r.statusWaits[n]
		switch {
		case w.gone:
			r.c.Unverified[noSegment]++
			continue
		case !w.sure:
			r.c.Unverified[openStatus]++
			continue
		}
		counts := r.c.Suspect
		if w.now.named {
			counts = r.c.Wrong
		}
		d := health.DifferentBlock{Path: fmt.Sprintf("pg_xact/%04X", n/slruPages), Block: n % slruPages, Kind: statusKind, Named: w.now.named,
			Settled: true, Detail: w.now.text}
		for _, m := range w.now.suspects {
			counts[r.names[m]]++
			d.Suspects = append(d.Suspects, r.names[m])
		}
		if r.c.Differ++; len(r.c.Damage) < mostListed {
			r.c.Damage = append(r.c.Damage, d)
		}
	}
}
