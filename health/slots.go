package health

import (
	"fmt"
	"strings"
)

// MaxSlots is how many of a member's slots a report names: those that hold the most WAL. It only counts the others.
const MaxSlots = 16

// Slot is a replication slot that the user created, not Mainstay. Temporary slots do not count.
type Slot struct {
	Name    string `json:"name"`
	Logical bool   `json:"logical,omitempty"`
	Active  bool   `json:"active,omitempty"`
	// Held is the minimum of bytes of WAL that the member keeps for it; -1 if it has reserved none.
	Held        int64  `json:"held"`
	CatalogXmin uint32 `json:"catalogXmin,omitempty"` // 0 for none
	WALStatus   string `json:"walStatus,omitempty"`   // "reserved", "extended", "unreserved", "lost"
	// Failover: the slot is synchronised to standbys; Synced: it is such a copy. PostgreSQL 17 and later.
	Failover bool `json:"failover,omitempty"`
	Synced   bool `json:"synced,omitempty"`
}

// Invalid tells whether PostgreSQL has invalidated it, so that it keeps nothing and serves no consumer; from PostgreSQL 16 on for any
// reason.
func (s Slot) Invalid() bool { return s.WALStatus == "lost" }

// LeftBehind tells whether a slot on a replica should be dropped: it keeps WAL for an absent consumer, or it is a former primary's own
// failover slot, which blocks slot synchronisation. A slot in use (by a receiver or, from 16 on, by logical decoding) is wanted there, and
// a synced one belongs to PostgreSQL and cannot be dropped.
func (s Slot) LeftBehind() bool {
	return !s.Active && !s.Synced && (s.Failover || s.Held >= 0 && !s.Invalid())
}

// String names it and the WAL and rows that it keeps.
func (s Slot) String() string {
	var keeps []string
	if s.Active {
		keeps = append(keeps, "active")
	}
	switch {
	case s.Invalid():
		keeps = append(keeps, "invalid")
	case s.Held >= 0:
		keeps = append(keeps, fmt.Sprintf("%d bytes of WAL", s.Held))
	}
	if s.CatalogXmin != 0 && !s.Invalid() {
		keeps = append(keeps, fmt.Sprintf("catalog_xmin %d", s.CatalogXmin))
	}
	text := s.Type() + " slot " + s.Name
	if len(keeps) > 0 {
		text += " (" + strings.Join(keeps, ", ") + ")"
	}
	return text
}

// Type is the kind of slot, in PostgreSQL's terms.
func (s Slot) Type() string {
	switch {
	case s.Failover || s.Synced:
		return "failover"
	case s.Logical:
		return "logical"
	}
	return "physical"
}

// Slot returns the reported slot of that name, or nil.
func (m *Member) Slot(name string) *Slot {
	for i := range m.Slots {
		if m.Slots[i].Name == name {
			return &m.Slots[i]
		}
	}
	return nil
}
