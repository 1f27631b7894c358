package watchdog

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard"
)

const (
	pingEvery  = 250 * time.Millisecond // while there is room
	lookEvery  = 100 * time.Millisecond
	lookSoon   = 10 * time.Millisecond // near the deadline: the reset comes at most that much before end + K
	retryEvery = time.Second           // to open a device that is missing, or held by another process
)

// post holds the duties at one of a member's two posts: that of its guard, and that of an earlier guard that died with a duty.
type post struct{ now, before guard.Duty }

// owed is the earliest end that the guards of one member must still enforce; 0 for none.
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

// earlier is the earlier of two ends; 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// room tells whether a ping at now is allowed while a guard must kill by end (0: none): if it were the last ping, the reset would
// still come by end + K, when the lease is counted out (L2, L3).
func room(now, timeout, end time.Duration) bool {
	return end == 0 || now+timeout <= end+platform.GuardKill
}

// act is the holder's next act.
type act string

const (
	wait   act = "wait"
	open   act = "open"   // start the device, which pings it
	ping   act = "feed"   // a ping is due, and there is room
	starve act = "starve" // there is no room: a guard is overdue or will be soon
	retime act = "retime" // change the timeout, which pings it too
	disarm act = "disarm"
	end    act = "end" // end the process
)

// machine is the holder without its clock, device and guards.
type machine struct {
	want    *Wish // nil until an agent has sent one
	blind   bool  // not all guards could be watched, so their duties are not known
	leaving bool  // it ends as soon as no guard has a duty

	held    bool          // the device is open and counts down
	timeout time.Duration // of the device, while it is held
	asked   time.Duration // the timeout requested of the device
	pinged  time.Duration // when it was last pinged
	retryAt time.Duration // it is not opened before
	unfit   time.Duration // a timeout that it could not provide; it is not started again for that
}

// next decides. owed is the earliest end that a guard of the host must enforce.
func (m *machine) next(now, owed time.Duration) act {
	switch {
	case m.want == nil && !m.leaving:
		return wait
	case !m.held && (m.leaving || !m.want.On):
		return end
	case !m.held && !m.blind && m.want.Timeout >= time.Second && m.want.Timeout != m.unfit &&
		now >= m.retryAt && room(now, m.want.Timeout, owed):
		return open
	case !m.held:
		return wait
	case m.leaving && owed == 0, !m.want.On, m.want.Timeout < time.Second:
		return disarm
	case m.want.Timeout != m.asked && room(now, m.want.Timeout, owed):
		return retime
	case !room(now, m.timeout, owed):
		return starve
	case now-m.pinged >= pingEvery || m.pressing(now, owed):
		return ping
	}
	return wait
}

// pressing tells whether there may be no room for the next regular ping.
func (m *machine) pressing(now, owed time.Duration) bool {
	return m.held && !room(now+pingEvery, m.timeout, owed)
}

// again is when to check again.
func (m *machine) again(now, owed time.Duration) time.Duration {
	switch {
	case m.pressing(now, owed):
		return now + lookSoon
	case !m.held:
		return now + retryEvery // a wish rouses it
	}
	return now + lookEvery
}

// opened records the result of arm. A device that cannot provide the timeout is not tried again for it.
func (m *machine) opened(now time.Duration, d *device, unfit bool) {
	m.asked = m.want.Timeout
	if d != nil {
		m.held, m.timeout, m.pinged, m.unfit = true, d.info.Timeout, now, 0
		return
	}
	m.held, m.retryAt = false, now+retryEvery
	if unfit {
		m.unfit = m.want.Timeout
	}
}
