// Package instance is the agent's pure core for one app server of its host: given the newest confirmed goal, its permit, what
// is kept on disk and what was last seen, Next says the one thing to do now. The agent (controller/apps) is the shell that
// looks, does it, and asks again; so a step cut short by any crash needs no special case.
//
// It never looks at a clock, a file or a process, and it never starts an instance that needs a permit without one in force.
// An instance that no goal was ever confirmed for, or that nothing is wanted of, it leaves as it is.
package instance

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Durable is what the agent keeps on disk for an instance. It is on disk before a start, and before Stopped is affirmed; a
// stop waits for no disk.
type Durable struct {
	// Goal is the newest confirmed one: an agent that is started anew goes on with it, until it hears a leader.
	Goal platform.InstanceGoal `json:"goal"`
	// Restarted is the last Goal.Restart that was obeyed.
	Restarted uint64 `json:"restarted,omitempty"`
	// Boot and End are when the permit ends: a reading of CLOCK_BOOTTIME, in that boot of the host; at most renewEvery old.
	Boot string        `json:"boot,omitempty"`
	End  time.Duration `json:"end,omitempty"`
}

// Seen is the last look at the instance's processes.
type Seen struct {
	// Process: running while the main one lives, ending while only others of its tree do.
	Process health.Process
	// Starting: systemd is about to start it, or to start it again; it does not serve yet.
	Starting bool
}

// Memory is what a run of the agent remembers of an instance; losing it costs time, never safety. Moments are readings of
// CLOCK_BOOTTIME, 0 for none.
type Memory struct {
	Starts       int           // in a row, none of which ran for a minute
	Restarts     int           // after it ended by itself, since the last goal that wanted it to run
	Begun        bool          // it was started, and not looked at since
	RunningSince time.Duration // first seen running
	EndedAt      time.Duration // seen ended, by itself
	DrainFrom    time.Duration // when draining began
	Told         bool          // the drain program was begun: what it did to the instance only a new start undoes
	Drained      bool          // it has ended well
	StopFrom     time.Duration // when it was told to stop
	KilledAt     time.Duration // when it was last killed
}

// Input is everything the next act may depend on.
type Input struct {
	Now       time.Duration // CLOCK_BOOTTIME
	Boot      string
	Goal      platform.InstanceGoal // the newest confirmed one
	PermitEnd time.Duration         // where Goal.Permit is not 0
	Grace     time.Duration         // until when what an earlier run of the agent left running may run past its permit; 0 once it has a new one
	Durable   Durable
	Seen      Seen
	Memory    Memory
	Stop      time.Duration // how long TERM may take before KILL
	Output    string        // where to look for what it says, for people
}

// Kind names an act.
type Kind string

const (
	Nothing Kind = ""
	Persist Kind = "persist" // write Durable, beside everything else
	Start   Kind = "start"
	Drain   Kind = "drain"   // begin it: out of routing, and the drain program
	Readmit Kind = "readmit" // draining is taken back
	Stop    Kind = "stop"    // ask its processes to end (TERM)
	Kill    Kind = "kill"    // end all that is left of them
)

// Act is the one thing to do now.
type Act struct {
	Kind    Kind
	Why     string
	Durable Durable // to write, if Kind is Persist
	// Wait says what is being waited for, "" for nothing; Error what has failed for good, and the next step.
	Wait  string
	Error string
	// Again is when time alone may change the answer, 0 for never.
	Again time.Duration
}

const (
	// startsMost is how many starts in a row may fail before the instance is given up.
	startsMost = 10
	// wellAfter is for how long it must run for a start to count as good.
	wellAfter = time.Minute
	// backoffFirst and backoffMost bound the pause before a start, which doubles.
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
	// lapsedStop is how long TERM may take once the permit has ended: whoever counts the permit out allows
	// platform.GuardKill for all of it (platform.CountOut).
	lapsedStop = platform.GuardKill * 3 / 5
	// killAgain is the pause before what was killed, and has not ended, is killed again.
	killAgain = 500 * time.Millisecond
	// renewEvery is how far the permit's end may move on before it is written again: a host's disk is spared.
	renewEvery = time.Second
)

// Confirm is the goal after a leader's answer, which may or may not name the instance. One that lives with a primary (it has a
// permit, or is to be stopped) is kept to its goal where the answer does not name it: the leader gives no goals to a host
// whose power it has cut, and what may be stale is never let run on for want of a word. A permit binds until it has stopped,
// however long it drains.
func Confirm(old, next platform.InstanceGoal, named bool) platform.InstanceGoal {
	switch {
	case !named && (old.Permit > 0 || old.Want == platform.WantStopped):
		return old
	case next.Want == platform.WantStopped && next.Permit == 0:
		next.Permit = old.Permit
	}
	return next
}

// AskAt is when the agent of the primary is to be asked, unless a leader has answered by then: half of the permit is gone.
func AskAt(g platform.InstanceGoal, heard time.Duration) time.Duration { return heard + g.Permit/2 }

// Renewed is when the permit ends once an answer to the report of s has confirmed next: its length after s (L1). One that has
// ended is not renewed for what is to stop: it may have been counted out since, and another site may serve.
func Renewed(old, next platform.InstanceGoal, end, s, now time.Duration) time.Duration {
	switch {
	case old.Permit == 0: // nothing bound it so far
		return s + next.Permit
	case next.Want == platform.WantStopped && now >= end:
		return end
	}
	return max(end, s+next.Permit)
}

// startGrace is how long an agent that finds an instance running past its permit asks a leader, or its primary, before it
// stops it: while the agent was away nobody did, and an upgrade of the agent must not restart every app server.
const startGrace = time.Second

// PermitAfter is when a permit ends that an earlier run of the agent left: never later than was written down in this boot,
// and never later than its length after the agent's own start. Where that was before the start, what runs may go on until
// grace; nothing is started for that. An agent that is there when a permit ends stops what runs under it then.
func PermitAfter(d Durable, boot string, begun time.Duration) (end, grace time.Duration) {
	if d.Boot != boot || boot == "" {
		return 0, 0
	}
	if end = min(d.End, begun+d.Goal.Permit); end <= begun {
		grace = begun + startGrace
	}
	return end, grace
}
