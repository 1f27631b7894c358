package loop

import (
	"context"
	"maps"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/decide"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

// Report hands in a report and waits for the leader's answer.
func (l *Loop) Report(ctx context.Context, r health.Report) (*wire.ReportAnswer, error) {
	reply, err := l.ask(ctx, func(id uint64) (Out, error) {
		l.stats.Reports++
		return l.core.Report(id, &r, boottime.Now())
	})
	return reply.Answer, err
}

// Submit proposes an operator's command and waits until it is applied or refused.
func (l *Loop) Submit(ctx context.Context, cmd state.Command) error {
	_, err := l.ask(ctx, func(id uint64) (Out, error) { return l.core.Submit(id, cmd) })
	return err
}

// Observations hands in another controller's observations.
func (l *Loop) Observations(ctx context.Context, v health.Observations) error {
	return l.send(ctx, func() { l.core.Observations(v, boottime.Now()) })
}

// Observe takes in the results of this controller's probes of members and app servers, and returns its observations for the others.
func (l *Loop) Observe(ctx context.Context, probes []health.Observation, apps []health.InstanceObservation,
	lacks string) (health.Observations, error) {
	return read(ctx, l, func() health.Observations {
		l.core.Lacks(lacks)
		return l.core.Observe(l.process, probes, apps, boottime.Now())
	})
}

// Voters hands over the names of the controllers that vote in the log.
func (l *Loop) Voters(ctx context.Context, names []string) error {
	return l.send(ctx, func() { l.core.Voters(names) })
}

// Doubted names the members that this controller should probe itself.
func (l *Loop) Doubted(ctx context.Context) (map[MemberKey]bool, error) {
	return read(ctx, l, func() map[MemberKey]bool { return l.core.Doubted(boottime.Now()) })
}

// Heard is the highest generation of the platform that agents have reported; 0 if they have reported none.
func (l *Loop) Heard(ctx context.Context) (uint64, error) {
	return read(ctx, l, func() uint64 { return l.core.heardOf })
}

// Process distinguishes this process from earlier ones of the same controller.
func (l *Loop) Process() string { return l.process }

// Stats are counters since the process began.
type Stats struct {
	Reports, Barriers, Commands, Refused, Elections uint64
}

// Snapshot is a consistent copy of the leader's knowledge, to compute on outside the loop.
type Snapshot struct {
	Name    string
	Leading bool // and ready
	Input   decide.Input
	Last    decide.Decision
	Stats   Stats
	Began   time.Duration
}

// Snapshot copies the loop's knowledge.
func (l *Loop) Snapshot(ctx context.Context) (Snapshot, error) {
	return read(ctx, l, func() Snapshot {
		c := l.core
		leases := c.leases
		if leases == nil {
			leases = fencing.NewLeases(l.begun)
		}
		in := c.input(boottime.Now(), time.Now())
		in.View, in.Conditions, in.Leases, in.OtherGroup = c.view.Clone(), c.conditions.Clone(), leases.Clone(), maps.Clone(c.otherGroup)
		return Snapshot{Name: c.name, Leading: c.leading && c.ready, Input: in, Last: c.survey(in), Stats: l.stats, Began: l.begun}
	})
}

// read runs f in the loop's goroutine and returns its result.
func read[T any](ctx context.Context, l *Loop, f func() T) (v T, err error) {
	ch := make(chan T, 1)
	if err := l.send(ctx, func() { ch <- f() }); err != nil {
		return v, err
	}
	select {
	case v = <-ch:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

// ask runs a step inside the loop and waits for the reply to its request, which may come much later.
func (l *Loop) ask(ctx context.Context, step func(id uint64) (Out, error)) (Reply, error) {
	ch := make(chan Reply, 1)
	err := l.send(ctx, func() {
		l.nextID++
		l.replies[l.nextID] = ch
		out, err := step(l.nextID)
		if err != nil {
			out.Replies = append(out.Replies, Reply{ID: l.nextID, Err: err})
		}
		l.act(out)
	})
	if err != nil {
		return Reply{}, err
	}
	select {
	case r := <-ch:
		return r, r.Err
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// send queues f, which the loop runs between two decisions.
func (l *Loop) send(ctx context.Context, f func()) error {
	select {
	case l.events <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
