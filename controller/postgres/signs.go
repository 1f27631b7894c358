package postgres

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Signs are what the kernel shows of a postmaster, at no cost to the server.
type Signs struct {
	PID int // 0: none runs
	// Stopped: it is stopped or traced, or waits for a disk: it takes no new connection at this moment.
	Stopped bool
	// Stopping: a shutdown was asked for. A smart one waits for every session, ours too.
	Stopping bool
	// Queued: connections over TCP wait to be taken.
	Queued bool
}

// Signs looks at the member's postmaster.
func (i *Instance) Signs() (s Signs) {
	pid, _, ok := i.Running()
	if !ok {
		return Signs{}
	}
	s.PID = pid
	if st, err := readStat(pid); err == nil {
		s.Stopped = strings.Contains("TtD", st.state)
	}
	s.Stopping = i.Stopping()
	s.Queued = queued(pid, i.Port)
	return s
}

// pidStatus is the line of postmaster.pid that says what the postmaster is at (LOCK_FILE_LINE_PM_STATUS, from 0).
const pidStatus = 7

// Stopping tells whether the postmaster was asked to shut down, in whatever mode.
func (i *Instance) Stopping() bool {
	raw, err := os.ReadFile(filepath.Join(i.Data, "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(raw), "\n")
	return len(lines) > pidStatus && strings.TrimSpace(lines[pidStatus]) == "stopping"
}

// tcpListen is the kernel's number for a listening socket (TCP_LISTEN), whose receive queue counts the connections not taken yet.
const tcpListen = "0A"

// mostSockets bounds what is read of a table of sockets: the listening ones come first.
const mostSockets = 64 << 10

// queued looks for connections that wait at a port of a process's network namespace.
func queued(pid, port int) bool {
	local := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(io.LimitReader(f, mostSockets))
		lines.Scan() // the heading
		for lines.Scan() {
			cols := strings.Fields(lines.Text()) // sl, local, remote, state, tx_queue:rx_queue
			if len(cols) < 5 || cols[3] != tcpListen {
				break
			}
			if strings.HasSuffix(cols[1], local) && !strings.HasSuffix(cols[4], ":00000000") {
				f.Close()
				return true
			}
		}
		f.Close()
	}
	return false
}
