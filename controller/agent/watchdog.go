package agent

import (
	"context"
	"errors"
	"fmt"
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
	// tellEvery is how often the holder of the host's watchdog is told and asked. If it has died, another one must have the
	// device before that resets the host: after one second at the least.
	tellEvery = 250 * time.Millisecond
	// toldLately is the age up to which the holder's last answer counts.
	toldLately = 2 * time.Second
)

// hound is what the agent knows of its host's watchdog. One goroutine tells and asks the holder; the lease path only reads
// what it brought.
type hound struct {
	mu     sync.Mutex
	mode   string // as the goals say: platform.WatchdogOff, ...
	status watchdog.Status
	fault  string
	at     time.Duration // when the holder answered
}

// watchdogDir is where the holder listens. No member's folder there bears such a name.
func watchdogDir(data string) string { return filepath.Join(data, "run", "host.watchdog") }

// keepWatchdog keeps the holder as the goals say, until ctx ends. The holder lives on.
func (a *Agent) keepWatchdog(ctx context.Context) error {
	c := &watchdog.Client{Executable: a.opts.Executable, Dir: watchdogDir(a.cfg.Data), Device: a.cfg.Watchdog.Device}
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	ended := false // it was off, and there is no holder
	for {
		mode, w, known := a.watchdogWish()
		if known && (w.On || !ended) {
			st, err := c.Tell(ctx, w)
			ended = !w.On && err == nil && st.PID == 0
			a.watchdog.heard(a.log, mode, st, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// watchdogWish is what the goals of the host's members ask of its watchdog. known is false while no goal says anything:
// then the holder, which may have been told by an earlier agent, is left as it is.
func (a *Agent) watchdogWish() (mode string, w watchdog.Wish, known bool) {
	known = true
	told := false
	w.Guards = map[string]watchdog.Guards{}
	for _, m := range a.list() {
		m.mu.Lock()
		goal := m.goal
		m.mu.Unlock()
		w.Guards[m.name] = watchdog.Guards{Dir: guardDir(a.cfg, m.name), PIDs: m.guards.pids()}
		switch dog := goal.Watchdog; {
		case goal.Kind == platform.GoalReleased:
		case goal.Cluster == "":
			known = false
		case dog == nil:
			told = true
		default:
			if told = true; !w.On || dog.Timeout < w.Timeout {
				w.Timeout = dog.Timeout
			}
			if w.On = true; mode != platform.WatchdogRequired {
				mode = dog.Mode
			}
		}
	}
	return mode, w, known || told
}

// heard takes the holder's answer over; what has changed is logged.
func (d *hound) heard(log *zap.Logger, mode string, st watchdog.Status, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, fault := d.status, d.fault
	d.mode, d.fault = mode, ""
	if err != nil {
		d.fault = err.Error()
	}
	if st.PID != 0 || err == nil {
		d.status, d.at = st, boottime.Now()
	}
	if was.Armed != d.status.Armed || was.Missing != d.status.Missing || fault != d.fault || was.PID != d.status.PID {
		log.Info("watchdog", zap.String("mode", mode), zap.Bool("armed", d.status.Armed), zap.String("device", d.status.Identity), zap.Duration("timeout", d.status.Timeout),
			zap.String("missing", d.status.Missing), zap.String("fault", d.fault), zap.Int("holder", d.status.PID))
	}
	if d.status.Starves && !was.Starves {
		log.Warn("the watchdog is not fed: a guard is overdue, or a lease has all but ended; the host resets unless that mends")
	}
}

// of is what the watchdog is to a member with these guards; nil where it is off.
func (d *hound) of(name string, guards [2]int) *health.Watchdog {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mode == platform.WatchdogOff {
		return nil
	}
	s := d.status
	w := &health.Watchdog{Mode: d.mode, Identity: s.Identity, Timeout: s.Timeout, Missing: s.Missing, WasReset: s.WasReset}
	switch {
	case boottime.Now()-d.at > toldLately:
		w.Missing = "its holder does not answer"
	case !s.Armed:
	case guards == [2]int{} || s.Watched[name] != guards:
		w.Missing = "it does not watch the guards of " + name + " yet"
	default:
		w.Armed = true
	}
	if d.fault != "" && !w.Armed {
		w.Missing = d.fault
	}
	if w.Missing == "" && !w.Armed {
		w.Missing = "it is not armed yet"
	}
	return w
}

// bars says why a member may not take a lease until end: the watchdog that is required is not armed, or the device was fed
// for longer than the lease still runs. The latter only matters to guards that were bound to nothing (fresh); those that
// are bound have the device fed by what they owe.
func (d *hound) bars(name string, guards [2]int, end time.Duration, fresh bool) error {
	w := d.of(name, guards)
	switch {
	case w == nil:
	case !w.Armed && w.Mode == platform.WatchdogRequired:
		return errors.New("the watchdog is required, and not armed: " + w.Missing)
	case w.Armed && fresh && boottime.Now()+w.Timeout > end+platform.GuardKill:
		return fmt.Errorf("the lease ends too soon for a watchdog of %s; the next one will do", w.Timeout)
	}
	return nil
}
