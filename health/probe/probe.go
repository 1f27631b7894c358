// Package probe checks the members' PostgreSQL and the app servers from a controller. A member is probed with the smallest query on
// a new TLS connection each time, because a postmaster that hangs still serves its existing connections; an app server is
// checked as its app's check says.
//
// Its results are evidence with an age, kept in memory: it never decides, stores or blocks its callers. Targets enter by Aim and
// AimInstances; observations leave by Observations and InstanceObservations. Run owns every goroutine except those that a dead disk
// holds, at most one for each app server.
package probe

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"mainstay/fencing/program"
	"mainstay/health"
)

const (
	// atOnce bounds the running probes, for members and for app servers separately. Each target has at most one, so others are
	// delayed only if more targets than that are frozen.
	atOnce = 64
	// programsAtOnce bounds the checks that run a program: they are the controllers' own load.
	programsAtOnce = 4
	// quietFor is how long a member that refused the probe is only greeted: each refusal is a line in its log.
	quietFor = time.Minute
)

// Target is one member to probe.
type Target struct {
	Cluster, Member, Host string
	Port                  int
	Every                 time.Duration // from the begin of one probe to that of the next
	Limit                 time.Duration // of one probe, for everything
}

// key names a member: at another address it is another server.
type key struct {
	cluster, member, host string
	port                  int
}

func (t Target) key() key { return key{t.Cluster, t.Member, t.Host, t.Port} }

// Prober probes one controller's targets.
type Prober struct {
	tls       *tls.Config
	allowed   program.Allowed
	now       func() time.Duration
	reading   chan struct{} // has one slot, held while a file is read
	members   *rounds[Target, key, member]
	instances *rounds[InstanceTarget, instanceKey, instance]
}

// member is the knowledge of one member.
type member struct {
	// answered: it has answered at least once, most recently the probe that began at answeredAt.
	answered   bool
	answeredAt time.Duration
	failedAt   time.Duration // when the last failed probe began; 0: one has succeeded since, or none has failed
	quietUntil time.Duration
	last       answer
}

// New returns a prober that shows the controller's certificate to members. config verifies their certificates; allowed are the
// programs that checks may run; now is the controller's clock.
func New(config *tls.Config, allowed program.Allowed, now func() time.Duration) *Prober {
	p := &Prober{tls: config, allowed: allowed, now: now, reading: make(chan struct{}, 1)}
	members, servers, programs := make(chan struct{}, atOnce), make(chan struct{}, atOnce), make(chan struct{}, programsAtOnce)
	p.members = newRounds(asker[Target, key, member]{
		now: now, key: Target.key, ask: p.askMember,
		every: func(t Target) time.Duration { return t.Every },
		slots: func(Target) chan struct{} { return members },
	})
	p.instances = newRounds(asker[InstanceTarget, instanceKey, instance]{
		now: now, key: InstanceTarget.key, ask: p.askInstance,
		every: func(t InstanceTarget) time.Duration { return t.Check.Every },
		slots: func(t InstanceTarget) chan struct{} {
			if len(t.Check.Exec) > 0 {
				return programs
			}
			return servers
		},
	})
	return p
}

// Aim sets the members to probe from now on. It never blocks.
func (p *Prober) Aim(targets []Target) { p.members.aim(targets) }

// AimInstances sets the app servers to check from now on. It never blocks.
func (p *Prober) AimInstances(targets []InstanceTarget) { p.instances.aim(targets) }

// Run probes until ctx ends, and returns when every probe has ended.
func (p *Prober) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { p.members.run(ctx) })
	all.Go(func() { p.instances.run(ctx) })
	all.Wait()
	return nil
}

// askMember probes a member and adds the result.
func (p *Prober) askMember(ctx context.Context, t Target, known member) member {
	begun := p.now()
	known.last = p.ask(ctx, t, begun < known.quietUntil)
	switch {
	case known.last.lives:
		known.answered, known.answeredAt, known.failedAt = true, begun, 0
	case !known.last.unable:
		known.failedAt = begun
	}
	if known.last.refused {
		known.quietUntil = p.now() + quietFor
	}
	return known
}

// Observations are the probes' observations on the members at now, in the order of the targets. HeardMS is left at never. A probe
// without an answer for overdue counts as failed before it ends.
func (p *Prober) Observations(now, overdue time.Duration) (observations []health.Observation) {
	p.members.each(func(k key, m member, asked time.Duration) {
		v := health.Observation{Cluster: k.cluster, Member: k.member, HeardMS: -1, ProbedMS: -1,
			Role: m.last.role, Saturated: m.last.saturated, Error: m.last.text()}
		if m.answered {
			v.ProbedMS = (now - m.answeredAt).Milliseconds()
		}
		failed := m.failedAt
		if asked != 0 && now-asked >= overdue {
			failed = asked
		}
		if failed != 0 {
			v.FailedMS = max(1, (now - failed).Milliseconds())
		}
		observations = append(observations, v)
	})
	return observations
}
