package health

import (
	"fmt"
	"slices"

	"mainstay/controller/platform"
)

// Comparison is what comparing the files of a cluster's members, block by block, has shown. It is about what is logged in main forks,
// visibility maps and init forks. What a page shows by itself, or beside what its member has written out, is evidence against its member's
// data (Against). The rest is for people: of two members that contradict each other, a copy of one may be the other's only witness.
type Comparison struct {
	By      string   `json:"by"`      // the member whose agent has compared
	Members []string `json:"members"` // that were compared
	// Incarnations names the data of each that was compared.
	Incarnations map[string]string `json:"incarnations,omitempty"`
	// LeftOut are members that were to be compared and did not answer at the beginning, and why.
	LeftOut map[string]string `json:"leftOut,omitempty"`
	// Running: it is not at its end. Percent is the share of the pages that it has looked at once, Waiting how many it will look at again.
	Running bool  `json:"running,omitempty"`
	Percent int   `json:"percent,omitempty"`
	Waiting int64 `json:"waiting,omitempty"`
	// Paused is why nothing is looked at at the moment; "" while something is.
	Paused string `json:"paused,omitempty"`
	// Complete: it has looked at every page, as often as it needed or was allowed to. Ended is why it ended before; "" if it did not.
	Complete bool   `json:"complete,omitempty"`
	Ended    string `json:"ended,omitempty"`
	AgeMS    int64  `json:"ageMS,omitempty"`  // since it ended, in milliseconds
	TookMS   int64  `json:"tookMS,omitempty"` // milliseconds
	// Horizon is up to where all members had written out their pages when it ended.
	Horizon platform.LSN `json:"horizon,omitempty"`

	Blocks int64 `json:"blocks"` // pages of a member that were looked at; each is on every member
	Equal  int64 `json:"equal"`  // of them
	// Unverified counts those that never settled, and what is not compared, by reason.
	Unverified map[string]int64 `json:"unverified,omitempty"`
	// Differ counts those that differ, Damage has the first of them.
	Differ int64            `json:"differ"`
	Damage []DifferentBlock `json:"damage,omitempty"`
	// Wrong counts, for each member, the pages that are wrong on it, Suspect those that are wrong on it or on another member.
	Wrong   map[string]int64 `json:"wrong,omitempty"`
	Suspect map[string]int64 `json:"suspect,omitempty"`
	// PageBytes are the bytes of pages that were compared, of one member; SentBytes those that all other members sent for it.
	PageBytes int64 `json:"pageBytes,omitempty"`
	SentBytes int64 `json:"sentBytes,omitempty"`
}

// SentPerGB is how many bytes the other members have sent for each GB (2^30 bytes) of one member that was compared; 0 if none was.
func (c *Comparison) SentPerGB() int64 {
	if c.PageBytes == 0 {
		return 0
	}
	return int64(float64(c.SentBytes) / float64(c.PageBytes) * (1 << 30))
}

// The kinds of a DifferentBlock that need no vote: with these the pages themselves tell which of them is wrong.
var provenKinds = []string{"broken page", "lost write", "missing page", "zeroed page"}

// Against is what a comparison has proven against the data of that name of a member, as a clause of Member.Damage: pages that are broken,
// or that have older content, or none, than the member has replayed and written out, while the others agree and checkpoints of all have
// passed. "" for nothing.
func (c *Comparison) Against(member, incarnation string) string {
	if c == nil || c.Running || incarnation == "" || c.Incarnations[member] != incarnation {
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

// DifferentBlock is a page that is not the same on all members.
type DifferentBlock struct {
	Path     string `json:"path"`               // of the fork's first file, below the data directory
	Relation string `json:"relation,omitempty"` // database, schema and name, as the catalog had it
	Block    uint32 `json:"block"`
	Kind     string `json:"kind"`
	// Suspects are the members one of which at least has the wrong page. Named: each of them has, because its page is broken by itself, or
	// most members agree.
	Suspects []string `json:"suspects"`
	Named    bool     `json:"named"`
	// Settled: the same pages have outlasted a checkpoint of every member. Otherwise a later comparison decides.
	Settled bool   `json:"settled"`
	Detail  string `json:"detail"` // the evidence, for people, and what would decide
}
