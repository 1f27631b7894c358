package health

import "fmt"

// Pressure is how busy an agent's host was in the last minute. It is for people: it extends no lease, and I/O pressure excuses nothing,
// since a frozen disk causes full I/O pressure too.
type Pressure struct {
	// Waits tells whether the kernel measures how long tasks wait (PSI): CPU and IO are known.
	Waits bool `json:"waits,omitempty"`
	// CPU is the percentage of the time in which some task waited for a CPU; IO that in which every task with work waited for a disk.
	CPU int `json:"cpu,omitempty"`
	IO  int `json:"io,omitempty"`
	// Load is the one-minute load average per CPU, in percent.
	Load int `json:"load,omitempty"`
}

// The limits from which a host is busy. On a normally loaded host some task waits for a CPU most of the time; above these limits hardly any
// task gets one at once, and a task that renews a lease may have to wait too.
const (
	busyCPU  = 70
	busyIO   = 50
	busyLoad = 400 // where the kernel does not measure waits
)

// Starved tells whether tasks of the host wait so long for a CPU that a slow answer is no sign of a fault.
func (p *Pressure) Starved() bool {
	return p != nil && (p.Waits && p.CPU >= busyCPU || !p.Waits && p.Load >= busyLoad)
}

// Busy says which resource of a host is too busy; "" for none, or if the pressure is not known (nil).
func (p *Pressure) Busy() string {
	switch {
	case p == nil:
		return ""
	case p.Waits && p.CPU >= busyCPU:
		return fmt.Sprintf("in %d%% of the last minute a task waited for a CPU (load %d%% of its CPUs)", p.CPU, p.Load)
	case p.Waits && p.IO >= busyIO:
		return fmt.Sprintf("in %d%% of the last minute every task with work waited for a disk", p.IO)
	case !p.Waits && p.Load >= busyLoad:
		return fmt.Sprintf("its load was %d%% of its CPUs in the last minute", p.Load)
	}
	return ""
}
