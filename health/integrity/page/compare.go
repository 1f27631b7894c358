package page

import (
	"cmp"
	"fmt"

	"mainstay/controller/platform"
)

// Verdict is the answer of a comparison. The zero value knows nothing.
type Verdict int

// Verdicts of a comparison.
const (
	Undecidable Verdict = iota
	Equal
	Differs
)

var verdictNames = []string{"undecidable", "equal", "differs"}

func (v Verdict) String() string { return name(verdictNames, int(v)) }

// Kind is how two pages differ that must not, or what keeps them from being compared.
type Kind int

// Kinds of differences.
const (
	None      Kind = iota
	Broken         // a page is Bad on its own
	LostWrite      // a page is older than what its member has replayed and written out, and its content is another one
	Missing        // a page is beyond the end of its file
	Zeroed         // a page is all zeros
	Content        // the same LSN, and another content
	Hints          // the same content, and one page knows as committed what the other knows as aborted
	Sequences      // the same LSN, and the values of a sequence that no step leads from one to the other
	Moving         // undecidable: at least one page is newer than the horizon
	Shortened      // undecidable: a file may have been shortened, or extended again; look again (Horizon.Seen)
	Wrapped        // undecidable: a sequence whose values may lie on both sides of its limit
	NoRule         // undecidable: nothing says how such pages compare
)

var kindNames = []string{"none", "broken page", "lost write", "missing page", "zeroed page", "content", "hint bits", "sequence values",
	"moving", "shortened", "wrapped", "no rule"}

func (k Kind) String() string { return name(kindNames, int(k)) }

// Side names the page that is wrong where the two pages alone tell: usually they do not.
type Side int

// Sides of a difference.
const (
	Either Side = iota
	First
	Second
	Both
)

var sideNames = []string{"either", "first", "second", "both"}

func (s Side) String() string { return name(sideNames, int(s)) }

// Outcome is what a comparison of two pages says.
type Outcome struct {
	Verdict Verdict
	Kind    Kind
	Side    Side   // of a difference
	Detail  string // the evidence, for people; "" where the pages are equal
}

// Horizon says up to where both members are known to have written their pages out. Both are on one history.
type Horizon struct {
	// LSN is the smaller redo position of both members' last completed checkpoint or restartpoint, read before the pages were.
	LSN platform.LSN
	// Seen is zero at the first look. Where an earlier look at both pages had the same two summaries, it is the larger end of WAL of both
	// members after that look: a file that was shortened by then is so on both members once LSN has passed it.
	Seen platform.LSN
}

// Compare tells whether one page of two members is the same, by what PostgreSQL promises: at equal LSN the content is equal, but for hints
// that one of both lacks; and a page has no older content than its member's horizon says. Unlike PostgreSQL's masks it takes hints that
// contradict each other for a difference, and an all-visible flag that only one page has where hints are logged.
//
// An older LSN alone is no lost write. Where hints are logged, and two backends set hints in a clean page at once, both log its image
// (MarkBufferDirtyHint). The primary's page keeps the LSN of one of them, a standby's that of the later one, until the next change. So
// pages of different LSN are equal if both are at or below the horizon and all is equal that is logged. A lost write of nothing but hints
// is not seen: nothing is lost with it.
//
// A Bad page counts as read: whether it was being written is for the caller to find out first.
func Compare(a, b Summary, at Horizon) Outcome {
	switch {
	case a.State == Unread || b.State == Unread:
		return Outcome{Kind: NoRule, Detail: "a page was not read"}
	case a.State == Bad || b.State == Bad:
		return broken(a, b)
	case a.State != Used && b.State != Used:
		return Outcome{Verdict: Equal} // there is nothing in either
	case cmp.Or(a.Unruly, b.Unruly) != "" && a.Digest != b.Digest:
		return Outcome{Kind: NoRule, Detail: cmp.Or(a.Unruly, b.Unruly)}
	}
	o := settled(a, b, at)
	if newest := max(a.LSN, b.LSN); newest > at.LSN && (o.Verdict != Equal || a.LSN != b.LSN) {
		return Outcome{Kind: Moving, Detail: fmt.Sprintf("the newer page has LSN %s, beyond the horizon %s", newest, at.LSN)}
	}
	return o
}

