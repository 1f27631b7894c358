package health

import (
	"fmt"
	"maps"
	"slices"

	"mainstay/controller/platform"
)

// Comparison is the result of comparing the files of a cluster's members, block by block. It covers the WAL-logged content of main forks,
// visibility maps and init forks. A page that is broken on its own, or older than its member has written out, is evidence against that
// member's data (Against). The rest is for people: of two members that contradict each other, a copy of one may be the other's only
// witness.
type Comparison struct {
	By      string   `json:"by"`      // the member whose agent has compared
	Members []string `json:"members"` // that were compared
	// Incarnations names the data of each that was compared.
	Incarnations map[string]string `json:"incarnations,omitempty"`
	// LeftOut lists the members that should have been compared but did not answer at the beginning, each with the reason.
	LeftOut map[string]string `json:"leftOut,omitempty"`
	// Running: it has not reached its end. Percent is the share of the pages that it has read once, Waiting the number of pages that it will
	// read again.
	Running bool  `json:"running,omitempty"`
	Percent int   `json:"percent,omitempty"`
	Waiting int64 `json:"waiting,omitempty"`
	// Paused is the reason why it reads nothing at the moment; "" while it reads.
	Paused string `json:"paused,omitempty"`
	// Complete: it has read every page as often as needed or allowed. Ended is the reason why it ended before that; "" if it did not.
	Complete bool   `json:"complete,omitempty"`
	Ended    string `json:"ended,omitempty"`
	AgeMS    int64  `json:"ageMS,omitempty"`  // since it ended, in milliseconds
	TookMS   int64  `json:"tookMS,omitempty"` // milliseconds
	// Horizon is the position up to which all members had written out their pages when it ended.
	Horizon platform.LSN `json:"horizon,omitempty"`

	Partial
	Blocks int64 `json:"blocks"` // pages of a member that were compared; each is on every member
	Equal  int64 `json:"equal"`  // of them
	// Unverified counts, by reason, the pages that never settled and those that are not compared.
	Unverified map[string]int64 `json:"unverified,omitempty"`
	// Differ counts the pages that differ, Damage lists the first of them.
	Differ int64            `json:"differ"`
	Damage []DifferentBlock `json:"damage,omitempty"`
	// Wrong counts, for each member, the pages that are wrong on it, Suspect those that are wrong on it or on another member.
	Wrong   map[string]int64 `json:"wrong,omitempty"`
	Suspect map[string]int64 `json:"suspect,omitempty"`
	// PageBytes are the bytes of pages that were compared, of one member; SentBytes those that all other members sent for it.
	PageBytes int64 `json:"pageBytes,omitempty"`
	SentBytes int64 `json:"sentBytes,omitempty"`
}

// Partial is what a comparison has not read, because no WAL has changed it since an earlier one found it equal.
type Partial struct {
	Incremental bool `json:"incremental,omitempty"` // such pages were left out
	// Unread counts them. UnreadMS is the age of the oldest reading among them when this comparison ended, in milliseconds, or more: that of
	// the last full one. Damage that a disk has done to them since then is not known.
	Unread   int64 `json:"unread,omitempty"`
	UnreadMS int64 `json:"unreadMS,omitempty"`
	// FullBecause is why every page was read although an incremental comparison was asked for. WALBytes is the WAL that one has read.
	FullBecause string `json:"fullBecause,omitempty"`
	WALBytes    int64  `json:"walBytes,omitempty"`
}

// SentPerGB is how many bytes the other members have sent for each GB (2^30 bytes) of one member that was compared; 0 if none was.
func (c *Comparison) SentPerGB() int64 {
	if c.PageBytes == 0 {
		return 0
	}
	return int64(float64(c.SentBytes) / float64(c.PageBytes) * (1 << 30))
}

// The kinds of a DifferentBlock that need no majority: the pages themselves show which of them is wrong.
var provenKinds = []string{"broken page", "lost write", "missing page", "zeroed page"}

