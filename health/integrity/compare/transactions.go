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

// Transactions asks for the status of transactions, as pg_xact has it: for each page which of its transactions have committed. Or it asks
// for the pages of another table.
type Transactions struct {
	// Of is which table: "" for pg_xact, Offsets or Members. An agent of an earlier version knows pg_xact alone.
	Of     string `json:"of,omitempty"`
	From   uint32 `json:"from"`   // the first page
	Count  uint32 `json:"count"`  // pages, at most MostStatus, or MostBits where Bits is set
	Oldest uint32 `json:"oldest"` // the entries from this one on and before Active, as PostgreSQL orders them, count
	Active uint32 `json:"active"`
	Bits   bool   `json:"bits,omitempty"` // what counts of each page as well as its digest
}

// Status is what one page says.
type Status struct {
	Page      uint32      `json:"page"`
	Digest    page.Digest `json:"digest"`              // of what counts
	Committed []byte      `json:"committed,omitempty"` // what counts: see page.Committed, page.Offsets and page.Members
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
	} else if t.Of != "" && t.Of != Offsets && t.Of != Members {
		return fmt.Errorf("there is no table %q", t.Of)
	}
	return nil
}

// Folder is where the pages are, below the data directory.
func (t *Transactions) Folder() string { return folderOf(t.Of) }

// StatusOf makes a Status of a page as it was read.
func (t *Transactions) StatusOf(l page.Layout, number uint32, content []byte) Status {
	of := map[string]func([]byte, uint32, uint32, uint32) []byte{Offsets: page.Offsets, Members: page.Members}[t.Of]
	if of == nil {
		of = page.Committed
	}
	counts := of(content, number*entriesOf(t.Of, l), t.Oldest, t.Active)
	s := Status{Page: number, Digest: page.DigestOf(counts)}
	if t.Bits {
		s.Committed = counts
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
)

// span is the entries of a table that are compared, which are on the disk of every member. Of pg_xact it is transactions that have ended.
type span struct {
	of             string // as Transactions.Of
	oldest, active uint32
	from, count    uint32 // pages
}

// tablePage is one page of a table.
type tablePage struct {
	of string
	n  uint32
}

func inTables(a, b tablePage) int { return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.n, b.n)) }

// waitingStatus is a page of a table that differs.
type waitingStatus struct {
	span span
	ends platform.LSN // as in waiting
	now  statusVerdict
	sure bool
	gone bool // it cannot be decided any more: truncated meanwhile
	// listed: it is in the result already.
	listed bool
}

// statusVerdict is what the same page of all members says.
type statusVerdict struct {
	xids     []uint32 // or other entries, that differ
	suspects []int
	named    bool
	text     string
}

// spanOf is what is compared of pg_xact by the checkpoints of all members; false if a member does not tell.
func spanOf(all []Where, l page.Layout) (s span, ok bool) {
	oldest, active := all[0].OldestXID, all[0].EndedXIDs
	for _, w := range all {
		if w.EndedXIDs == 0 || w.OldestXID == 0 {
			return span{}, false
		}
		if int32(w.OldestXID-oldest) > 0 {
			oldest = w.OldestXID
		}
		if int32(w.EndedXIDs-active) < 0 {
			active = w.EndedXIDs
		}
	}
	return newSpan("", oldest, active, l), true
}

// newSpan is the pages with the entries from one on and before another.
func newSpan(of string, oldest, active uint32, l page.Layout) span {
	s := span{of: of, oldest: oldest, active: active}
	if oldest == active || of != Members && int32(active-oldest) < 0 {
		return s
	}
	per, pages := entriesOf(of, l), pagesOf(of, l)
	s.from = oldest / per
	last := (active - 1) / per
	s.count = (last-s.from+pages)%pages + 1
	return s
}

// entriesOf is how many entries a page of a table has, pagesOf how many pages there are before their numbers begin anew.
func entriesOf(of string, l page.Layout) uint32 {
	switch of {
	case Offsets:
		return l.OffsetsPerPage()
	case Members:
		return l.MembersPerPage()
	}
	return l.TransactionsPerPage()
}

func pagesOf(of string, l page.Layout) uint32 {
	per := uint64(entriesOf(of, l))
	return uint32((1<<32 + per - 1) / per)
}

// status looks at every page of the tables once.
func (r *run) status(ctx context.Context) error {
	for _, s := range r.spans {
		if err := r.statusOf(ctx, s); err != nil {
			return err
		}
	}
	members, err := r.membersSpan(ctx)
	if err != nil {
		return err
	}
	if err := r.statusOf(ctx, members); err != nil {
		return err
	}
	return r.lookAtStatus(ctx, slices.SortedFunc(maps.Keys(r.statusWaits), inTables))
}

