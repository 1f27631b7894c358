package appserver

import (
	"mainstay/controller/platform"
	"mainstay/health"
)

// Report is the agent's report of the instance; byPrimary means that the agent of its primary, not a leader, last renewed its permit.
func (in Input) Report(name string, byPrimary bool) health.Instance {
	r := health.Instance{Name: name, Running: in.serving(), Restarts: in.Memory.Restarts, Restarted: in.Durable.Restarted}
	r.Draining = r.Running && in.leaving()
	// The goal is on disk, so not even a restarted agent starts it.
	r.Stopped = in.Seen.Process == health.ProcessEnded && !in.Memory.Begun &&
		in.Goal.Want == platform.WantStopped && in.Durable.Goal.Want == platform.WantStopped
	if in.Goal.Permit > 0 && in.Now < in.PermitEnd && !r.Stopped {
		r.PermitLeft, r.ByPrimary = (in.PermitEnd - in.Now).Milliseconds(), byPrimary
	}
	return r
}

// Closed tells load balancers in one word why the instance gets no requests; "" if it may get requests.
func (in Input) Closed() string {
	switch {
	case in.Goal.Want != platform.WantRunning:
		return "not wanted"
	case in.overdue():
		return "no permit"
	case !in.serving():
		return "not running"
	case in.leaving():
		return "draining"
	}
	return ""
}

func (in Input) serving() bool { return in.Seen.Process == health.ProcessRunning && !in.Seen.Starting }

// leaving tells whether it must be stopped, or is being stopped. From then on it is out of routing.
func (in Input) leaving() bool {
	m := in.Memory
	return m.DrainFrom != 0 || m.Told || m.StopFrom != 0 || in.due() && in.Goal.Want == platform.WantRunning ||
		in.Goal.Want == platform.WantStopped || in.overdue()
}