// settled compares pages that are not newer than the horizon.
func settled(a, b Summary, at Horizon) Outcome {
	switch {
	case a.State != Used:
		return lacking(a, First, b, at)
	case b.State != Used:
		return lacking(b, Second, a, at)
	case a.LSN != b.LSN && a.sameLogged(b):
		return hints(a, b)
	case a.LSN < b.LSN:
		return older(a, First, b, at)
	case b.LSN < a.LSN:
		return older(b, Second, a, at)
	case a.Digest != b.Digest:
		return Outcome{Verdict: Differs, Kind: Content, Detail: fmt.Sprintf("both have LSN %s, and not the same content", a.LSN)}
	case a.Values != nil && b.Values != nil:
		return sequences(*a.Values, *b.Values)
	}
	return hints(a, b)
}

func broken(a, b Summary) Outcome {
	o := Outcome{Verdict: Differs, Kind: Broken, Side: Both, Detail: a.Detail}
	switch {
	case a.State != Bad:
		o.Side, o.Detail = Second, b.Detail
	case b.State != Bad:
		o.Side = First
	}
	return o
}

// lacking: one page has no content, and the other one, which is not newer than the horizon, has some.
func lacking(empty Summary, side Side, full Summary, at Horizon) Outcome {
	o := Outcome{Verdict: Differs, Kind: Zeroed, Side: side}
	if empty.State == Absent {
		o.Kind = Missing
	}
	o.Detail = fmt.Sprintf("the other page has LSN %s, at or below the horizon %s", full.LSN, at.LSN)
	if at.Seen == 0 || at.Seen > at.LSN {
		o.Verdict, o.Side, o.Kind = Undecidable, Either, Shortened
	}
	return o
}

func older(old Summary, side Side, young Summary, at Horizon) Outcome {
	return Outcome{Verdict: Differs, Kind: LostWrite, Side: side,
		Detail: fmt.Sprintf("it has LSN %s and older content, the other one %s, at or below the horizon %s",
			old.LSN, young.LSN, at.LSN)}
}

// sameLogged tells whether pages of different LSN have the same content. At equal LSN two fields may differ that count here: the values of
// a sequence, and the end of a split in a GiST index.
func (s Summary) sameLogged(o Summary) bool {
	if (s.Values == nil) != (o.Values == nil) || s.Values != nil && *s.Values != *o.Values {
		return false
	}
	return s.Digest == o.Digest && s.Split == o.Split
}

// hints contradict each other where one page knows as committed what the other knows as aborted. A hint that is set on one side only is
// normal.
func hints(a, b Summary) Outcome {
	if len(a.Hints) != len(b.Hints) || (a.Values == nil) != (b.Values == nil) {
		return Outcome{Kind: NoRule, Detail: "the members did not summarise the page by the same rules"}
	}
	const committed, invalid = 0b0101_0101, 0b1010_1010
	for n, x := range a.Hints {
		if y := b.Hints[n]; (x&committed)<<1&y&invalid != 0 || (y&committed)<<1&x&invalid != 0 {
			return Outcome{Verdict: Differs, Kind: Hints, Detail: fmt.Sprintf("they have LSN %s and %s, and of the stored rows %d and %d, "+
				"counted from 1, one page knows as committed what the other knows as aborted", a.LSN, b.LSN, 2*n+1, 2*n+2)}
		}
	}
	return Outcome{Verdict: Equal}
}

// sequences: nextval logs a value that is log_cnt steps ahead, and then writes the page without WAL. So a standby has the value ahead, and
// no step left. The increment is not known here.
func sequences(a, b Values) Outcome {
	detail := fmt.Sprintf("last_value %d with log_cnt %d, and %d with %d", a.Last, a.Left, b.Last, b.Left)
	ahead, steps := a.Last-b.Last, b.Left-a.Left // the first page is ahead by the steps that the second has left
	switch {
	case a.Called != b.Called, steps == 0 && ahead != 0:
		return Outcome{Verdict: Differs, Kind: Sequences, Detail: detail}
	case steps != 0 && (ahead == 0 || ahead%steps != 0):
		return Outcome{Kind: Wrapped, Detail: detail}
	}
	return Outcome{Verdict: Equal}
}
