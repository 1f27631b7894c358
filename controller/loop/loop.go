package loop

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/decide"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

// Log is what the loop needs of the replicated log. Nothing in it may block. Transfer asks for another leader, and that it
// fails is seen by still leading; Stalled is for how long a write of our own disk has not returned.
type Log interface {
	Propose(cmd []byte, timeout time.Duration) Pending
	Transfer()
	Stalled() time.Duration
}

// Effects carries out what committed state wants done outside. Want must not block; it is told all that is wanted, each
// time: an effect that is not named any more is done, or no longer wanted.
type Effects interface {
	Want(effects []state.Effect, s *state.State)
}

// Pending is a proposal under way. Result is valid once Done is closed; refused tells that the log accepted the command
// and the state refused it.
type Pending interface {
	Done() <-chan struct{}
	Result() (refused bool, err error)
}

// proposeTimeout bounds the wait of a proposal for a place in the log.
const proposeTimeout = 5 * time.Second

// Loop feeds a Core from one goroutine. Its methods may be called from any other.
type Loop struct {
	core *Core
	log  Log
	zap  *zap.Logger

	applied chan *state.State // capacity 1, the latest wins
	events  chan func()       // run inside the loop, in order
	wg      sync.WaitGroup    // proposals under way
	// run is the context of Run: what the loop starts lives as long as it, not as long as the request that caused it.
	run context.Context

	// Effects is set before Run; nil carries out none.
	Effects Effects

	replies  map[uint64]chan Reply // owned by the loop's goroutine
	nextID   uint64
	begun    time.Duration
	reminded time.Duration // when an operator was last asked for a word
	process  string        // tells this process's votes from those of earlier ones
	stats    Stats
}

// Stats are counters since the process began.
type Stats struct {
	Reports, Ticks, Commands, Refused, Elections uint64
}

// Look is a consistent copy of what the leader knows, to compute on outside the loop.
type Look struct {
	Name    string
	Leading bool // and ready
	Input   decide.Input
	Last    decide.Decision
	Stats   Stats
	Began   time.Duration
}

// New returns a loop of a controller on a site; Run feeds it.
func New(name, site string, log Log, logger *zap.Logger) *Loop {
	core := NewCore(name, boottime.Now())
	core.At(site)
	return &Loop{
		process: time.Now().UTC().Format(time.RFC3339Nano),
		core:    core, log: log, zap: logger, begun: boottime.Now(),
		applied: make(chan *state.State, 1), events: make(chan func(), 256),
		replies: map[uint64]chan Reply{},
	}
}

// Applied hands over a newer state; it never blocks. The log's machine calls it after each command.
func (l *Loop) Applied(s *state.State) {
	for {
		select {
		case l.applied <- s:
			return
		default:
		}
		select {
		case <-l.applied:
		default:
		}
	}
}

// Run is the leader's loop: observe, decide, commit, act. It returns when ctx ends, or with the reason to exit (L6).
func (l *Loop) Run(ctx context.Context, leadership <-chan bool) error {
	defer l.wg.Wait()
	l.run = ctx
	timer := time.NewTicker(decideEvery)
	defer timer.Stop()
	for {
		var out Out
		select {
		case <-ctx.Done():
			l.act(l.core.Follow())
			return nil
		case lead := <-leadership:
			out = l.lead(lead)
		case s := <-l.applied:
			l.core.Applied(s)
		case f := <-l.events:
			f()
		case <-timer.C:
		}
		l.act(out)
		l.core.Stalled(l.log.Stalled())
		out = l.core.Decide(boottime.Now(), time.Now())
		if out.Fatal != nil {
			return out.Fatal
		}
		l.act(out)
		l.want()
		l.remind(boottime.Now())
	}
}

// remindEvery is how often the leader's log repeats what waits for an operator.
const remindEvery = time.Minute

// remind repeats what goes on only by an operator's word.
func (l *Loop) remind(now time.Duration) {
	if now-l.reminded < remindEvery || !l.core.leading {
		return
	}
	for _, p := range l.core.last.Problems {
		if p.Kind == health.ApprovalNeeded || p.Kind == health.SiteChangeHalted {
			l.reminded = now
			l.zap.Warn("waiting for an operator", zap.String("problem", string(p.Kind)), zap.String("cluster", p.Cluster), zap.String("evidence", p.Evidence))
		}
	}
}

// want hands over the effects; only the leader has any carried out.
func (l *Loop) want() {
	if l.Effects == nil {
		return
	}
	var wanted []state.Effect
	if l.core.leading && l.core.ready {
		wanted = l.core.state.Effects()
	}
	l.Effects.Want(wanted, l.core.state)
}

