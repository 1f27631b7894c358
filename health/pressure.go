package health

import "fmt"

// Pressure is how busy an agent's host was in the last minute. It is shown. It excuses no lease, and pressure of I/O excuses
// nothing at all: a frozen disk is full pressure of I/O as well.
type Pressure struct {
	// Waits tells whether the kernel measures how long tasks wait (PSI): CPU and IO are known.
	Waits bool `json:"waits,omitempty"`
	// CPU is the percentage of the time in which some task waited for a CPU, IO that in which all that had work waited for a disk.
	CPU int `json:"cpu,omitempty"`
	IO  int `json:"io,omitempty"`
	// Load is the load average of the minute for each CPU, in percent.
	Load int `json:"load,omitempty"`
}

// From these on a host is called busy. Some task waits for a CPU most of the time on a host that is merely used well; here
// hardly any gets one at once, and one that renews a lease may wait with the others.
const (
	busyCPU  = 70
	busyIO   = 50
	busyLoad = 400 // where the kernel does not measure waits
)

// Starved tells whether tasks of the host have waited for a CPU for so long that what takes seconds there may be well.
func (p *Pressure) Starved() bool {
	return p != nil && (p.Waits && p.CPU >= busyCPU || !p.Waits && p.Load >= busyLoad)
}

// Busy says what of a host is too busy, "" for nothing. nil is not known.
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
