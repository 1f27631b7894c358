package wire

import "mainstay/health"

// StructureRequest is the body of POST /v1/integrity/{member}/structure of an agent: it begins a check of the structure of the member's
// data, unless one is running.
type StructureRequest struct {
	// Install creates the extensions amcheck and pg_visibility where they are missing.
	Install bool `json:"install,omitempty"`
	Rate    int  `json:"rate,omitempty"` // MB a second on average; 0: the rate of the agent's file
	// Stop ends the running check instead of beginning one.
	Stop bool `json:"stop,omitempty"`
}

// StructureAnswer is the answer to that, and to GET of the same path.
type StructureAnswer struct {
	Host   string `json:"host"`
	Member string `json:"member"`
	// Check is the last check of the member's present data, or the running one; nil if there was none since the agent's start.
	Check *health.Structure `json:"check,omitempty"`
}
