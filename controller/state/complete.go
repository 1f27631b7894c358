package state

import (
	"fmt"

	"mainstay/controller/platform"
)

// Sealed is one sealed member as it counts for fences and completeness: by the incarnation of its data.
type Sealed struct {
	Member      string `json:"member"`
	Incarnation string `json:"incarnation"`
	// Timeline and Position are where its WAL ends. The timeline comes first: what lies past the fork on an older one is no
	// part of the newer.
	Timeline platform.Timeline `json:"timeline"`
	Position platform.LSN      `json:"position"`
	Known    bool              `json:"known"` // unknown counts for the fence, never for completeness
}

// QuorumSealed tells whether nothing that waits can be acknowledged any more: for every set in force at least |S|-k+1 of
// its members are sealed. An asynchronous set makes it impossible, rightly.
func QuorumSealed(sets []platform.Set, sealed []Sealed) bool {
	if len(sets) == 0 {
		return false
	}
	for _, set := range sets {
		if set.Acks == 0 || count(set, sealed, false) < set.SealedNeeded() {
			return false
		}
	}
	return true
}

// Unvouched tells whether no promises can keep the primary's lease going any more (L5), so that the end of the leases that
// were granted is the end: of the oldest set in force, which the primary surely knows and so must be vouched for, |S|-k+1
// members are sealed and promise nothing; where it has acks 0, one member is that the primary counts in.
func Unvouched(sets []platform.Set, members map[string]*Member, sealed []Sealed) bool {
	if len(sets) == 0 {
		return false
	}
	if set := sets[0]; set.Acks > 0 {
		return count(set, sealed, false) >= set.SealedNeeded()
	}
	for _, s := range sealed {
		if m := members[s.Member]; m != nil && m.Listed {
			return true
		}
	}
	return false
}

// Complete tells whether the most advanced of the sealed members surely holds every commit acknowledged under any set in
// force (S2): at least |S|-k+1 of each set are sealed with known positions. The error says what is missing.
func Complete(sets []platform.Set, sealed []Sealed) error {
	for _, set := range sets {
		if have, need := count(set, sealed, true), set.SealedNeeded(); have < need {
			return fmt.Errorf("durability set %d (acks %d of %v) needs the final position of %d of its members, known of %d", set.ID, set.Acks, set.Names, need, have)
		}
	}
	return nil
}

// Behind tells whether s holds less than o.
func (s Sealed) Behind(o Sealed) bool {
	return s.Timeline < o.Timeline || s.Timeline == o.Timeline && s.Position < o.Position
}

// MostAdvanced is the furthest known end among the sealed.
func MostAdvanced(sealed []Sealed) Sealed {
	var top Sealed
	for _, s := range sealed {
		if s.Known && top.Behind(s) {
			top = s
		}
	}
	return top
}

func count(set platform.Set, sealed []Sealed, known bool) int {
	n := 0
	for _, s := range sealed {
		if set.Has(s.Incarnation) && (s.Known || !known) {
			n++
		}
	}
	return n
}
