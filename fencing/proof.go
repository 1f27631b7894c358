// Package fencing holds the proofs that a member can no longer accept writes, and the arithmetic of leases. It is pure. A device or
// guard that gives no answer is Unproven, never Fenced.
package fencing

import "mainstay/controller/platform"

// Kind names a kind of proof that a member is fenced.
type Kind string

const (
	// Stopped: the agent saw the last process of the member end, and "epoch closed" is on its disk.
	Stopped Kind = "stopped"
	// LeaseExpired: L3 or L4, for an epoch granted under a complete guard.
	LeaseExpired Kind = "lease-expired"
	// QuorumSealed: for every set in force |S|-k+1 members are sealed; the old primary can acknowledge no commit that waits for replicas.
	QuorumSealed Kind = "quorum-sealed"
	// PoweredOff: a fence device switched the host off and its status confirms it.
	PoweredOff Kind = "powered-off"
	// Operator: an operator confirms it, by name and with a reason, for one epoch (S4).
	Operator Kind = "operator"
)

// Verdict is the outcome of asking for a proof. The zero value is the safe one.
type Verdict int

const (
	Unproven Verdict = iota // nothing is known: never "fenced"
	Fenced
	Refused
)

// Proof shows that the primary of Epoch is fenced (S4).
type Proof struct {
	Kind   Kind           `json:"kind"`
	Epoch  platform.Epoch `json:"epoch"`
	Detail string         `json:"detail"`
	By     string         `json:"by,omitempty"` // the operator's name
}