// Against is what a comparison has proven against the data of that name of a member, as a clause of Member.Damage: pages that are broken,
// or that have older content, or none, than the member has replayed and written out, while the others agree and checkpoints of all have
// passed. "" for nothing. A comparison that is running lists such pages as it finds them.
func (c *Comparison) Against(member, incarnation string) string {
	if c == nil || incarnation == "" || c.Incarnations[member] != incarnation {
		return ""
	}
	var pages []string
	for _, d := range c.Damage {
		if d.Settled && d.Named && slices.Contains(d.Suspects, member) && slices.Contains(provenKinds, d.Kind) {
			pages = append(pages, DamagedPage(fmt.Sprintf("%s block %d", d.Path, d.Block), d.Kind))
		}
	}
	return NamePages(Compared, pages, 0)
}

// Mended is the comparison without what it says of a page of a member, which has the page of the others by now. false: it names that page
// on no member, or on others as well.
func (c *Comparison) Mended(member, page string) (*Comparison, bool) {
	if c == nil {
		return c, false
	}
	n := slices.IndexFunc(c.Damage, func(d DifferentBlock) bool {
		return d.Named && len(d.Suspects) == 1 && d.Suspects[0] == member && fmt.Sprintf("%s block %d", d.Path, d.Block) == page
	})
	if n < 0 {
		return c, false
	}
	now := *c
	now.Damage, now.Wrong = slices.Delete(slices.Clone(c.Damage), n, n+1), maps.Clone(c.Wrong)
	now.Differ, now.Equal = c.Differ-1, c.Equal+1
	if now.Wrong[member] > 1 {
		now.Wrong[member]--
	} else {
		delete(now.Wrong, member)
	}
	return &now, true
}

// With is a comparison that has not reached its end, with what an earlier one of the same data has found as well: until its end, it says
// nothing of those pages.
func (c *Comparison) With(earlier *Comparison) *Comparison {
	if c == nil || c.Complete || earlier == nil {
		return c
	}
	now := *c
	now.Damage, now.Wrong, now.Suspect = slices.Clone(c.Damage), maps.Clone(c.Wrong), maps.Clone(c.Suspect)
	for _, d := range earlier.Damage {
		if slices.ContainsFunc(c.Damage, func(o DifferentBlock) bool { return o.Path == d.Path && o.Block == d.Block }) ||
			slices.ContainsFunc(d.Suspects, func(name string) bool { return c.Incarnations[name] != earlier.Incarnations[name] }) {
			continue
		}
		counts := &now.Suspect
		if d.Named {
			counts = &now.Wrong
		}
		if *counts == nil {
			*counts = map[string]int64{}
		}
		for _, name := range d.Suspects {
			(*counts)[name]++
		}
		now.Differ, now.Damage = now.Differ+1, append(now.Damage, d)
	}
	return &now
}

// DifferentBlock is a page that is not the same on all members.
type DifferentBlock struct {
	Path     string `json:"path"`               // of the fork's first file, below the data directory
	Relation string `json:"relation,omitempty"` // database, schema and name, as the catalog had it
	Block    uint32 `json:"block"`
	Kind     string `json:"kind"`
	// Suspects are members of which at least one has the wrong page. Named: each of them has it, because its page is broken on its own, or
	// because most members agree.
	Suspects []string `json:"suspects"`
	Named    bool     `json:"named"`
	// Settled: the same pages have outlasted a checkpoint of every member. Otherwise a later comparison decides.
	Settled bool   `json:"settled"`
	Detail  string `json:"detail"` // the evidence, for people, and what would decide
}

// Accuses is what a comparison says against the primary's data: settled differences of which its page is the wrong one, or may be. Where
// that is so, the next full-page image of the block, which a change after a checkpoint writes, puts the primary's page in the place of a
// replica's. Pages names them as Member.Damage does, without their kind; why is the evidence; none for nothing.
func (c *Comparison) Accuses(primary, incarnation string) (pages []string, why string) {
	if c == nil || incarnation == "" || c.Incarnations[primary] != incarnation {
		return nil, ""
	}
	var texts []string
	for _, d := range c.Damage {
		if !d.Settled || !slices.Contains(d.Suspects, primary) {
			continue
		}
		name, doubt := fmt.Sprintf("%s block %d", d.Path, d.Block), ""
		if !d.Named {
			doubt = " or of another member"
		}
		pages, texts = append(pages, name), append(texts, DamagedPage(name, d.Kind+" of "+primary+doubt))
	}
	return pages, NamePages(Compared, texts, 0)
}
