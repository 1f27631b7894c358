package platform

import "fmt"

// Epoch numbers a primaryship of a cluster; it is the fencing token (S3). Generation is minted by `controllers init` and
// raised by `controllers recover`; Number grows by one at each new primary. The zero Epoch precedes all others.
type Epoch struct {
	Generation uint64 `json:"generation"`
	Number     uint64 `json:"number"`
}

// Less orders epochs: by generation, then by number.
func (e Epoch) Less(o Epoch) bool {
	return e.Generation < o.Generation || e.Generation == o.Generation && e.Number < o.Number
}

// Next is the epoch after e in the same generation.
func (e Epoch) Next() Epoch { return Epoch{e.Generation, e.Number + 1} }

// IsZero tells whether e precedes every epoch ever granted.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// String prints 1.17: generation, then number.
func (e Epoch) String() string { return fmt.Sprintf("%d.%d", e.Generation, e.Number) }
