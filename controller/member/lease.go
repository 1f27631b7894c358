package member

import (
	"time"

	"mainstay/controller/platform"
)

// Clocks remembers the clock read before each report, so that a lease ends counted from the request, never from the
// answer (L1).
type Clocks struct {
	run         string
	first, next uint64
	sent        [remembered]time.Duration
}

// remembered is how many reports may be unanswered; older answers are worthless anyway.
const remembered = 256

// NewClocks begins with report number first+1; an agent that restarts goes on above every number of its former life.
func NewClocks(run string, first uint64) *Clocks {
	return &Clocks{run: run, first: first, next: first}
}

// Send notes the clock s for a new report and returns its number. s was read before anything else about the report.
func (c *Clocks) Send(s time.Duration) uint64 {
	c.next++
	c.sent[c.next%remembered] = s
	return c.next
}

// Last is the number of the last report, or the one to begin after.
func (c *Clocks) Last() uint64 { return c.next }

// End is when a lease of that length, granted for report number of this run, ends; false if it was never sent by it.
func (c *Clocks) End(run string, number uint64, length time.Duration) (time.Duration, bool) {
	if run != c.run || number <= c.first || number > c.next || c.next-number >= remembered {
		return 0, false
	}
	return c.sent[number%remembered] + length, true
}

// Extend takes over a grant. A lease of the same epoch never shrinks; one of a lower epoch is not taken at all (S3).
func (l Lease) Extend(epoch platform.Epoch, end time.Duration) Lease {
	switch {
	case epoch.Less(l.Epoch):
		return l
	case epoch == l.Epoch:
		l.End = max(l.End, end)
		return l
	}
	return Lease{Epoch: epoch, End: end}
}

// Renew takes over a grant, or promises, of that length for the report of s.
func (l Lease) Renew(epoch platform.Epoch, s, length time.Duration) Lease {
	if l = l.Extend(epoch, s+length); l.Epoch == epoch {
		l.Renewed = max(l.Renewed, s)
	}
	return l
}

// Permits is for how long the lease is good for the permit of an app server, where it was last renewed for that length. That
// counts from the renewal, like a permit that was given with it, and not back from the lease's end: a longer lease may have been
// granted before, and a primary whose replicas are sealed keeps its lease for a while, but nobody renews it.
func (l Lease) Permits(length, now time.Duration) time.Duration {
	if l.Renewed == 0 || l.End <= now {
		return 0
	}
	return max(0, l.Renewed+platform.Permit(length)-now)
}

// Permits is the epoch of the member's lease, and for how long that is good for a permit of an app server, where it was last
// renewed for length: 0 once its primary has ended, or another epoch is known here.
func (in *Input) Permits(length time.Duration) (platform.Epoch, time.Duration) {
	e, d := in.Lease.Epoch, &in.Durable
	if e != d.Epoch || e != d.Ran || !d.Closed.Less(e) || e.Less(d.Sealed) || in.Goal.Kind != platform.GoalPrimary || in.Goal.Epoch != e {
		return e, 0
	}
	return e, in.Lease.Permits(length, in.Now)
}

// Run is the id of the agent's run that these clocks belong to.
func (c *Clocks) Run() string { return c.run }
