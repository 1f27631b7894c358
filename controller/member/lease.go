package member

import (
	"time"

	"mainstay/controller/platform"
)

// Clocks remembers the clock read before each report, so that a lease counts from the request, never from the answer (L1).
type Clocks struct {
	run         string
	first, next uint64
	sent        [remembered]time.Duration
}

// remembered is how many reports may be unanswered; older answers are of no use.
const remembered = 256

// NewClocks begins with report number first+1; an agent that restarts continues above every number of its former process.
func NewClocks(run string, first uint64) *Clocks {
	return &Clocks{run: run, first: first, next: first}
}

// Send notes the clock s for a new report and returns its number. s was read before anything else about the report.
func (c *Clocks) Send(s time.Duration) uint64 {
	c.next++
	c.sent[c.next%remembered] = s
	return c.next
}

// Last is the number of the last report; before the first one, the number it follows.
func (c *Clocks) Last() uint64 { return c.next }

// End is when a lease of that length, granted for report number, ends; false if this run never sent that report.
func (c *Clocks) End(run string, number uint64, length time.Duration) (time.Duration, bool) {
	if run != c.run || number <= c.first || number > c.next || c.next-number >= remembered {
		return 0, false
	}
	return c.sent[number%remembered] + length, true
}

// Extend applies a grant. A lease of the same epoch never shrinks; a grant of a lower epoch is ignored (S3).
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

// Renew applies a grant or promises of that length, for a report sent at s.
func (l Lease) Renew(epoch platform.Epoch, s, length time.Duration) Lease {
	if l = l.Extend(epoch, s+length); l.Epoch == epoch {
		l.Renewed = max(l.Renewed, s)
	}
	return l
}

// Permits is how long the lease still supports the permit of an app server, if it was last renewed for that length. It counts from
// the renewal, like a permit granted with it, and not back from the lease's end: a longer lease may have been granted before, and
// a primary whose replicas are sealed keeps its lease for a while without renewal.
func (l Lease) Permits(length, now time.Duration) time.Duration {
	if l.Renewed == 0 || l.End <= now {
		return 0
	}
	return max(0, l.Renewed+platform.Permit(length)-now)
}

// Permits is the epoch of the member's lease and how long it still supports a permit of an app server, if it was last renewed for
// length. It is 0 once the primary has ended or the member knows another epoch.
func (in *Input) Permits(length time.Duration) (platform.Epoch, time.Duration) {
	e, d := in.Lease.Epoch, &in.Durable
	if e != d.Epoch || e != d.Ran || !d.Closed.Less(e) || e.Less(d.Sealed) || in.Goal.Kind != platform.GoalPrimary || in.Goal.Epoch != e {
		return e, 0
	}
	return e, in.Lease.Permits(length, in.Now)
}

// Run is the id of the agent's run that these clocks belong to.
func (c *Clocks) Run() string { return c.run }
