package platform

// Age is the age of a leader's answer: the generation and index of its log at that time, and the number of the report that it
// answered.
type Age struct{ Generation, Index, Number uint64 }

// Before tells whether a is older than other in either respect: the answer of a deposed leader may come late, and two copies of one report
// may get answers at different times. If the controller does not give its index, only the report's number counts.
func (a Age) Before(other Age) bool {
	return a.Number < other.Number || a.Generation == other.Generation && a.Index != 0 && a.Index < other.Index
}

// Peer is another host's agent.
type Peer struct {
	Host    string `json:"host"`
	Address string `json:"address"` // host:port; "" until it has reported one
}
