// Package boottime reads the only clock on which leases are counted: CLOCK_BOOTTIME (L1). It never steps and, unlike the monotonic
// clock behind time.Now, it counts the time during which a machine was suspended, so a guest that was frozen by its own kernel finds
// its lease over when it wakes.
//
// The package never reads wall time and compares nothing between boots: a reading is valid only together with BootID. Readings enter
// from the kernel and leave to the agent's lease (controller/agent, controller/supervisor) and to the guard.
package boottime

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since this host booted, including suspended time.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has had this clock since 2.6.39; without it no lease can be counted, so the process must not continue.
		panic("CLOCK_BOOTTIME cannot be read: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

// BootID is the kernel's random name for this boot; it is read once. "" means that /proc hides it, and that readings cannot be told
// apart from those of another boot: the caller must trust only its own readings.
func BootID() string { return bootID() }
