package watchdog

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard"
)

const (
	feedEvery  = 250 * time.Millisecond // while there is room; a slow device is not asked more often
	lookEvery  = 100 * time.Millisecond
	lookSoon   = 10 * time.Millisecond // where the moment counts: the reset comes that much before end + K, at most
	retryEvery = time.Second           // to open a device that is not there, or held by another
)

// post is what was said at one of a member's two posts: by the guard that stands there, and by one before it that died while
// it owed something.
type post struct{ now, before guard.Duty }

// owed is the earliest end that the guards of one member are still bound to, 0 if to none.
func owed(posts ...post) (end time.Duration) {
	settled := time.Duration(0)
	for _, p := range posts {
		settled = max(settled, p.now.Settled, p.before.Settled)
	}
	for _, p := range posts {
		duties := []guard.Duty{p.now}
		if p.now.End == 0 || p.now.Since < p.before.Since { // else its successor has taken it over
			duties = append(duties, p.before)
		}
		for _, d := range duties {
			if d.End != 0 && d.Since >= settled {
				end = earlier(end, d.End)
			}
		}
	}
	return end
}

// earlier of two ends, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// room tells whether a feed at now is allowed while a guard is bound to end (0: none): were it the last, the host would be
// reset before the lease is counted out, at end + K (L2, L3).
func room(now, timeout, end time.Duration) bool {
	return end == 0 || now+timeout <= end+platform.GuardKill
}

// act is what the holder does next.
type act string

const (
	wait   act = "wait"
	open   act = "open"   // which starts the device, and feeds it
	feed   act = "feed"   // the time has come, and there is room
	starve act = "starve" // there is no room: a guard is overdue, or soon will be
	retime act = "retime" // which feeds as well
	disarm act = "disarm"
	end    act = "end" // the process
)

// machine is the holder without its clock, device and guards.
type machine struct {
	want    *Wish // nil until an agent has said one
	blind   bool  // not all guards could be watched, so nobody knows what they owe
	leaving bool  // it ends as soon as no guard is bound to anything

	held    bool          // the device is open and counts
	timeout time.Duration // of the device, while it is held
	asked   time.Duration // the timeout that it was asked for
	fed     time.Duration // when it was fed last
	retryAt time.Duration // not opened before
	unfit   time.Duration // the timeout it could not serve; it is not started again for that
}

// next decides with owed, the earliest end that a guard of the host is bound to.
func (m *machine) next(now, owed time.Duration) act {
	switch {
	case m.want == nil && !m.leaving:
		return wait
	case !m.held && (m.leaving || !m.want.On):
		return end
	case !m.held && !m.blind && m.want.Timeout >= time.Second && m.want.Timeout != m.unfit && now >= m.retryAt && room(now, m.want.Timeout, owed):
		return open
	case !m.held:
		return wait
	case m.leaving && owed == 0, !m.want.On, m.want.Timeout < time.Second:
		return disarm
	case m.want.Timeout != m.asked && room(now, m.want.Timeout, owed):
		return retime
	case !room(now, m.timeout, owed):
		return starve
	case now-m.fed >= feedEvery || m.pressing(now, owed):
		return feed
	}
	return wait
}

// pressing: the room may be gone by the next regular feed.
func (m *machine) pressing(now, owed time.Duration) bool {
	return m.held && !room(now+feedEvery, m.timeout, owed)
}

// again is when to look again.
func (m *machine) again(now, owed time.Duration) time.Duration {
	switch {
	case m.pressing(now, owed):
		return now + lookSoon
	case !m.held:
		return now + retryEvery // a wish rouses it
	}
	return now + lookEvery
}

// opened takes over what arm brought; a device that was tried and does not fit is left alone for this timeout.
func (m *machine) opened(now time.Duration, d *device, unfit bool) {
	m.asked = m.want.Timeout
	if d != nil {
		m.held, m.timeout, m.fed, m.unfit = true, d.info.Timeout, now, 0
		return
	}
	m.held, m.retryAt = false, now+retryEvery
	if unfit {
		m.unfit = m.want.Timeout
	}
}
