package compare

import (
	"fmt"
	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
	"maps"
	"slices"
)

// judge is the function judge, without a verdict on the primary where all replicas have another page and the pages do not tell which is
// wrong: that may be a fault of replay, which is the same on each of them.
func (r *run) judge(s []page.Summary, redo []platform.LSN, seen platform.LSN) judgement {
	j := judge(s, redo, seen)
	if j.named && len(j.suspects) == 1 && r.data[j.suspects[0]].Primary && j.Kind != page.Broken && j.Side == page.Either {
		j.named, j.suspects = false, nil
		for n := range s {
			j.suspects = append(j.suspects, n)
		}
		j.decides = "replay may have the same fault on every replica, so " + decides
	}
	return j
}

// alike tells whether two looks at a page of one member showed the same.
func alike(a, b page.Summary) bool {
	return a.State == b.State && a.LSN == b.LSN && a.Digest == b.Digest && a.Split == b.Split && slices.Equal(a.Hints, b.Hints) &&
		(a.Values == nil) == (b.Values == nil) && (a.Values == nil || *a.Values == *b.Values)
}

// give counts and lists what has not become equal.
func (r *run) give() {
	if left := r.total - r.c.Blocks; left > 0 {
		r.c.Unverified[notFinished] += left
	}
	r.giveStatus()
	r.giveMaps()
	for _, at := range slices.SortedFunc(maps.Keys(r.waiting), integrity.Block.Compare) {
		switch w := r.waiting[at]; {
		case w.listed:
		case w.now.Verdict != page.Differs:
			r.c.Unverified[r.reason(at, w)]++
		default:
			r.found(at, w)
		}
	}
}

// found counts and lists a page that differs. One that is sure is listed at once, and stays where it is in the list: what an agent has
// reported meanwhile does not change at the end.
func (r *run) found(at integrity.Block, w *waiting) {
	w.listed = true
	r.add(w.now.suspects, health.DifferentBlock{Path: pathOf(at), Relation: r.catalog[at.Relation].Name, Block: at.Number,
		Kind: w.now.Kind.String(), Named: w.now.named, Settled: w.sure, Detail: w.now.text(r.names, w.seen)})
}

// add counts a page that differs, and lists it unless there are many.
func (r *account) add(suspects []int, d health.DifferentBlock) {
	counts := r.c.Suspect
	if d.Named {
		counts = r.c.Wrong
	}
	for _, n := range suspects {
		counts[r.names[n]]++
		d.Suspects = append(d.Suspects, r.names[n])
	}
	if r.c.Differ++; len(r.c.Damage) < mostListed {
		r.c.Damage = append(r.c.Damage, d)
	}
}

// reason is why a page is not verified.
func (r *run) reason(at integrity.Block, w *waiting) string {
	switch {
	case w.now.Kind == page.NoRule && at.Fork == page.Visibility:
		return "visibility maps that differ: not all of a map is logged"
	case w.now.Kind == page.NoRule && r.catalog[at.Relation].Name == "" && w.now.Detail != notRead:
		return unknownRelation
	case w.now.Kind == page.NoRule:
		return w.now.Detail
	case w.now.Kind == page.Moving || w.now.Kind == page.Shortened:
		return "newer than the last checkpoint at each look"
	}
	return w.now.Kind.String()
}

// pathOf is where the first file of a fork is, below the data directory. The folder of a version in a tablespace is not known here.
func pathOf(b integrity.Block) string {
	name := fmt.Sprint(b.Node)
	if b.Fork != page.Main {
		name += "_" + b.Fork.String()
	}
	switch b.Space {
	case integrity.GlobalSpace:
		return "global/" + name
	case integrity.DefaultSpace:
		return fmt.Sprintf("base/%d/%s", b.Database, name)
	}
	return fmt.Sprintf("pg_tblspc/%d/*/%d/%s", b.Space, b.Database, name)
}
