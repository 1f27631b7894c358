package member

import (
	"strconv"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
)

// SyncNames is the value of synchronous_standby_names for a set: ANY k ("name", ...), or empty for an asynchronous one.
// Every name is quoted: an unquoted hyphen makes the reload keep the old value.
func SyncNames(s platform.DurabilitySet) string { return string(appendSyncNames(nil, s)) }

// Shows tells whether a value of synchronous_standby_names is SyncNames of the set. It is asked at each look.
func Shows(names string, s platform.DurabilitySet) bool {
	var room [256]byte
	return names == string(appendSyncNames(room[:0], s))
}

func appendSyncNames(b []byte, s platform.DurabilitySet) []byte {
	if s.Acks == 0 {
		return b
	}
	b = append(strconv.AppendInt(append(b, "ANY "...), int64(s.Acks), 10), ` ("`...)
	for i, name := range s.Names {
		if i > 0 {
			b = append(b, `","`...)
		}
		b = append(b, name...)
	}
	return append(b, `")`...)
}

// Settling follows the drop rule for all sets before ID. Once (a) no commit can be acknowledged under them, Baseline is read.
// Once (b) enough members of the newest set have flushed past it, it is Done.
type Settling struct {
	ID       uint64
	Baseline platform.LSN // 0 until (a)
	Done     bool
}

// Settle advances the drop rule by one observation of the primary, which must show the newest set loaded, in an opened epoch.
func Settle(s Settling, goal platform.Goal, seen Seen, setCheckpoint uint64) Settling {
	g := &goal
	set := lastSet(g)
	if s.ID != set.ID {
		s = Settling{ID: set.ID}
	}
	if s.Done || len(g.Sets) < 2 || seen.Role != health.RolePrimary || !Shows(seen.SyncNames, set) || !seen.SyncOurs {
		return s
	}
	if needsSetCheckpoint(g) && setCheckpoint != set.ID {
		return s
	}
	if s.Baseline == 0 {
		if nothingUnderOlder(g, set, seen.Senders) && !(raised(g) && anyStale(set, seen.Senders)) {
			s.Baseline = seen.Insert
		}
		return s
	}
	s.Done = flushed(set, seen.Senders, s.Baseline) >= set.Acks
	return s
}

// nothingUnderOlder is clause (a), except for a raised k: each member of an older set that is not in the newest no longer streams,
// or shows sync_priority 0. Sets of earlier epochs belonged to another primary, which is fenced.
func nothingUnderOlder(g *platform.Goal, newest platform.DurabilitySet, senders []health.Sender) bool {
	for _, old := range g.Sets[:len(g.Sets)-1] {
		for _, name := range old.Names {
			if newest.Has(name) {
				continue
			}
			for _, s := range senders {
				if strings.EqualFold(s.Name, name) && s.Sync {
					return false
				}
			}
		}
	}
	return true
}

// raised tells whether the newest set needs more acknowledgements than an older one in force. Then clause (a) requires every WAL
// sender to have started since, because each releases commits by the k that it has loaded.
func raised(g *platform.Goal) bool {
	newest := lastSet(g)
	for _, old := range g.Sets[:max(len(g.Sets)-1, 0)] {
		if old.Acks > 0 && old.Acks < newest.Acks {
			return true
		}
	}
	return false
}

func anyStale(set platform.DurabilitySet, senders []health.Sender) bool {
	for _, s := range senders {
		if set.Has(s.Name) && !s.Fresh {
			return true
		}
	}
	return false
}

// flushed is the count of clause (b): the members of the set that have flushed everything up to baseline.
func flushed(set platform.DurabilitySet, senders []health.Sender, baseline platform.LSN) int {
	n := 0
	for _, name := range set.Names {
		for _, s := range senders {
			if s.Name == name && s.Flush >= baseline {
				n++
				break
			}
		}
	}
	return n
}

// needsSetCheckpoint tells whether the set follows an asynchronous one: backends then obey it only after the checkpointer has set a
// flag.
func needsSetCheckpoint(g *platform.Goal) bool {
	if lastSet(g).Acks == 0 {
		return false
	}
	for _, s := range g.Sets[:len(g.Sets)-1] {
		if s.Acks == 0 {
			return true
		}
	}
	return false
}
