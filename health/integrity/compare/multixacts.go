package compare

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// A row that several transactions have locked names a multixact: a number, whose members are listed elsewhere. Both tables are logged, and
// written out by each checkpoint and restartpoint, so what was there at the last one is the same on every member: the entries of the
// multixacts from the oldest on and before the last one. The last one's entry is left out, because some minor releases write the entry of
// the next one together with it. Files are truncated at different times.
//
// A multixact that a server was about to make when it crashed may have left an entry on one member only, in the moment in which a
// checkpoint counted it. So what differs here is evidence for people, and excludes no member.

// Tables beside pg_xact, for Transactions.Of.
const (
	Offsets = "multixact offsets"
	Members = "multixact members"
)

// Multixacts are those that a member's last completed checkpoint or restartpoint names; the zero value: unknown.
type Multixacts struct {
	Next       uint32 `json:"next"`       // never 0
	NextMember uint32 `json:"nextMember"` // where its members will begin
	Oldest     uint32 `json:"oldest"`     // that may still be asked for
}

const multixactKind = "multixact"

// Reasons for what is not verified.
const (
	noMultixacts   = "pg_multixact, of which a member's agent tells nothing: it is of an earlier version"
	noMembers      = "pg_multixact/members, because not all members know where those of the oldest multixact begin"
	noMultiSegment = "pages of pg_multixact that not all members have: they were truncated, or a file is missing"
	openMultixacts = "pages of pg_multixact that differ, and no checkpoint has passed since"
)

func reasonOf(of, ofTransactions string) string {
	switch {
	case of == "":
		return ofTransactions
	case ofTransactions == noSegment:
		return noMultiSegment
	}
	return openMultixacts
}

func kindOf(of string) string {
	if of == "" {
		return statusKind
	}
	return multixactKind
}

func folderOf(of string) string {
	switch of {
	case Offsets:
		return integrity.OffsetsDir
	case Members:
		return integrity.MembersDir
	}
	return integrity.TransactionsDir
}

// offsetsSpan is what is compared of the multixacts' first table; false if a member does not tell.
func offsetsSpan(all []Where, l page.Layout) (s span, ok bool) {
	oldest, next := all[0].Multi.Oldest, all[0].Multi.Next
	for _, w := range all {
		if w.Multi.Next == 0 {
			return span{}, false
		}
		if int32(w.Multi.Oldest-oldest) > 0 {
			oldest = w.Multi.Oldest
		}
		if int32(w.Multi.Next-next) < 0 {
			next = w.Multi.Next
		}
	}
	return newSpan(Offsets, oldest, next-1, l), true
}

// membersSpan is what is compared of the second table: from the first member of the oldest multixact on.
func (r *run) membersSpan(ctx context.Context) (none span, err error) {
	at := slices.IndexFunc(r.spans, func(s span) bool { return s.of == Offsets })
	if at < 0 || r.spans[at].count == 0 {
		return none, nil
	}
	l, oldest := page.Layout{Size: r.data[0].PageSize}, r.spans[at].oldest
	per := entriesOf(Offsets, l)
	all, err := r.statuses(ctx, Transactions{Of: Offsets, From: oldest / per, Count: 1, Oldest: oldest, Active: oldest + 1, Bits: true})
	if err != nil {
		return none, err
	}
	begin, next := uint32(0), r.nextMembers[0]
	for m := range all {
		p := all[m][oldest/per].Committed
		if len(p) != l.Size || page.Offset(p, oldest%per) == 0 || m > 0 && page.Offset(p, oldest%per) != begin {
			r.c.Unverified[noMembers]++
			return none, nil
		}
		begin = page.Offset(p, oldest%per)
	}
	for _, n := range r.nextMembers {
		if n-begin < next-begin {
			next = n
		}
	}
	s := newSpan(Members, begin, next, l)
	r.total += int64(s.count)
	return s, nil
}

// entriesIn is how many entries the contents have that count.
func entriesIn(of string, contents [][]byte) uint32 {
	shortest := len(contents[0])
	for _, c := range contents {
		shortest = min(shortest, len(c))
	}
	if of == "" {
		return uint32(8 * shortest)
	}
	return entriesOf(of, page.Layout{Size: shortest})
}

// entryOf is one entry as a number.
func entryOf(of string, content []byte, n uint32) uint64 {
	switch of {
	case Offsets:
		return uint64(page.Offset(content, n))
	case Members:
		xid, flags := page.Member(content, n)
		return uint64(flags)<<32 | uint64(xid)
	}
	return uint64(content[n/8] >> (n % 8) & 1)
}

// entryText says what the members have.
func (r *run) entryText(of string, id uint32, says map[uint64][]int) string {
	if of == "" {
		return fmt.Sprintf("transaction %d has committed by %s, and not by %s", id, r.namesOf(says[1]), r.namesOf(says[0]))
	}
	var texts []string
	for _, value := range slices.Sorted(maps.Keys(says)) {
		what := fmt.Sprintf("at %d", value)
		if of == Members {
			what = fmt.Sprintf("transaction %d with flags %d", uint32(value), value>>32)
		}
		texts = append(texts, what+" by "+r.namesOf(says[value]))
	}
	text := fmt.Sprintf("the members of multixact %d begin ", id)
	if of == Members {
		text = fmt.Sprintf("member %d of multixacts is ", id)
	}
	return text + strings.Join(texts, ", and ")
}
