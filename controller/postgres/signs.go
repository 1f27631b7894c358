package postgres

import (
	"errors"
	"strings"
)

// Signs are the kernel's view of a postmaster, at no cost to the server.
type Signs struct {
	PID int // 0: none runs
	// Stopped: it is stopped or traced, or waits for a disk: it takes no new connection at this moment.
	Stopped bool
	// Starting: it takes no sessions yet.
	Starting bool
	// Stopping: a shutdown was asked for. A smart one waits for every session, ours too.
	Stopping bool
	// Queued: connections over TCP wait to be taken.
	Queued bool
}

// Signs observes the member's postmaster; its queue only on request, since that reads a table of the host's.
func (i *Server) Signs(queue bool) (s Signs) {
	pid, _, ok := i.Running()
	if !ok {
		return Signs{}
	}
	s.PID = pid
	if st, err := readStat(pid); err == nil {
		s.Stopped = strings.Contains("TtD", st.state)
	}
	state := i.state()
	s.Starting, s.Stopping = state == stateStarting, state == stateStopping
	s.Queued = queue && queued(pid, i.Port)
	return s
}

// ErrStarting is returned where PostgreSQL takes no sessions yet. It says so in a file, which costs it no process.
var ErrStarting = errors.New("PostgreSQL is starting")

// The status that a postmaster reports (PM_STATUS_*), in line pidStatus of postmaster.pid (LOCK_FILE_LINE_PM_STATUS, from 0).
const (
	pidStatus     = 7
	stateStarting = "starting"
	stateStopping = "stopping"
)

// state is the status that the postmaster reports, "" if it cannot be read.
func (i *Server) state() string {
	raw, err := i.lockFile()
	if err != nil {
		return ""
	}
	lines := strings.Split(string(raw), "\n")
	if len(lines) <= pidStatus {
		return ""
	}
	return strings.TrimSpace(lines[pidStatus])
}

// Stopping tells whether the postmaster was asked to shut down, in any mode.
func (i *Server) Stopping() bool { return i.state() == stateStopping }
