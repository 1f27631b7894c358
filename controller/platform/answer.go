package platform

// Age is the age of what a leader has said: the entry of the log up to which it knew it, in its generation, and the number of
// the report that it answered.
type Age struct{ Generation, Index, Number uint64 }

// Before tells whether a is older than other, in either respect: the answer of a leader that was deposed may be late, and
// two copies of one report may be answered at different times. Of a controller that does not say its entry only the
// report's number counts.
func (a Age) Before(other Age) bool {
	return a.Number < other.Number || a.Generation == other.Generation && a.Index != 0 && a.Index < other.Index
}

// Peer is another host's agent.
type Peer struct {
	Host    string `json:"host"`
	Address string `json:"address"` // host:port, "" while it has not said
}
