package platform

import "time"

// PromiseRequest asks another member's agent for a promise to a primary while no leader answers (L5).
type PromiseRequest struct {
	Cluster string `json:"cluster"`
	From    string `json:"from"` // the primary that asks
	To      string `json:"to"`   // the member asked
	Epoch   Epoch  `json:"epoch"`
	// List is the version of the member list the primary knows (Goal.MembersVersion): a member that knows a newer one refuses.
	List uint64 `json:"list"`
	// Length is the lease that the primary would take, 1 s to 60 s.
	Length time.Duration `json:"length"`
}

// PromiseAnswer is a promise, or the reason why there is none. The member promises that for CountOut(Length) on its clock it
// is neither promoted nor sealed, for any epoch. The zero value promises nothing.
type PromiseAnswer struct {
	Given bool `json:"given"`
	// Incarnation names the data of the member that promises: durability sets count by it.
	Incarnation string `json:"incarnation,omitempty"`
	// Former is the earlier name of its data, from before it was replaced or renamed; "" for none. A promise counts for that name too.
	Former string `json:"former,omitempty"`
	Reason string `json:"reason,omitempty"`
}
