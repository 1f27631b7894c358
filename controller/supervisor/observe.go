package supervisor

import (
	"context"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/fencing/process"
	"mainstay/health"
)

const (
	// lookSlow is how long a look may take before news ends the wait for it.
	lookSlow = 500 * time.Millisecond
	// lookFine is the age up to which an unanswered look is not reported.
	lookFine = lookEvery + lookTimeout/4
)

// observe looks at the member and waits for the result, on which acts are decided. The look runs in a goroutine of its own, because a
// read on a hung filesystem has no deadline (L6). A look that hangs is left alone, no second one is started beside it, and the
// supervisor keeps running, so that it can still end a member whose disk hangs. News ends the wait for a slow look.
func (m *Supervisor) observe(ctx context.Context) {
	if m.overdue() {
		return
	}
	done := make(chan struct{})
	m.looking, m.lookOf = done, m.acts
	m.mu.Lock()
	m.hangs.looks.begin(boottime.Now())
	m.mu.Unlock()
	m.o.Group.Go(func() error {
		defer close(done)
		m.observer.look(ctx)
		return nil
	})
	slow, patience := time.NewTimer(lookSlow), time.NewTimer(lookTimeout+lookEvery)
	defer slow.Stop()
	defer patience.Stop()
	var news <-chan struct{}
	for {
		select {
		case <-done:
			m.looking = nil
			return
		case <-slow.C:
			news = m.kick
		case <-news:
			return
		case <-patience.C:
			return
		}
	}
}

// overdue tells whether an earlier look is still running.
func (m *Supervisor) overdue() bool {
	select {
	case <-m.looking:
		m.looking = nil
	default:
	}
	return m.looking != nil
}

// outlived tells whether the last observation may be older than the end of the last act, which changed the member.
func (m *Supervisor) outlived() bool { return m.looking != nil || m.lookOf != m.acts }

// meanwhile is the act that is possible before a look has observed the result of the last act.
func (m *Supervisor) meanwhile(act member.Act) member.Act {
	if !m.outlived() {
		return act
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if act.Blind(m.durable) {
		return act
	}
	return member.Act{Kind: member.Nothing, Durable: act.Durable, Wait: "waiting for an observation of the member, which is overdue"}
}

// answer records the outcome of a look's question to PostgreSQL. A refusal counts as an answer. Without an answer in time the look has
// not succeeded, and the count continues over the next looks.
func (m *observer) answer(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case process.Starved(err): // PostgreSQL was not asked
		m.hangs.looks.excused(boottime.Now())
	case hung(err):
		m.hangs.looks.failed(boottime.Now())
	default:
		m.hangs.looks = stall{}
	}
}

// stalls sets, under mu, how long each hang has lasted at this moment: a hang must not stop its own age from growing.
func (m *Supervisor) stalls(r *health.Member, now, fair time.Duration) {
	if age := m.hangs.looks.age(now, fair); age > lookFine {
		r.Stale = age.Milliseconds()
	}
	if age := m.hangs.writes.stall.age(now, fair); age > writeProbeFine {
		r.WriteStale = age.Milliseconds()
	}
	r.WriteError = m.hangs.writes.err
	r.Saturated = r.Saturated || m.hangs.writes.saturated
}

// Crossed tells whether, since its last call, a hang has passed another of the bounds that the controllers use. Such news must not wait
// for the next heartbeat. next is how long it takes until the hang passes the next bound, 0 for no hang or no further bound.
func (m *Supervisor) Crossed(now, fair time.Duration) (crossed bool, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.hangs.bounds
	m.hangs.bounds = 0
	if m.told.goal.Kind != platform.GoalPrimary || m.told.goal.Lease == 0 {
		return false, 0
	}
	age := max(m.hangs.looks.age(now, fair), m.hangs.writes.stall.age(now, fair)).Truncate(time.Millisecond) // as it is reported
	for _, bound := range []time.Duration{platform.Suspect(m.told.goal.Lease), platform.Stuck(m.told.goal.Lease)} {
		switch {
		case age > bound:
			m.hangs.bounds++
		case age > 0 && next == 0:
			next = bound - age + time.Millisecond
		}
	}
	return m.hangs.bounds > before, next
}
