package postgres

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// Transaction is a commit in kept WAL.
type Transaction struct {
	XID       uint32       `json:"xid"`
	Committed string       `json:"committed"` // by the member's wall clock, as PostgreSQL prints it, in UTC
	LSN       platform.LSN `json:"lsn"`       // of the commit record
	Relations int          `json:"relations"` // tables and indexes it changed, past the fork
	Changes   int          `json:"changes"`   // WAL records of those changes
}

// maxOpen bounds the transactions whose changes are counted at the same time; those of more are left out.
const maxOpen = 10_000

// Transactions lists the commits of a discard whose WAL lies in dir, the first limit of them, and tells how many there are.
// It stops at ctx's end with what it has, and the context's error.
func (i *Server) Transactions(ctx context.Context, dir string, d Discard, limit int) (list []Transaction, total int, err error) {
	defer i.wrap("list the transactions of", &err)
	open := map[uint32]*touched{}
	seen := false
	text, err := i.dumpIn(ctx, dir, d.Timeline, d.From, func(r record) {
		seen = true
		switch {
		case r.commits():
			if total++; len(list) < limit {
				list = append(list, commit(r, open))
			}
		case r.rmgr == "Transaction" && strings.HasPrefix(r.desc, "ABORT"):
			delete(open, r.xid)
		case r.xid != 0:
			note(r, open)
		}
	}, "-e", d.To.String())
	if err == nil && !seen {
		err = &NoWALError{d.Timeline, d.From, text}
	}
	return list, total, err
}

// touched is the set of changes of a transaction so far.
type touched struct {
	relations map[string]bool
	changes   int
}

// blkref #0: rel 1663/13761/16384 blk 0
var relation = regexp.MustCompile(`\brel (\d+/\d+/\d+)`)

func note(r record, open map[uint32]*touched) {
	rels := relation.FindAllStringSubmatch(r.desc, -1)
	t := open[r.xid]
	if t == nil && len(open) < maxOpen && len(rels) > 0 {
		t = &touched{relations: map[string]bool{}}
		open[r.xid] = t
	}
	if t == nil || len(rels) == 0 {
		return
	}
	t.changes++
	for _, m := range rels {
		t.relations[m[1]] = true
	}
}

// COMMIT 2026-11-22 20:58:22.123456 UTC; subxacts: 736 737; inval msgs: ...; COMMIT_PREPARED 735: 2026-...
var (
	commitTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \S+?(;|$)`)
	preparedID = regexp.MustCompile(`^COMMIT_PREPARED (\d+):`)
	subxacts   = regexp.MustCompile(`subxacts: ([\d ]+)`)
)

// commit closes a transaction: its own changes and those of its subtransactions.
func commit(r record, open map[uint32]*touched) Transaction {
	ids := []uint32{r.xid}
	if m := preparedID.FindStringSubmatch(r.desc); m != nil {
		ids[0] = number(m[1])
	}
	if m := subxacts.FindStringSubmatch(r.desc); m != nil {
		for _, id := range strings.Fields(m[1]) {
			ids = append(ids, number(id))
		}
	}
	out := Transaction{XID: ids[0], LSN: r.start, Committed: strings.TrimSuffix(commitTime.FindString(r.desc), ";")}
	all := map[string]bool{}
	for _, id := range ids {
		if t := open[id]; t != nil {
			out.Changes += t.changes
			for name := range t.relations {
				all[name] = true
			}
			delete(open, id)
		}
	}
	out.Relations = len(all)
	return out
}

// number reads digits that a pattern has matched; too many of them are 0, which is no transaction.
func number(digits string) uint32 {
	n, _ := strconv.ParseUint(digits, 10, 32)
	return uint32(n)
}
