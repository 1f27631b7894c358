package appserver

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Looked takes in an observation that was begun after the last act had ended.
func (m Memory) Looked(s Seen, now time.Duration) Memory {
	switch s.Process {
	case health.ProcessRunning:
		if m.Begun {
			m.KilledAt = 0 // an earlier kill found no process
		}
		m.Begun, m.EndedAt = false, 0
		switch {
		case s.Starting:
			m.RunningSince = 0
		case m.RunningSince == 0:
			m.RunningSince = now
		case now-m.RunningSince >= wellAfter:
			m.Starts = 0
		}
	case health.ProcessEnding, health.ProcessEnded:
		if m.StopFrom == 0 && (m.Begun || m.RunningSince != 0) {
			m.EndedAt = now // unasked
		}
		m.Begun, m.RunningSince = false, 0
	}
	if s.Process == health.ProcessEnded {
		if m.StopFrom != 0 && m.EndedAt == 0 {
			m.Starts = max(0, m.Starts-1) // the stop was intended, so the start has not failed
		}
		m.StopFrom, m.KilledAt, m.DrainFrom, m.Told, m.Drained = 0, 0, 0, false, false
	}
	return m
}

// Starting notes that a start is begun.
func (m Memory) Starting() Memory {
	if m.EndedAt != 0 {
		m.Restarts++
	}
	m.Starts++
	m.Begun, m.EndedAt, m.RunningSince = true, 0, 0
	return m
}

// Goal takes in a new goal. A new goal to run the instance, or a new restart, allows new attempts.
func (m Memory) Goal(old, next platform.InstanceGoal) Memory {
	wanted := next.Want == platform.WantRunning && old.Want != platform.WantRunning
	if wanted {
		m.Restarts = 0
	}
	if wanted || next.Restart > old.Restart {
		m.Starts, m.EndedAt = 0, 0
	}
	return m
}

// Readmitted ends draining.
func (m Memory) Readmitted() Memory {
	m.DrainFrom, m.Drained = 0, false
	return m
}
