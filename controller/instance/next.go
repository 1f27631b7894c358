package instance

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Next says what to do now. Every (seen, goal) pair has an answer; doing nothing says what is waited for, if anything is.
// A permit's end always changes the answer, whatever is being done then.
func Next(in Input) Act {
	act := in.next()
	if in.Goal.Permit > 0 && in.Now < in.PermitEnd && (act.Again == 0 || in.PermitEnd < act.Again) {
		act.Again = in.PermitEnd
	}
	return act
}

// next: what was begun and not looked at since may run, or may begin to at any moment, so it ends with its permit too.
func (in Input) next() Act {
	switch {
	case in.Seen.Process == health.ProcessUnknown && !(in.Memory.Begun && in.lapsed()):
		return in.wait("a look at it", 0)
	case in.spared():
		return in.wait("its permit to be renewed", in.Grace)
	case in.lapsed() && (in.Seen.Process != health.ProcessEnded || in.Memory.Begun):
		return in.stopping(in.lapse(), "")
	}
	switch in.Goal.Want {
	case platform.WantRunning:
		return in.running()
	case platform.WantStopped:
		return in.stopped()
	}
	if in.Memory.DrainFrom != 0 {
		return Act{Kind: Readmit, Why: "nothing is wanted of it any more"}
	}
	return in.wait("", 0)
}

// lapsed: it needs a permit, and has none in force.
func (in Input) lapsed() bool { return in.Goal.Permit > 0 && in.Now >= in.PermitEnd }

// overdue: it is to end for want of a permit.
func (in Input) overdue() bool { return in.lapsed() && !in.spared() }

// spared: an earlier run of the agent left it running, nobody was there to renew its permit, and it is not told to stop.
func (in Input) spared() bool {
	return in.lapsed() && in.Now < in.Grace && in.Goal.Want == platform.WantRunning && in.Seen.Process == health.ProcessRunning && in.Memory.Starts == 0
}

func (in Input) lapse() string {
	return fmt.Sprintf("its permit has ended: neither a leader nor the agent of %s, its primary, has renewed it; see why this host reaches neither", in.Goal.Primary)
}

func (in Input) running() Act {
	m := in.Memory
	switch {
	case in.Seen.Process == health.ProcessEnded:
		return in.start()
	case in.Seen.Process == health.ProcessEnding:
		return in.stopping("its main process has ended, others of its tree live on", "")
	case in.due():
		return in.leave(fmt.Sprintf("restart %d is wanted", in.Goal.Restart))
	case m.StopFrom != 0 || m.Told:
		return in.leave("it was told to stop before: it is started anew")
	case m.DrainFrom != 0:
		return Act{Kind: Readmit, Why: "it is to run on"}
	}
	return in.wait("", 0)
}

func (in Input) stopped() Act {
	switch in.Seen.Process {
	case health.ProcessEnded:
		return in.wait("", 0)
	case health.ProcessEnding:
		return in.stopping("its main process has ended, others of its tree live on", "")
	}
	return in.leave("it is to be stopped")
}

// due: a restart is wanted that was not obeyed yet. The start that obeys it writes its number first, so that it is never
// done twice.
func (in Input) due() bool { return in.Goal.Restart > in.Durable.Restarted }

// start: with a pause that grows, up to a limit, and under a permit where one is needed.
func (in Input) start() Act {
	m := in.Memory
	switch next := m.EndedAt + Backoff(m.Starts); {
	case m.Begun:
		return in.wait("a look at it", 0)
	case in.lapsed():
		return in.wait("a permit", 0)
	case m.Starts >= startsMost:
		return in.fail(fmt.Sprintf("given up: %d starts in a row, and it never ran for a minute; look at %s, then restart it", m.Starts, in.Output))
	case m.EndedAt != 0 && in.Now < next:
		return in.wait("a moment before it is started again", next)
	}
	d, kept := in.durable(), in.Durable
	d.Restarted, kept.End = max(d.Restarted, in.Goal.Restart), d.End // an older end does no harm
	if d != kept {
		return Act{Kind: Persist, Durable: d, Why: "what it is started for", Wait: "its goal to be on disk"}
	}
	return Act{Kind: Start, Why: "its goal wants it to run"}
}

// Backoff is the pause before a start, after that many in a row.
func Backoff(starts int) time.Duration {
	if starts == 0 {
		return 0
	}
	return min(backoffFirst<<min(starts-1, 10), backoffMost)
}

// leave takes a running instance out of routing for a while, then stops it. With a drain program that has ended well it
// need not wait any longer.
func (in Input) leave(why string) Act {
	m := in.Memory
	until := m.DrainFrom + in.Goal.Drain
	switch {
	case m.StopFrom != 0 || in.Goal.Drain == 0 && m.DrainFrom == 0:
	case m.DrainFrom == 0:
		return Act{Kind: Drain, Why: why}
	case !m.Drained && in.Now < until:
		return in.wait("it to be drained", until)
	}
	return in.stopping("", why)
}

// stopping asks once, then ends what is left by force. fault is why, where that is an error.
func (in Input) stopping(fault, why string) Act {
	m := in.Memory
	from := m.StopFrom
	if from == 0 {
		from = in.Now
	}
	until := from + in.Stop
	if in.Goal.Permit > 0 { // it may end while it is being stopped
		until = min(until, max(from, in.PermitEnd)+lapsedStop)
	}
	if m.StopFrom == 0 { // whoever is told to stop it may take longer to answer than KILL may wait
		return Act{Kind: Stop, Why: fault + why, Error: fault, Again: until}
	}
	if m.KilledAt != 0 {
		until = m.KilledAt + killAgain
	}
	if in.Now < until {
		act := in.wait("it to end", until)
		act.Error = fault
		return act
	}
	return Act{Kind: Kill, Why: "it has not ended in time", Error: fault}
}

// durable is what should be on disk. The end of a permit is written again once it has moved on a while.
func (in Input) durable() Durable {
	d := Durable{Goal: in.Goal, Restarted: in.Durable.Restarted}
	if in.Goal.Permit > 0 {
		d.Boot, d.End = in.Boot, in.PermitEnd
		if old := in.Durable; old.Boot == d.Boot && old.End <= d.End && d.End < old.End+renewEvery {
			d.End = old.End
		}
	}
	return d
}

// wait for something, until a moment if time alone ends it.
func (in Input) wait(what string, until time.Duration) Act {
	act := Act{Wait: what, Again: until}
	if in.lapsed() && in.Goal.Want == platform.WantRunning && in.Seen.Process == health.ProcessEnded {
		act.Error = in.lapse()
	}
	if d := in.durable(); d != in.Durable {
		act.Kind, act.Durable, act.Why = Persist, d, "its goal"
	}
	return act
}

func (in Input) fail(text string) Act {
	act := in.wait("", 0)
	act.Error = text
	return act
}
