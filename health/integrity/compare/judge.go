package compare

import (
	"cmp"
	"fmt"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health/integrity/page"
)

// judgement is what the same page of all members says.
type judgement struct {
	page.Outcome
	// suspects are the members, by number, one of which at least has a wrong page; named: each of them has.
	suspects []int
	named    bool
	decides  string // what would tell which of the suspects it is; "" where they are named
}

// decides is what tells the wrong page where members do not.
const decides = "an older backup of that page, or a structural check (pg_amcheck --heapallindexed) of each member"

// judge compares the same page of all members. redo is, for each, where its last completed checkpoint or restartpoint began before the page
// was read. seen is Horizon.Seen.
func judge(s []page.Summary, redo []platform.LSN, seen platform.LSN) judgement {
	if same(s) {
		return judgement{Outcome: page.Outcome{Verdict: page.Equal}}
	}
	p := pairs{n: len(s), all: make([]page.Outcome, len(s)*len(s))}
	var undecided, differs *page.Outcome
	for i := range s {
		for j := i + 1; j < len(s); j++ {
			o := page.Compare(s[i], s[j], page.Horizon{LSN: min(redo[i], redo[j]), Seen: seen})
			p.all[i*p.n+j] = o
			switch {
			case o.Verdict == page.Undecidable && undecided == nil:
				undecided = &o
			case o.Verdict == page.Differs && (differs == nil || differs.Side == page.Either && o.Side != page.Either):
				differs = &o
			}
		}
	}
	switch {
	case differs != nil:
		return p.blame(s, *differs)
	case undecided != nil:
		return judgement{Outcome: *undecided}
	}
	return judgement{Outcome: page.Outcome{Verdict: page.Equal}}
}

// same tells whether pages are equal beyond doubt, which nearly all are.
func same(s []page.Summary) bool {
	a := &s[0]
	for i := 1; i < len(s); i++ {
		b := &s[i]
		if a.State != page.Used || b.State != page.Used || a.LSN != b.LSN || a.Digest != b.Digest || a.Values != nil || b.Values != nil ||
			string(a.Hints) != string(b.Hints) {
			return false
		}
	}
	return true
}

// pairs are the outcomes of each two members' pages.
type pairs struct {
	n   int
	all []page.Outcome
}

func (p *pairs) of(i, j int) page.Outcome {
	if i < j {
		return p.all[i*p.n+j]
	}
	o := p.all[j*p.n+i]
	switch o.Side {
	case page.First:
		o.Side = page.Second
	case page.Second:
		o.Side = page.First
	}
	return o
}

// blame finds the members whose pages are wrong. A broken page is evidence on its own. Else most of the members must agree, and where the
// pages tell which of two is wrong, they must say the same: a majority that has lost a write is members that were copied from each other.
func (p *pairs) blame(s []page.Summary, o page.Outcome) judgement {
	var bad []int
	for i := range s {
		if s[i].State == page.Bad {
			bad = append(bad, i)
		}
	}
	if len(bad) > 0 {
		o = page.Outcome{Verdict: page.Differs, Kind: page.Broken, Detail: s[bad[0]].Detail}
		return judgement{Outcome: o, suspects: bad, named: true}
	}
	for i := range s {
		agree, others, told := []int{i}, []int(nil), true
		for j := range s {
			switch of := p.of(min(i, j), max(i, j)); {
			case i == j:
			case of.Verdict == page.Equal:
				agree = append(agree, j)
			case of.Verdict == page.Differs:
				others = append(others, j)
				told = told && p.of(i, j).Side != page.First
			default:
				told = false
			}
		}
		if 2*len(agree) > p.n && told {
			return judgement{Outcome: p.of(i, others[0]), suspects: others, named: true}
		}
	}
	j := judgement{Outcome: o, decides: decides}
	if p.n == 2 {
		j.decides = "a third member, " + j.decides
	}
	for i := range s {
		for k := range s {
			if i != k && p.of(min(i, k), max(i, k)).Verdict == page.Differs {
				j.suspects = append(j.suspects, i)
				break
			}
		}
	}
	return j
}

// text is the evidence, for people: what each member has, and what decides.
func (j *judgement) text(names []string, s []page.Summary) string {
	var has []string
	for i := range s {
		text := s[i].State.String()
		if s[i].State == page.Used || s[i].State == page.Blank {
			text = fmt.Sprintf("LSN %s, content %s", s[i].LSN, s[i].Digest)
		}
		has = append(has, names[i]+": "+text)
	}
	text := cmp.Or(j.Detail, j.Kind.String()) + " (" + strings.Join(has, "; ") + ")"
	if !j.named {
		return text + ". This would decide: " + j.decides
	}
	if j.Kind != page.Broken {
		text += ". The other members agree; they are one witness if one of them was copied from the other after that LSN"
	}
	return text
}
