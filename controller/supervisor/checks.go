package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/health/integrity/structure"
)

const (
	// orderRetry is the pause before an order is obeyed that could not be, or after a check that has ended: until then the leader has heard
	// of the end.
	orderRetry = 10 * time.Second
	// orderGone is how long an order may be missing before the check ends that it was for. Until then that check pauses.
	orderGone = time.Minute
	// keptEvery is the least pause between two writes of what the checks have shown.
	keptEvery = 2 * time.Second
	// scheduledWait is how long a comparison that is scheduled looks again at pages that have not settled.
	scheduledWait = 15 * time.Minute
)

// Texts of what a check waits for.
const (
	waitsForMember = "the member does not run as primary or replica, is paused with its cluster, or is being changed"
	waitsForOrder  = "the cluster is paused or being changed, or no leader asks for the check at the moment"
)

// ordered is the leader's last order for a deep check. shared.mu guards it.
type ordered struct {
	now       platform.CheckOrder
	at        time.Duration // when there was an order for the check that runs, last
	notBefore time.Duration // none begins before
}

// checkLoop obeys the leader's orders for deep checks, and keeps what the checks have shown.
func (m *Supervisor) checkLoop(ctx context.Context) {
	for {
		m.mu.Lock()
		news := m.news
		m.mu.Unlock()
		m.obeyOrder()
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

// obeyOrder begins the check that is asked for, and ends one that no longer is.
func (m *Supervisor) obeyOrder() {
	m.mu.Lock()
	now, o := boottime.Now(), &m.ordered
	o.now = m.told.others.Check
	comparing, inspecting := m.comparing.cancel != nil && m.comparing.order != nil, m.inspection.wanted && m.inspection.scheduled
	if inspecting && o.now.Depth == platform.CheckStructure {
		m.inspection.order = o.now
	}
	if comparing && o.now.Depth == platform.CheckCompare { // its share of the hour may have been changed
		order := o.now
		m.comparing.order = &order
	}
	if o.at == 0 || !comparing && !inspecting || comparing && o.now.Depth == platform.CheckCompare ||
		inspecting && o.now.Depth == platform.CheckStructure {
		o.at = now
	}
	gone := now-o.at > orderGone
	idle := m.comparing.cancel == nil && !m.inspection.wanted
	begins := idle && o.now.Depth != "" && !o.now.Hold && now >= o.notBefore && m.calm()
	order := o.now
	m.mu.Unlock()
	const why = "the platform file no longer asks for it, or another member's agent makes it"
	switch {
	case gone && comparing:
		m.endComparison(why)
	case gone && inspecting:
		m.Structure.stop(why)
	case !begins:
	case order.Depth == platform.CheckCompare:
		m.begun(m.compareByOrder(order))
	case order.Depth == platform.CheckStructure:
		m.begun(m.Structure.begin(order))
	}
}

// begun takes whether an order could be obeyed.
func (m *Supervisor) begun(err error) {
	if err == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ordered.notBefore = boottime.Now() + orderRetry
	m.log.Warn("a scheduled check cannot begin", zap.Error(err))
}

// rests is why a scheduled check must not work now; "" if it may. begun is when it began; called with mu held.
func (m *shared) rests(of platform.CheckOrder, begun, now time.Duration) string {
	switch o := &m.ordered.now; {
	case o.Depth != of.Depth || o.Hold:
		return waitsForOrder
	case of.Share > 0 && of.Share < 100 && (now-begun)%time.Hour >= time.Hour*time.Duration(of.Share)/100:
		return fmt.Sprintf("it works in %d%% of each hour, and continues in %s", of.Share,
			(time.Hour - (now-begun)%time.Hour).Round(time.Second))
	}
	return ""
}

// checks are what a report says of the deep checks; called with mu held.
func (m *shared) checks(now time.Duration) *health.Checks {
	c, i := &m.comparing, &m.inspection
	all := health.Checks{Compare: health.Checked{Running: c.cancel != nil, Scheduled: c.cancel != nil && c.order != nil,
		DoneMS: c.wholeAt.ageMS(now), TriedMS: c.tried.ageMS(now)}}
	if all.Compare.Running {
		all.Compare.Percent, all.Compare.Waiting = c.last.Percent, c.waits
	} else if c.last != nil {
		all.Compare.Ended = c.last.Ended
	}
	if i.known != nil && !i.unseen {
		all.Found = i.known.Against(i.of)
	}
	if i.known == nil || !i.unseen && i.of != m.durable.Incarnation && !i.wanted {
		return &all
	}
	all.Structure = health.Checked{Running: i.wanted, Scheduled: i.wanted && i.scheduled, Percent: i.known.Percent, Waiting: i.known.Waiting,
		TriedMS: i.tried.ageMS(now), Ended: i.known.Ended}
	if i.wholeOf == m.durable.Incarnation {
		all.Structure.DoneMS = i.wholeAt.ageMS(now)
	}
	if !i.wanted {
		all.Structure.Percent = 0
	}
	if i.of == m.durable.Incarnation {
		all.Structure.Damage = i.known.Says()
	}
	return &all
}

// KeptChecks is the file in which a member's agent keeps what its deep checks have shown: a restart of the agent loses nothing, nor does a
// new copy of the member's data, because each result names the data that it is about.
type KeptChecks struct {
	// Comparison is the last one, or was running when the file was written; Whole is the last one that reached its end, if that is another.
	Comparison *health.Comparison `json:"comparison,omitempty"`
	Whole      *health.Comparison `json:"whole,omitempty"`
	Ended      time.Time          `json:"ended,omitzero"`      // Comparison
	WholeEnded time.Time          `json:"wholeEnded,omitzero"` // the last one that reached its end
	Tried      time.Time          `json:"tried,omitzero"`      // the last one that no restart has interrupted
	Scheduled  bool               `json:"scheduled,omitempty"` // Comparison
	Structure  *KeptStructure     `json:"structure,omitempty"`
}

// KeptStructure is the last check of the structure, or was running when the file was written.
type KeptStructure struct {
	Of         string            `json:"of"` // the incarnation of the data
	Check      *health.Structure `json:"check"`
	Ended      time.Time         `json:"ended,omitzero"`
	WholeOf    string            `json:"wholeOf,omitempty"`
	WholeEnded time.Time         `json:"wholeEnded,omitzero"`
	Tried      time.Time         `json:"tried,omitzero"`
	From       *structure.Place  `json:"from,omitempty"` // where it continues
	Rate       int64             `json:"rate,omitempty"` // bytes a second
	Install    bool              `json:"install,omitempty"`
	Scheduled  bool              `json:"scheduled,omitempty"`
}

func checksPath(cfg config.Agent, name string) string {
	return filepath.Join(cfg.MemberDir(name), "checks.json")
}

// keepChecks writes what has changed. It runs apart: if the disk hangs nothing waits for it.
func (m *Supervisor) keepChecks(ctx context.Context) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.shown:
		}
		err := m.writeChecks()
		if err != nil && !failed {
			m.log.Warn("the results of checks are not kept: a restart of the agent forgets them", zap.Error(err))
		}
		failed = err != nil
		_ = wakeup.Pause(ctx, keptEvery) // its error is that of the context
	}
}

func (m *Supervisor) writeChecks() error {
	m.checksFile.Lock()
	defer m.checksFile.Unlock()
	m.mu.Lock()
	now, wall := boottime.Now(), time.Now()
	k := KeptChecks{}
	m.comparing.keep(&k, now, wall)
	k.Structure = m.inspection.keep(now, wall)
	m.mu.Unlock()
	return statefile.Write(checksPath(m.o.Config, m.o.Name), k)
}

// signalShown tells that there is something to write.
func (m *shared) signalShown() { wakeup.Signal(m.shown) }

// readChecks takes over what an earlier process has kept. A file that cannot be read is forgotten: every check can be made again.
func (m *Supervisor) readChecks() {
	var k KeptChecks
	if err := statefile.Read(checksPath(m.o.Config, m.o.Name), &k); err != nil {
		m.log.Warn("the results of earlier checks are forgotten", zap.Error(errors.Unwrap(err)))
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, wall := boottime.Now(), time.Now()
	m.comparing.restore(&k, now, wall)
	if k.Structure != nil && k.Structure.Check != nil {
		m.inspection.restore(k.Structure, now, wall)
	}
}