func (r *run) statusOf(ctx context.Context, s span) error {
	l := page.Layout{Size: r.data[0].PageSize}
	for done := uint32(0); done < s.count; {
		want := Transactions{Of: s.of, Oldest: s.oldest, Active: s.active, From: (s.from + done) % pagesOf(s.of, l)}
		want.Count = min(s.count-done, MostStatus, pagesOf(s.of, l)-want.From)
		all, err := r.statuses(ctx, want)
		if err != nil {
			return err
		}
		for n := want.From; n < want.From+want.Count; n++ {
			r.c.Blocks++
			r.c.PageBytes += int64(l.Size)
			switch had, same := together(all, n); {
			case had < len(r.members):
				r.c.Unverified[reasonOf(s.of, noSegment)]++
			case same:
				r.c.Equal++
			case len(r.statusWaits) >= mostStatus:
				r.c.Unverified[tooMany]++
			default:
				r.statusWaits[tablePage{s.of, n}] = &waitingStatus{span: s}
			}
		}
		done += want.Count
		r.tell()
	}
	return nil
}

// statuses asks all members about the same pages: by member, and then by page.
func (r *run) statuses(ctx context.Context, want Transactions) ([]map[uint32]Status, error) {
	if err := r.turn(ctx); err != nil {
		return nil, err
	}
	all, sent := make([]map[uint32]Status, len(r.members)), make([]int64, len(r.members))
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

// lookAtStatus looks at what counts of pages that differ.
func (r *run) lookAtStatus(ctx context.Context, pages []tablePage) error {
	for _, at := range pages {
		w := r.statusWaits[at]
		all, err := r.statuses(ctx, Transactions{Of: at.of, From: at.n, Count: 1, Oldest: w.span.oldest, Active: w.span.active, Bits: true})
		if err != nil {
			return err
		}
		had, same := together(all, at.n)
		switch {
		case had < len(r.members):
			w.gone, w.now = true, statusVerdict{}
			continue
		case same:
			r.c.Equal++
			delete(r.statusWaits, at)
			continue
		}
		contents := make([][]byte, len(all))
		for m := range all {
			contents[m] = all[m][at.n].Committed
		}
		before := w.now.xids
		w.now = r.judgeStatus(at.of, contents, at.n*entriesOf(at.of, page.Layout{Size: r.data[0].PageSize}))
		w.sure = slices.ContainsFunc(w.now.xids, func(xid uint32) bool { return slices.Contains(before, xid) })
		w.ends = 0
		if w.sure {
			r.listStatus(at, w)
		}
	}
	return nil
}

// judgeStatus names the members that are wrong about entries of a page which begins with the entry first: those that most members
// contradict.
func (r *run) judgeStatus(of string, contents [][]byte, first uint32) (v statusVerdict) {
	v.named = true
	var texts []string
	for n := range entriesIn(of, contents) {
		says := map[uint64][]int{}
		for m := range contents {
			value := entryOf(of, contents[m], n)
			says[value] = append(says[value], m)
		}
		if len(says) < 2 {
			continue
		}
		var wrong []int
		for _, by := range says {
			if 2*len(by) > len(contents) {
				for m := range contents {
					if !slices.Contains(by, m) {
						wrong = append(wrong, m)
					}
				}
			}
		}
		if wrong == nil || len(wrong) == 1 && r.data[wrong[0]].Primary { // the replay of all replicas may have the same fault
			v.named, wrong = false, nil
			for m := range contents {
				wrong = append(wrong, m)
			}
		}
		v.suspects = append(v.suspects, wrong...)
		if v.xids = append(v.xids, first+n); len(v.xids) <= listedXIDs {
			texts = append(texts, r.entryText(of, first+n, says))
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

func (r *account) namesOf(members []int) string {
	var names []string
	for _, m := range members {
		names = append(names, r.names[m])
	}
	return strings.Join(names, " and ")
}

// settleStatus looks again at pages of tables whose difference a checkpoint of every member has outlasted; open tells whether others wait.
func (r *run) settleStatus(ctx context.Context, redo platform.LSN) (looked, open bool, err error) {
	var due []tablePage
	for at, w := range r.statusWaits {
		switch {
		case w.sure || w.gone:
		case w.ends != 0 && w.ends <= redo:
			due = append(due, at)
		}
	}
	slices.SortFunc(due, inTables)
	if err := r.lookAtStatus(ctx, due); err != nil {
		return false, true, err
	}
	for _, w := range r.statusWaits {
		open = open || !w.sure && !w.gone
	}
	return len(due) > 0, open, nil
}

// giveStatus counts and lists the pages of tables that have not become equal.
func (r *run) giveStatus() {
	for _, at := range slices.SortedFunc(maps.Keys(r.statusWaits), inTables) {
		w := r.statusWaits[at]
		switch {
		case w.listed:
		case w.gone:
			r.c.Unverified[reasonOf(at.of, noSegment)]++
		case !w.sure:
			r.c.Unverified[reasonOf(at.of, openStatus)]++
		}
	}
}

// listStatus counts and lists a page of a table that differs for good.
func (r *run) listStatus(at tablePage, w *waitingStatus) {
	w.listed = true
	r.add(w.now.suspects, health.DifferentBlock{Path: fmt.Sprintf("%s/%04X", folderOf(at.of), at.n/slruPages), Block: at.n % slruPages,
		Kind: kindOf(at.of), Named: w.now.named, Settled: true, Detail: w.now.text})
}
