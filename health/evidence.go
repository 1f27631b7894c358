package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The beginnings of the clauses of Member.Damage: of what a scan of the files has found, of what PostgreSQL has read, of what a comparison
// of the members has proven, and of what a check of the structure has. The damaged pages follow (NamePages), or PostgreSQL's counts where
// it has not named them.
const (
	Scanned   = "a scan found damage: "
	ReadPages = "PostgreSQL has read pages that do not match their checksums: "
	Compared  = "a comparison of the members found damage: "
	Inspected = "a check of the structure found damage: "
)

// namedPages is the number of pages that a clause names.
const namedPages = 3

// NamePages makes a clause with that beginning from pages in the given order and a number of others; "" for none.
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

// DamagedPage is the name of a damaged page: its file's path, its block and the kind of damage. Evidence is compared by it.
func DamagedPage(page, kind string) string { return page + " (" + kind + ")" }

// between separates the clauses of Member.Damage.
const (
	between      = "; "
	betweenPages = ", "
)

// JoinDamage adds evidence to other evidence, without the clauses that the latter already has.
func JoinDamage(known, more string) string {
	switch {
	case more == "" || KnownDamage(more, known):
		return known
	case known == "":
		return more
	}
	return known + between + more
}

// KnownDamage tells whether all of the evidence is among that which is known. Each damaged page that a scan names is separate evidence: a
// scan that has only begun, for example after a restart of the agent, has found only some of the pages of the scan before it.
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

// clauses are the parts of evidence, one for each named page.
func clauses(evidence string) (all []string) {
	for c := range strings.SplitSeq(evidence, between) {
		found, scanned := strings.CutPrefix(c, Scanned)
		found, read := strings.CutPrefix(found, ReadPages)
		found, compared := strings.CutPrefix(found, Compared)
		found, inspected := strings.CutPrefix(found, Inspected)
		switch {
		case scanned || read || compared || inspected:
			for page := range strings.SplitSeq(found, betweenPages) {
				all = append(all, segment.ReplaceAllString(page, " block "))
			}
		case c != "":
			all = append(all, c)
		}
	}
	return all
}

// segment matches the number of a fork's further files in a page's name: block numbers count over all files of the fork, and PostgreSQL's
// messages name no segment.
var segment = regexp.MustCompile(`\.\d+ block `)
