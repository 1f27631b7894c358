package appserver

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Next returns the act to do now. Every (seen, goal) pair has an answer; an act that does nothing says what it waits for, if anything.
// The end of a permit always changes the answer, whatever act is running.
func Next(in Input) Act {
	act := in.next()
	if in.Goal.Permit > 0 && in.Now < in.PermitEnd && (act.Again == 0 || in.PermitEnd < act.Again) {
		act.Again = in.PermitEnd
	}
	return act
}

// next treats an instance that was started but not observed since as running: it too must stop when its permit ends.
func (in Input) next() Act {
	switch {
	case in.Seen.Process == health.ProcessUnknown && !(in.Memory.Begun && in.lapsed()):
		return in.wait("an observation of its state", 0)
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
		return Act{Kind: Readmit, Why: "its goal no longer asks for anything"}
	}
	return in.wait("", 0)
}

// lapsed tells whether it needs a permit and has none in force.
func (in Input) lapsed() bool { return in.Goal.Permit > 0 && in.Now >= in.PermitEnd }

// overdue tells whether it must stop because it has no permit.
func (in Input) overdue() bool { return in.lapsed() && !in.spared() }

// spared tells whether an earlier run of the agent left it running, nothing could renew its permit, and no stop has begun.
func (in Input) spared() bool {
	return in.lapsed() && in.Now < in.Grace && in.Goal.Want == platform.WantRunning && in.Seen.Process == health.ProcessRunning &&
		in.Memory.Starts == 0
}

func (in Input) lapse() string {
	return fmt.Sprintf("its permit has ended: neither a leader nor the agent of %s, its primary, has renewed it; "+
		"check why this host reaches neither", in.Goal.Primary)
}

func (in Input) running() Act {
	m := in.Memory
	switch {
	case in.Seen.Process == health.ProcessEnded:
		return in.start()
	case in.Seen.Process == health.ProcessEnding:
		return in.stopping("its main process has ended, but other processes of its tree still run", "")
	case in.due():
		return in.leave(fmt.Sprintf("restart %d is wanted", in.Goal.Restart))
	case m.StopFrom != 0 || m.Told:
		return in.leave("a stop had begun, so it is restarted")
	case m.DrainFrom != 0:
		return Act{Kind: Readmit, Why: "it keeps running"}
	}
	return in.wait("", 0)
}

func (in Input) stopped() Act {
	switch in.Seen.Process {
	case health.ProcessEnded:
		return in.wait("", 0)
	case health.ProcessEnding:
		return in.stopping("its main process has ended, but other processes of its tree still run", "")
	}
	return in.leave("its goal is to stop")
}

// due tells whether a wanted restart is still to be done. The start writes its number first, so that it is never done twice.
func (in Input) due() bool { return in.Goal.Restart > in.Durable.Restarted }

// start starts the instance, under a permit if it needs one, after a pause that grows with each failed start up to a limit.
func (in Input) start() Act {
	m := in.Memory
	switch next := m.EndedAt + Backoff(m.Starts); {
	case m.Begun:
		return in.wait("an observation of its state", 0)
	case in.lapsed():
		return in.wait("a permit", 0)
	case m.Starts >= startsMost:
		return in.fail(fmt.Sprintf("given up: in %d starts in a row it never ran for a minute; read %s, then restart it", m.Starts, in.Output))
	case m.EndedAt != 0 && in.Now < next:
		return in.wait("the pause before it is started again", next)
	}
	d, kept := in.durable(), in.Durable
	d.Restarted, kept.End = max(d.Restarted, in.Goal.Restart), d.End // an older end is harmless
	if d != kept {
		return Act{Kind: Persist, Durable: d, Why: "its goal before the start", Wait: "its goal to be on disk"}
	}
	return Act{Kind: Start, Why: "its goal wants it to run"}
}

// Backoff is the pause before a start, after that many failed starts in a row.
func Backoff(starts int) time.Duration {
	if starts == 0 {
		return 0
	}
	return min(backoffFirst<<min(starts-1, 10), backoffMost)
}

// leave takes a running instance out of routing for its drain time, then stops it. The end of a successful drain program ends the wait
// early.
func (in Input) leave(why string) Act {
	m := in.Memory
	until := m.DrainFrom + in.Goal.Drain
	switch {
	case m.StopFrom != 0 || in.Goal.Drain == 0 && m.DrainFrom == 0:
	case m.DrainFrom == 0:
		return Act{Kind: Drain, Why: why}
	case !m.Drained && in.Now < until:
		return in.wait("the end of its draining", until)
	}
	return in.stopping("", why)
}

// stopping asks the processes once to end, then kills the remaining ones. fault is the reason if that is an error.
func (in Input) stopping(fault, why string) Act {
	m := in.Memory
	from := m.StopFrom
	if from == 0 {
		from = in.Now
	}
	until := from + in.Stop
	if in.Goal.Permit > 0 { // the permit may end during the stop
		until = min(until, max(from, in.PermitEnd)+lapsedStop)
	}
	if m.StopFrom == 0 { // systemd may take longer to answer a stop than KILL may wait
		return Act{Kind: Stop, Why: fault + why, Error: fault, Again: until}
	}
	if m.KilledAt != 0 {
		until = m.KilledAt + killAgain
	}
	if in.Now < until {
		act := in.wait("its processes to end", until)
		act.Error = fault
		return act
	}
	return Act{Kind: Kill, Why: "it has not ended in time", Error: fault}
}

// durable is the state that should be on disk. The end of a permit is written again once it has moved far enough.
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

// wait waits for something, at most until a moment if time alone ends the wait.
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
