package watchdog

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/boottime"
	"mainstay/fencing/guard"
)

// holder is the state between the server, which receives wishes and guards, and the loop, which pings the device.
type holder struct {
	cfg   config
	open  opener
	prot  guard.Protection
	timer *boottime.Timer // when the loop checks again; set with mu held

	mu      sync.Mutex // guards the fields below; while it is held, only the device and memory are touched
	machine machine
	device  *device // nil while none is held
	fault   string  // why no device is held, or why the last ping failed
	starves bool
	members map[string]*member // members are never removed: a duty must not be forgotten, and a member without a duty costs nothing
}

// member is the guards of one member, a and b.
type member struct{ posts [2]standing }

// standing is a post with the page of its guard; nil before the first guard.
type standing struct {
	page   *guard.DutyPage
	before guard.Duty
}

func newHolder(cfg config, open opener) (*holder, error) {
	timer, err := boottime.NewTimer()
	if err != nil {
		return nil, err
	}
	return &holder{cfg: cfg, open: open, timer: timer, members: map[string]*member{}}, nil
}

// loop runs on its own thread until the holder must end. It waits in the kernel, not in the Go scheduler.
func (h *holder) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fds := []unix.PollFd{{Fd: int32(h.timer.FD()), Events: unix.POLLIN}}
	for !h.step() {
		unix.Poll(fds, int(pingEvery.Milliseconds())) // bounded, in case the timer fails
	}
}

// rouse makes the loop check at once. It is called with mu held.
func (h *holder) rouse() { h.timer.Set(0) }

// step checks once, does the due act, and sets the timer; over tells that the holder must end.
func (h *holder) step() (over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer.Expired()
	for {
		owed := h.owed()
		now := boottime.Now() // read last, so that no guard's duty is newer
		next := h.machine.next(now, owed)
		h.starves = next == starve
		if next == end {
			return true
		}
		h.do(next, now)
		if next == wait || next == starve || next == ping {
			h.timer.Set(h.machine.again(now, owed))
			return false
		}
	}
}

// do carries out an act, with mu held. Only the device's own calls may take long here.
func (h *holder) do(next act, now time.Duration) {
	switch next {
	case open:
		h.opened(now)
	case retime:
		if err := h.device.retime(h.machine.want.Timeout); err != nil {
			h.refused(now, unfitError{errors.Join(err, h.device.disarm())})
			return
		}
		h.machine.opened(now, h.device, false)
	case ping:
		h.machine.pinged, h.fault = now, ""
		if err := h.device.ping(); err != nil {
			h.fault = err.Error()
		}
	case disarm:
		h.fault = ""
		if err := h.device.disarm(); err != nil {
			h.fault = err.Error()
		}
		h.device, h.machine.held = nil, false
	}
}

func (h *holder) opened(now time.Duration) {
	c, err := h.open(h.cfg.Device)
	var d *device
	if err == nil {
		d, err = arm(c, h.machine.want.Timeout)
	}
	if err != nil {
		h.refused(now, err)
		return
	}
	h.device, h.fault = d, ""
	h.machine.opened(now, d, false)
}

func (h *holder) refused(now time.Duration, err error) {
	h.device, h.fault = nil, fmt.Sprintf("%s: %v", h.cfg.Device, err)
	h.machine.opened(now, nil, errors.As(err, new(unfitError)))
}

// owed is the earliest end of any guard of the host. It is called with mu held.
func (h *holder) owed() (end time.Duration) {
	for _, m := range h.members {
		end = earlier(end, m.owed())
	}
	return end
}

func (m *member) owed() time.Duration {
	var posts [2]post
	for i, p := range m.posts {
		posts[i].before = p.before
		if p.page != nil {
			posts[i].now = p.page.Duty()
		}
	}
	return owed(posts[:]...)
}

// take puts another guard in a post. The former one has died, since only one at a time can have the post's lock; its duty remains.
func (s *standing) take(duty *guard.DutyPage) {
	if s.page != nil {
		last := s.page.Duty()
		if last.End == 0 && s.before.End != 0 && s.before.Since >= last.Since {
			last.End, last.Since = s.before.End, s.before.Since
		}
		last.Settled = max(last.Settled, s.before.Settled)
		s.before = last
		s.page.Close()
	}
	s.page = duty
}

// status is called with mu held.
func (h *holder) status() Status {
	s := Status{Proto: proto, PID: unix.Getpid(), Device: h.cfg.Device, Watched: map[string][2]int{}, Starves: h.starves,
		Unhardened: h.prot.Missing}
	if h.device != nil {
		s.Info = h.device.info
	}
	if h.fault != "" {
		s.Missing = h.fault
	}
	if w := h.machine.want; w != nil && w.On && w.Timeout < time.Second {
		s.Missing = errTooShort.Error()
	}
	for name, m := range h.members {
		s.Watched[name] = m.pids()
	}
	return s
}

func (m *member) pids() (pids [2]int) {
	for i, p := range m.posts {
		if p.page != nil {
			pids[i] = p.page.PID()
		}
	}
	return pids
}