func (l *Loop) lead(lead bool) Out {
	if !lead {
		l.zap.Info("no longer the leader")
		return l.core.Follow()
	}
	l.stats.Elections++
	l.zap.Info("leading")
	return l.core.Lead(boottime.Now())
}

// act carries out what a step wants. Nothing in it waits.
func (l *Loop) act(out Out) {
	for _, r := range out.Replies {
		if ch := l.replies[r.ID]; ch != nil {
			delete(l.replies, r.ID)
			ch <- r // capacity 1
		}
	}
	if out.Transfer {
		l.log.Transfer()
	}
	if out.Tick != 0 {
		l.stats.Ticks++
		l.propose(state.Command{Tick: &state.Tick{}}, func(_ bool, err error) {
			l.takeApplied()
			l.act(l.core.Ticked(out.Tick, err, boottime.Now()))
		})
	}
	for _, p := range out.Proposals {
		l.stats.Commands++
		l.note(p)
		l.propose(p.Command, func(refused bool, err error) {
			l.takeApplied()
			l.finish(p, refused, err)
		})
	}
}

// takeApplied makes sure that the core sees the state up to a result before it sees the result.
func (l *Loop) takeApplied() {
	select {
	case s := <-l.applied:
		l.core.Applied(s)
	default:
	}
}

func (l *Loop) finish(p Proposal, refused bool, err error) {
	l.core.Done(p, refused)
	if err != nil {
		l.stats.Refused++
		l.zap.Info("command not carried out", zap.String("cluster", p.Command.Cluster), zap.Error(err))
	}
	if ch := l.replies[p.ID]; ch != nil && !p.Decided {
		delete(l.replies, p.ID)
		ch <- Reply{Err: err}
	}
}

// propose sends a command to the log and brings the result back as an event.
func (l *Loop) propose(cmd state.Command, then func(refused bool, err error)) {
	b, err := cmd.Encode()
	if err != nil {
		then(true, err)
		return
	}
	pending := l.log.Propose(b, proposeTimeout)
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		select {
		case <-pending.Done():
		case <-l.run.Done():
			return
		}
		refused, err := pending.Result()
		select {
		case l.events <- func() { then(refused, err) }:
		case <-l.run.Done():
		}
	}()
}

// note writes one line for each decision.
func (l *Loop) note(p Proposal) {
	why := l.core.last.Reasons.Of(p.Command.Subject())
	if b := p.Command.Bind; b != nil {
		l.zap.Info("an agent speaks for its host", zap.String("host", b.Host), zap.String("run", b.Run))
	} else if p.Decided {
		l.zap.Info("decided", zap.String("about", p.Command.Subject()), zap.String("rule", string(why.Rule)),
			zap.Stringer("code", why.Code), zap.Stringer("why", why))
	}
}

// Report hands in a report and waits for the leader's answer.
func (l *Loop) Report(ctx context.Context, r health.Report) (*wire.ReportAnswer, error) {
	reply, err := l.ask(ctx, func(id uint64) (Out, error) {
		l.stats.Reports++
		return l.core.Report(id, &r, boottime.Now()), nil
	})
	return reply.Answer, err
}

// Submit proposes an operator's command and waits until it is applied or refused.
func (l *Loop) Submit(ctx context.Context, cmd state.Command) error {
	_, err := l.ask(ctx, func(id uint64) (Out, error) { return l.core.Submit(id, cmd) })
	return err
}

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

func (l *Loop) send(ctx context.Context, f func()) error {
	select {
	case l.events <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Look copies what the loop knows.
func (l *Loop) Look(ctx context.Context) (Look, error) {
	ch := make(chan Look, 1)
	err := l.send(ctx, func() {
		c := l.core
		leases := c.leases
		if leases == nil {
			leases = fencing.NewLeases(l.begun)
		}
		in := c.input(boottime.Now(), time.Now())
		in.View, in.Watch, in.Leases, in.Strange = c.view.Clone(), c.watch.Clone(), leases.Clone(), maps.Clone(c.strange)
		ch <- Look{Name: c.name, Leading: c.leading && c.ready, Input: in, Last: c.survey(in), Stats: l.stats, Began: l.begun}
	})
	if err != nil {
		return Look{}, err
	}
	select {
	case look := <-ch:
		return look, nil
	case <-ctx.Done():
		return Look{}, ctx.Err()
	}
}

// Heard is the highest generation of the platform that agents have told of, 0 for none after the first.
func (l *Loop) Heard(ctx context.Context) (uint64, error) {
	ch := make(chan uint64, 1)
	if err := l.send(ctx, func() { ch <- l.core.heardOf }); err != nil {
		return 0, err
	}
	select {
	case generation := <-ch:
		return generation, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
