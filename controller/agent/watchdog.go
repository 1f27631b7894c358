package agent

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/fencing/watchdog"
	"mainstay/health"
)

const (
	// tellEvery is how often the agent sends the holder of the host's watchdog its wish and reads its status. If the holder has died,
	// another one must open the device before that resets the host: after one second at the least.
	tellEvery = 250 * time.Millisecond
	// wishEvery is how often the agent checks whether a goal requires a watchdog while there is none.
	wishEvery = time.Second
	// toldLately is the age up to which the holder's last answer counts.
	toldLately = 2 * time.Second
)

// hostWatchdog is the agent's view of its host's watchdog. One goroutine talks to the holder; the lease path only reads the result.
type hostWatchdog struct {
	mu     sync.Mutex
	status watchdog.Status
	fault  string
	at     time.Duration // when the holder answered
}

// watchdogDir is the folder in which the holder listens. No member's folder can have that name.
func watchdogDir(data string) string { return filepath.Join(data, "run", "host.watchdog") }

// keepWatchdog keeps the holder as the goals require, until ctx ends. The holder keeps running.
func (a *Agent) keepWatchdog(ctx context.Context) error {
	c := &watchdog.Client{Executable: a.opts.Executable, Dir: watchdogDir(a.cfg.Data), Device: a.cfg.Watchdog.Device}
	timer := time.NewTimer(0)
	defer timer.Stop()
	ended := false // the watchdog was off, and its holder has ended
	for {
		pause := tellEvery
		if w, known := a.watchdogWish(); known && (w.On || !ended) {
			st, err := c.Tell(ctx, w)
			ended = !w.On && err == nil && st.PID == 0
			a.watchdog.heard(a.log, st, err)
		}
		if ended {
			pause = wishEvery
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

// watchdogWish is the watchdog that the goals of the host's members require. known is false while there is no goal: then the holder,
// which an earlier agent may have set up, is left as it is.
func (a *Agent) watchdogWish() (w watchdog.Wish, known bool) {
	w.Guards = map[string]watchdog.Guards{}
	silent := false
	for _, m := range a.list() {
		goal := m.Goal()
		w.Guards[m.Name()] = watchdog.Guards{Dir: a.cfg.GuardDir(m.Name()), PIDs: m.GuardPIDs()}
		asked := goal.Watchdog
		switch {
		case goal.Kind == platform.GoalReleased:
		case goal.Cluster == "":
			silent = true
		default:
			known = true
		}
		if asked != nil && (!w.On || asked.Timeout < w.Timeout) {
			w.On, w.Timeout = true, asked.Timeout
		}
	}
	return w, known || !silent
}

// heard stores the holder's answer and logs changes.
func (d *hostWatchdog) heard(log *zap.Logger, st watchdog.Status, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, fault := d.status, d.fault
	d.fault = ""
	if err != nil {
		d.fault = err.Error()
	}
	if st.PID != 0 || err == nil {
		d.status, d.at = st, boottime.Now()
	}
	if was.Armed != d.status.Armed || was.Missing != d.status.Missing || was.PID != d.status.PID || fault != d.fault {
		log.Info("watchdog", zap.Bool("armed", d.status.Armed), zap.String("device", d.status.Identity),
			zap.Duration("timeout", d.status.Timeout),
			zap.String("missing", d.status.Missing), zap.String("fault", d.fault), zap.Int("holder", d.status.PID),
			zap.Strings("unhardened", d.status.Unhardened))
	}
	if d.status.Starves && !was.Starves {
		log.Warn("the watchdog is not pinged: a guard is overdue, or a lease has almost ended; the host resets unless that recovers")
	}
}

// of is the state of the watchdog for a member with these guards and that wish; nil if it is off.
func (d *hostWatchdog) of(asked *platform.Watchdog, member string, guards [2]int) *health.Watchdog {
	if asked == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.status
	w := &health.Watchdog{Mode: asked.Mode, Identity: s.Identity, Timeout: s.Timeout, Missing: s.Missing, WasReset: s.WasReset}
	switch {
	case d.at == 0 || boottime.Now()-d.at > toldLately:
		w.Missing = "its holder has not answered lately"
	case !s.Armed && s.Missing == "":
		w.Missing = "it is about to be armed"
	case !s.Armed:
	case asked.Timeout < s.Timeout:
		w.Missing = "its timeout is too long for the lease of " + member
	case guards == [2]int{} || s.Watched[member] != guards:
		w.Missing = "it does not yet watch the guards of " + member
	default:
		w.Armed = true
	}
	if d.fault != "" && !w.Armed {
		w.Missing = d.fault
	}
	return w
}
