package watchdog

import "time"

// proto is the version of the protocol; a holder of another version is replaced as soon as no guard has a duty.
const proto = 1

// maxLine bounds a request or reply, newline included: some hundred members of a host.
const maxLine = 64 << 10

// Wish is an agent's request to the holder. The last one remains in force, also after the agent has ended.
type Wish struct {
	// On: the host resets when guards hang. If it is false, the device is stopped at once.
	On bool `json:"on"`
	// Timeout is platform.WatchdogTimeout of the shortest lease that a guard may have; 0 if that is too short.
	Timeout time.Duration `json:"timeout"`
	// Guards say where the guards of all of the host's members listen: a new holder knows no others. A member that is left out
	// later is still watched.
	Guards map[string]Guards `json:"guards,omitempty"`
	// Leave ends the holder as soon as no guard has a duty.
	Leave bool `json:"leave,omitempty"`
}

// Guards are the two guards of one member.
type Guards struct {
	Dir  string `json:"dir"`
	PIDs [2]int `json:"pids"` // of a and b; if they are 0, or not those watched, the guards are looked up
}

// Status is the holder's state.
type Status struct {
	Proto  int    `json:"proto"`
	PID    int    `json:"pid"`
	Device string `json:"device"`
	Info
	// Watched are the guards whose pages it reads, by member.
	Watched map[string][2]int `json:"watched,omitempty"`
	// Starves: it does not ping, because a guard is overdue or soon will be.
	Starves bool `json:"starves,omitempty"`
	// Unhardened lists the protections that the kernel refused, as in a guard's Report.
	Unhardened []string `json:"unhardened,omitempty"`
}

type reply struct {
	Status
	Error string `json:"error,omitempty"` // why a part of the wish could not be done
}
