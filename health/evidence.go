package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The beginnings of the clauses of Member.Damage: of what a scan of the files has found, of what PostgreSQL has read, and of what a
// comparison of the members has proven. The damaged pages follow (NamePages), or PostgreSQL's counts where it has not named them.
const (
	Scanned   = "a scan found damage: "
	ReadPages = "PostgreSQL has read pages that do not match their checksums: "
	Compared  = "a comparison of the members found damage: "
)

// namedPages is how many pages a clause names.
const namedPages = 3

// NamePages is the clause that begins so, for these pages in their order and a number of others; "" for none.
func NamePages(begin string, pages []string, others int64) string {
	if len(pages) == 0 {
		return ""
	}
	named := slices.Clone(pages[:min(namedPages, len(pages))])
	if others += int64(len(pages) - len(named)); others > 0 {
		named = append(named, fmt.Sprintf(more, others))
	}
	return begin + strings.Join(named, betweenPages)
}

// DamagedPage is how a page is named: its file's path and block, and in which way it is damaged. Evidence is compared by that.
func DamagedPage(page, kind string) string { return page + " (" + kind + ")" }

// between separates the clauses of Member.Damage.
const (
	between      = "; "
	betweenPages = ", "
)

// JoinDamage adds evidence to other evidence, without what that has already.
func JoinDamage(known, more string) string {
	switch {
	case more == "" || KnownDamage(more, known):
		return known
	case known == "":
		return more
	}
	return known + between + more
}

// KnownDamage tells whether all of the evidence is among that which is known. Each damaged page that a scan names is evidence of its own:
// a scan that has only begun, as after a restart of the agent, has found a part of what the one before it had.
func KnownDamage(evidence, known string) bool {
	if evidence == known {
		return true
	}
	has, most := clauses(known), int64(0)
	for _, c := range has {
		most = max(most, morePages(c))
	}
	return !slices.ContainsFunc(clauses(evidence), func(c string) bool {
		n := morePages(c)
		return n > most || n == 0 && !slices.Contains(has, c)
	})
}

// more stands for damaged pages that a clause does not name.
const more = "and %d more"

// morePages is the number in such a clause; 0 for another one.
func morePages(clause string) (n int64) {
	if _, err := fmt.Sscanf(clause, more, &n); err != nil {
		return 0
	}
	return n
}

// clauses are the parts of evidence, one for each page that is named.
func clauses(evidence string) (all []string) {
	for c := range strings.SplitSeq(evidence, between) {
		found, scanned := strings.CutPrefix(c, Scanned)
		found, read := strings.CutPrefix(found, ReadPages)
		found, compared := strings.CutPrefix(found, Compared)
		switch {
		case scanned || read || compared:
			for page := range strings.SplitSeq(found, betweenPages) {
				all = append(all, segment.ReplaceAllString(page, " block "))
			}
		case c != "":
			all = append(all, c)
		}
	}
	return all
}

// segment is where a page's file is named, of a fork that has several: a block's number counts over all of them, and PostgreSQL names none.
var segment = regexp.MustCompile(`\.\d+ block `)
