// Package appserver is the agent's pure core for one app server of its host: from the newest confirmed goal, its permit, the state on
// disk and the last observation, Next derives the one act to do now. The agent (controller/apps) is the shell that observes, acts, and
// calls Next again; so a step interrupted by a crash needs no special case.
//
// It reads no clock, file or process, and it never starts an instance that needs a permit without one in force. It leaves an instance
// without a confirmed goal, or whose goal asks for nothing, as it is.
package appserver

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Durable is the state of an instance that the agent keeps on disk. It is on disk before a start, and before Stopped is affirmed; a
// stop waits for no disk.
type Durable struct {
	// Goal is the newest confirmed goal: a restarted agent continues with it until a leader answers.
	Goal platform.InstanceGoal `json:"goal"`
	// Restarted is the last obeyed Goal.Restart.
	Restarted uint64 `json:"restarted,omitempty"`
	// End is the end of the permit, a reading of CLOCK_BOOTTIME in the boot Boot of the host; at most renewEvery old.
	Boot string        `json:"boot,omitempty"`
	End  time.Duration `json:"end,omitempty"`
}

// Seen is the last observation of the instance's processes.
type Seen struct {
	// Process: running while the main process runs, ending while only others of its tree do.
	Process health.Process
	// Starting: systemd is about to start or restart it; it does not serve yet.
	Starting bool
}

// Memory is the state of an instance in one run of the agent; losing it costs time, never safety. Moments are readings of
// CLOCK_BOOTTIME, 0 for none.
type Memory struct {
	Starts       int           // in a row, none of which ran for a minute
	Restarts     int           // after it ended unasked, since the last goal that wanted it to run
	Begun        bool          // it was started, and not observed since
	RunningSince time.Duration // first seen running
	EndedAt      time.Duration // seen ended, unasked
	DrainFrom    time.Duration // when draining began
	Told         bool          // the drain program was begun: only a new start undoes its effect on the instance
	Drained      bool          // it has ended without an error
	StopFrom     time.Duration // when it was told to stop
	KilledAt     time.Duration // when it was last killed
}

// Input is everything on which the next act may depend.
type Input struct {
	Now       time.Duration // CLOCK_BOOTTIME
	Boot      string
	Goal      platform.InstanceGoal // the newest confirmed one
	PermitEnd time.Duration         // where Goal.Permit is not 0
	Grace     time.Duration         // until when an instance of an earlier run of the agent may outlive its permit; 0 once it is renewed
	Durable   Durable
	Seen      Seen
	Memory    Memory
	Stop      time.Duration // how long TERM may take before KILL
	Output    string        // where its output is, for messages
}

// Kind names an act.
type Kind string

const (
	Nothing Kind = ""
	Persist Kind = "persist" // write Durable, while other acts run
	Start   Kind = "start"
	Drain   Kind = "drain"   // begin draining: out of routing, and run the drain program
	Readmit Kind = "readmit" // end draining: back into routing
	Stop    Kind = "stop"    // ask its processes to end (TERM)
	Kill    Kind = "kill"    // kill the remaining ones
)

// Act is the act to do now.
type Act struct {
	Kind    Kind
	Why     string
	Durable Durable // to write, if Kind is Persist
	// Wait says what it waits for, "" for nothing; Error says what has failed for good, and the next step.
	Wait  string
	Error string
	// Again is when time alone may change the answer, 0 for never.
	Again time.Duration
}

const (
	// startsMost is the number of failed starts in a row after which the instance is given up.
	startsMost = 10
	// wellAfter is how long it must run for a start to count as successful.
	wellAfter = time.Minute
	// backoffFirst and backoffMost bound the pause before a start, which doubles.
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
	// lapsedStop is how long TERM may take once the permit has ended: the count-out of a permit allows platform.GuardKill for the
	// whole stop (platform.CountOut).
	lapsedStop = platform.GuardKill * 3 / 5
	// killAgain is the pause before a killed process that has not ended is killed again.
	killAgain = 500 * time.Millisecond
	// renewEvery is how far the permit's end may move before it is written again, to spare the disk.
	renewEvery = time.Second
)

// Confirm is the goal after a leader's answer, which may or may not name the instance. An instance that runs with a primary (it has a
// permit, or must be stopped) keeps its goal where the answer does not name it: the leader gives no goals to a host whose power it has
// cut, and a missing goal must not let a stale instance keep running. A permit binds until the instance has stopped, however long it
// drains.
func Confirm(old, next platform.InstanceGoal, named bool) platform.InstanceGoal {
	switch {
	case !named && (old.Permit > 0 || old.Want == platform.WantStopped):
		return old
	case next.Want == platform.WantStopped && next.Permit == 0:
		next.Permit = old.Permit
	}
	return next
}

// AskAt is when to ask the primary's agent, unless a leader has answered by then: half of the permit has passed.
func AskAt(g platform.InstanceGoal, heard time.Duration) time.Duration { return heard + g.Permit/2 }

// Renewed is when the permit ends once an answer to the report of s has confirmed next: its length after s (L1). An ended permit is not
// renewed for an instance that must stop: it may have been counted out since, and another site may serve.
func Renewed(old, next platform.InstanceGoal, end, s, now time.Duration) time.Duration {
	switch {
	case old.Permit == 0: // it had no permit before
		return s + next.Permit
	case next.Want == platform.WantStopped && now >= end:
		return end
	}
	return max(end, s+next.Permit)
}

// startGrace is how long an agent that finds an instance running past its permit asks a leader, or the primary's agent, before it stops
// it: while the agent was down nothing renewed the permit, and an upgrade of the agent must not restart every app server.
const startGrace = time.Second

// PermitAfter is when a permit from an earlier run of the agent ends: never later than was stored in this boot, and never later than its
// length after the agent's own start. If it ended before that start, a running instance may keep running until grace; nothing is started
// in that time. An agent that runs when a permit ends stops the instance then.
func PermitAfter(d Durable, boot string, begun time.Duration) (end, grace time.Duration) {
	if d.Boot != boot || boot == "" {
		return 0, 0
	}
	if end = min(d.End, begun+d.Goal.Permit); end <= begun {
		grace = begun + startGrace
	}
	return end, grace
}
