package postgres

import (
	"slices"
	"testing"
)

// TestSlotsOfRemovedMembers: a slot goes while its member streams through it, and only ours do; what nobody uses goes when a
// member is let go of.
func TestSlotsOfRemovedMembers(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	have := func() (names []string) {
		for _, s := range mustStatus(t, a).Slots {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return names
	}
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('mine', true)"))
	check(t, a.EnsureSlots(ctx, []string{SlotName("feed-w1")}, nil))
	check(t, a.DropIdleSlots(ctx))
	if got := have(); !slices.Equal(got, []string{SlotName("feed-e2"), "mine"}) {
		t.Fatalf("without the idle ones of ours: %v", got)
	}
	check(t, a.EnsureSlots(ctx, nil, []string{SlotName("feed-e2"), "mainstay_never_there"}))
	if got := have(); !slices.Equal(got, []string{"mine"}) {
		t.Fatalf("without the one that was used: %v", got)
	}
	for name, ours := range map[string]bool{SlotName("feed-e2"): true, SlotName("Feed_E2"): true, "mine": false, "mainstay": false} {
		if IsSlotName(name) != ours {
			t.Errorf("%s is ours: %v", name, !ours)
		}
	}
}
