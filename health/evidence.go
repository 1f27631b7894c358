package health

import (
	"fmt"
	"slices"
	"strings"
)

// Scanned begins the clause of Member.Damage that a scan of the files has added; the damaged pages follow, with commas between them.
const Scanned = "a scan found damage: "

// between separates the clauses of Member.Damage.
const between = "; "

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

// MorePages is the clause for damaged pages that a scan does not name.
func MorePages(n int64) string { return fmt.Sprintf(more, n) }

const more = "and %d more"

// morePages is the number in such a clause; 0 for another one.
func morePages(clause string) (n int64) {
	if _, err := fmt.Sscanf(clause, more, &n); err != nil {
		return 0
	}
	return n
}

// clauses are the parts of evidence, one for each page that a scan names.
func clauses(evidence string) (all []string) {
	for c := range strings.SplitSeq(evidence, between) {
		if pages, ok := strings.CutPrefix(c, Scanned); ok {
			all = append(all, strings.Split(pages, ", ")...)
		} else if c != "" {
			all = append(all, c)
		}
	}
	return all
}
