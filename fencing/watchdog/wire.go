package watchdog

import "time"

// proto is the version of the protocol; a holder of another version is replaced as soon as no guard is bound to anything.
const proto = 1

// maxLine bounds a request or reply, newline included: some hundred members of a host.
const maxLine = 64 << 10

// Wish is what an agent wants of the holder. The last one stands, whatever becomes of the agent.
type Wish struct {
	// On: the host resets when guards hang. Where it is not, the device is stopped at once.
	On bool `json:"on"`
	// Timeout is platform.WatchdogTimeout of the shortest lease that a guard may be bound to; 0 for one that is too short.
	Timeout time.Duration `json:"timeout"`
	// Guards are where the guards of the host's members listen, all of them: a holder that has just begun knows no others. A
	// member that is left out later is watched on.
	Guards map[string]Guards `json:"guards,omitempty"`
	// Leave ends the holder as soon as no guard is bound to anything.
	Leave bool `json:"leave,omitempty"`
}

// Guards are the two guards of one member.
type Guards struct {
	Dir  string `json:"dir"`
	PIDs [2]int `json:"pids"` // of a and b; others are looked up, and so are all where they are 0
}

// Status is what the holder says of itself.
type Status struct {
	Proto  int    `json:"proto"`
	PID    int    `json:"pid"`
	Device string `json:"device"`
	Info
	// Watched are the guards whose pages it reads, by member.
	Watched map[string][2]int `json:"watched,omitempty"`
	// Starves: it does not feed, because a guard is overdue or soon will be.
	Starves bool `json:"starves,omitempty"`
	// Unhardened is what the kernel refused, as a guard's Report says it.
	Unhardened []string `json:"unhardened,omitempty"`
}

type reply struct {
	Status
	Error string `json:"error,omitempty"` // what of the wish could not be done
}
