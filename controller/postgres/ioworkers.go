package postgres

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// stuckFor is how long an I/O worker must have done nothing in a state that is not sleep: a disk that hangs once a read is short of it.
const stuckFor = 10 * time.Second

// IOWorkers watches the processes that read from disk for all sessions (PostgreSQL 18, io_method = worker). No statement shows
// cheaply and surely that they are stopped: whatever the caches hold is read without them. It is not for concurrent use.
type IOWorkers struct{ since map[int]still }

// still is a process in a state that is not sleep, since when it has not run.
type still struct {
	state, switches string
	since           time.Duration
}

// Stuck names those of a postmaster's workers that have been stopped, or in one wait for a disk, for stuckFor at now, a time of
// CLOCK_BOOTTIME. It reads two files of /proc for each.
func (w *IOWorkers) Stuck(postmaster int, pids []int, now time.Duration) (stuck []string) {
	was := w.since
	w.since = map[int]still{}
	for _, pid := range pids {
		st, err := readStat(pid)
		if err != nil || st.ppid != postmaster || !strings.Contains("TtD", st.state) {
			continue
		}
		at := still{st.state, switches(pid), now}
		if before, ok := was[pid]; ok && before.state == at.state && before.switches == at.switches {
			at.since = before.since
		}
		if w.since[pid] = at; now-at.since >= stuckFor {
			what := "stopped"
			if at.state == "D" {
				what = "waits for a disk"
			}
			stuck = append(stuck, fmt.Sprintf("process %d (%s)", pid, what))
		}
	}
	return stuck
}

// switches counts how often a process has given up its processor: it has run since if that differs.
func switches(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(raw), "\nvoluntary_ctxt_switches:")
	return after
}
