package state

import (
	"fmt"

	"mainstay/controller/platform"
)

// Sealed is one sealed member; for fences and completeness it counts by the incarnation of its data.
type Sealed struct {
	Member      string `json:"member"`
	Incarnation string `json:"incarnation"`
	// Timeline and Position are where its WAL ends. They are compared by timeline first: WAL past the fork of an older timeline
	// is not part of the newer one.
	Timeline platform.Timeline `json:"timeline"`
	Position platform.LSN      `json:"position"`
	Known    bool              `json:"known"` // unknown counts for the fence, never for completeness
}

// QuorumSealed tells whether no waiting commit can be acknowledged any more: at least |S|-k+1 members of every set in force are
// sealed. Under an asynchronous set commits wait for no member, so it is false.
func QuorumSealed(sets []platform.DurabilitySet, sealed []Sealed) bool {
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

// NoPromisesLeft tells whether no promises can extend the primary's lease any more (L5), so that it ends with the granted leases. The
// primary certainly knows the oldest set in force and needs promises for it: |S|-k+1 members of that set must be sealed, since
// a sealed member promises nothing. With acks 0, one sealed member that the primary counts is enough.
func NoPromisesLeft(sets []platform.DurabilitySet, members map[string]*Member, sealed []Sealed) bool {
	if len(sets) == 0 {
		return false
	}
	if set := sets[0]; set.Acks > 0 {
		return count(set, sealed, false) >= set.SealedNeeded()
	}
	for _, s := range sealed {
		if m := members[s.Member]; m != nil && m.KnownToPrimary {
			return true
		}
	}
	return false
}

// Complete tells whether the most advanced sealed member certainly holds every commit acknowledged under any set in force (S2):
// at least |S|-k+1 members of each set are sealed with known positions. The error names the set that lacks some.
func Complete(sets []platform.DurabilitySet, sealed []Sealed) error {
	for _, set := range sets {
		if have, need := count(set, sealed, true), set.SealedNeeded(); have < need {
			return fmt.Errorf("durability set %d (acks %d of %v) needs the final positions of %d of its members; %d are known",
				set.ID, set.Acks, set.Names, need, have)
		}
	}
	return nil
}

// Behind tells whether s holds less than o.
func (s Sealed) Behind(o Sealed) bool {
	return s.Timeline < o.Timeline || s.Timeline == o.Timeline && s.Position < o.Position
}

// MostAdvanced is the sealed member with the furthest known end.
func MostAdvanced(sealed []Sealed) Sealed {
	var top Sealed
	for _, s := range sealed {
		if s.Known && top.Behind(s) {
			top = s
		}
	}
	return top
}

func count(set platform.DurabilitySet, sealed []Sealed, known bool) int {
	n := 0
	for _, s := range sealed {
		if set.Has(s.Incarnation) && (s.Known || !known) {
			n++
		}
	}
	return n
}
