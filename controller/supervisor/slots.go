package supervisor

import (
	"fmt"
	"slices"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// slotsOf names the members that have a slot here, and Mainstay's slots that belong to none of the goal's members.
func slotsOf(goal platform.Goal, slots []postgres.Slot) (members, strays []string) {
	owners := map[string]string{}
	for _, other := range goal.SlotOwners() {
		owners[postgres.SlotName(other)] = other
	}
	for _, slot := range slots {
		switch owner := owners[slot.Name]; {
		case owner == "" && slot.Physical && postgres.IsSlotName(slot.Name):
			strays = append(strays, slot.Name)
		case owner != "" && !slot.Worn:
			members = append(members, owner)
		}
	}
	return members, strays
}

// userSlots are the user's slots, for the report.
func userSlots(slots []postgres.UserSlot) (out []health.Slot) {
	for _, s := range slots {
		out = append(out, health.Slot(s))
	}
	return out
}

// slotsDiffer tells whether a primary makes subscribers wait for other slots than it should, for example after an upgrade from a build
// that did not set them. Each value is loaded once in the life of a postmaster: a value that the user has set by ALTER SYSTEM takes
// precedence until the next start.
func (m *observer) slotsDiffer(pg *postgres.Server, goal platform.Goal, loaded string) bool {
	if pg.Binaries.Major < 17 || goal.Kind != platform.GoalPrimary || len(goal.Sets) == 0 {
		return false
	}
	want := syncSlots(goal)
	m.mu.Lock()
	defer m.mu.Unlock()
	return loaded != want && m.slots.tried != triedSlots(pg, want)
}

// triedSlots names a value and the postmaster that it was loaded into.
func triedSlots(pg *postgres.Server, value string) string {
	pid, _, _ := pg.Running()
	return fmt.Sprintf("%d %s", pid, value)
}

// superseded names a standby's own failover slots that the present primary has as well: they date from its time as primary. A dropped
// slot stays in the list until the list is read again.
func (m *observer) superseded(slots []postgres.UserSlot) (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session.full <= m.slots.droppedAt {
		return nil
	}
	for _, s := range slots {
		if s.Failover && !s.Synced && !s.Active && slices.Contains(m.told.others.Slots, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}
