package health

import (
	"fmt"
	"strings"
)

// MaxSlots is how many of a member's slots a report names: those that hold most WAL. The others it counts.
const MaxSlots = 16

// Slot is a replication slot that its user made, not Mainstay. Slots that end with their session are none.
type Slot struct {
	Name    string `json:"name"`
	Logical bool   `json:"logical,omitempty"`
	Active  bool   `json:"active,omitempty"`
	// Held is how many bytes of WAL the member keeps for it at least, -1 where it has reserved none.
	Held        int64  `json:"held"`
	CatalogXmin uint32 `json:"catalogXmin,omitempty"` // 0 for none
	WALStatus   string `json:"walStatus,omitempty"`   // "reserved", "extended", "unreserved", "lost"
	// Failover: its owner wants it on the standbys too; Synced: it is such a copy. PostgreSQL 17 and later.
	Failover bool `json:"failover,omitempty"`
	Synced   bool `json:"synced,omitempty"`
}

// Invalid: PostgreSQL has given it up, so it keeps nothing and serves nobody; from 16 on for whatever reason.
func (s Slot) Invalid() bool { return s.WALStatus == "lost" }

// LeftBehind tells whether a slot on a replica should go: it keeps WAL for a consumer that is elsewhere or away, or it is a primary's
// own failover slot, which stops the synchronisation of slots. One in use is wanted there (a receiver or, from 16 on, logical decoding),
// and a synced one is PostgreSQL's own and cannot be dropped.
func (s Slot) LeftBehind() bool {
	return !s.Active && !s.Synced && (s.Failover || s.Held >= 0 && !s.Invalid())
}

// String names it with what it keeps.
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

// Type is what kind of slot it is, in PostgreSQL's words.
func (s Slot) Type() string {
	switch {
	case s.Failover || s.Synced:
		return "failover"
	case s.Logical:
		return "logical"
	}
	return "physical"
}

// Slot is the slot of that name that the report names, or nil.
func (m *Member) Slot(name string) *Slot {
	for i := range m.Slots {
		if m.Slots[i].Name == name {
			return &m.Slots[i]
		}
	}
	return nil
}
