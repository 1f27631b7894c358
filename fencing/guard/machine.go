package guard

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
)

// machine is the guard without its clock, sockets and signals: idle -> armed -> killing -> killed. The zero machine is
// idle without a twin. Its end never moves backwards, except for a higher epoch.
type machine struct {
	state State
	epoch platform.Epoch // the highest it was armed for; it outlives disarming
	end   time.Duration
	twin  bool
	why   string // why it kills
}

// refusal is a code and its reason; nil means done.
type refusal struct {
	code   Code
	reason string
}

func refuse(code Code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// extend arms, or moves the end. The caller looks for due() afterwards, whatever the answer.
func (m *machine) extend(epoch platform.Epoch, end, now time.Duration) *refusal {
	m.due(now)
	switch {
	case epoch.IsZero():
		return refuse(BadRequest, "a lease needs an epoch")
	case epoch.Less(m.epoch):
		return refuse(StaleEpoch, "the lease is for epoch %v, the guard was armed for %v", epoch, m.epoch)
	case m.state == Killing:
		return refuse(Expired, "the tree is being killed: %s", m.why)
	case m.state == Killed && epoch == m.epoch:
		return refuse(Expired, "the tree was killed: %s; disarm before another lease of epoch %v", m.why, epoch)
	case end <= now:
		return refuse(Expired, "the lease ended %v ago", now-end)
	case end > now+platform.MaxLease:
		return refuse(BadRequest, "the lease ends in %v, no lease is longer than %v", end-now, platform.MaxLease)
	case !m.twin:
		return refuse(NoTwin, "the other guard is missing; start the twins again")
	}
	if m.state == Armed && epoch == m.epoch {
		end = max(end, m.end)
	}
	m.state, m.epoch, m.end = Armed, epoch, end
	return nil
}

func (m *machine) disarm(now time.Duration) *refusal {
	if m.due(now) {
		return refuse(Expired, "the tree is being killed: %s", m.why)
	}
	m.state = Idle
	return nil
}

func (m *machine) exit(now time.Duration) *refusal {
	m.due(now)
	if m.state == Armed || m.state == Killing {
		return refuse(StillArmed, "it is %s for epoch %v; disarm it first", m.state, m.epoch)
	}
	return nil
}

// due turns armed into killing once the end has passed, and tells whether there is something to kill.
func (m *machine) due(now time.Duration) bool {
	if m.state == Armed && now >= m.end {
		m.state, m.why = Killing, "the lease ended"
	}
	return m.state == Killing
}

// twinLost: whoever is left kills at once, or one more death would leave a primary unguarded.
func (m *machine) twinLost() {
	m.twin = false
	if m.state == Armed {
		m.state, m.why = Killing, "the other guard died"
	}
}

func (m *machine) killed() { m.state = Killed }

// parseEpoch reads what platform.Epoch prints, such as 1.17.
func parseEpoch(s string) (platform.Epoch, error) {
	var e platform.Epoch
	if _, err := fmt.Sscanf(s, "%d.%d", &e.Generation, &e.Number); err != nil || e.String() != s {
		return platform.Epoch{}, fmt.Errorf("%q is no epoch: want generation and number such as 1.17", s)
	}
	return e, nil
}
