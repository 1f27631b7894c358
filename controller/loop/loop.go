// Package loop is the leader, and the map of the program: observe, decide, commit, act, publish. Run, below, is the single
// select that feeds Core, the pure step.
//
//   - observe: reports enter from controller/api and observations from controller (requests.go), leadership and committed state
//     from controller/consensus. Core folds them into a health.View (report.go, observations.go).
//   - decide: Core.Decide asks decide.Next (core.go).
//   - commit: commands are proposed to the log, and their results come back as events (commit.go). A report is answered
//     with goals and grants once a barrier proposed after it is committed (barrier.go, answer.go).
//   - act: controller/operate carries out the effects of committed state; agents carry out the goals in their answers.
//   - publish: controller/publish reads committed state; it needs nothing from here.
//
// One loop issues grants and collects proofs, so that neither can overtake the other (L3). It never blocks: slow work runs
// outside and its result comes back as an event.
package loop

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/state"
	"mainstay/health"
)

// Run feeds the core until ctx ends, or returns the reason why this controller must exit (L6).
func (l *Loop) Run(ctx context.Context, leadership <-chan bool) error {
	defer l.wg.Wait()
	l.run = ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var out Out
		select { // observe
		case <-ctx.Done():
			l.act(l.core.Follow())
			return nil
		case lead := <-leadership:
			out = l.lead(lead)
		case s := <-l.applied: // committed state
			l.core.Applied(s)
		case f := <-l.events: // a report, a request, the result of a proposal
			f()
		case <-timer.C:
		}
		l.act(out)
		l.core.Stalled(l.log.Stalled())
		out = l.core.Decide(boottime.Now(), time.Now()) // decide
		if out.Fatal != nil {
			return out.Fatal
		}
		l.act(out) // commit
		l.want()   // act
		now := boottime.Now()
		l.remind(now)
		timer.Reset(l.core.Pause(now))
	}
}

// Log is the loop's view of the replicated log. Its methods must not block. Transfer asks for another leader; if that fails, this
// controller continues to lead. Stalled is how long a write to this controller's own disk has not returned.
type Log interface {
	Propose(cmd []byte, timeout time.Duration) Pending
	Transfer()
	Stalled() time.Duration
}

// Pending is a proposal that runs. Result is valid once Done is closed; refused means that the log accepted the command
// and the state refused it.
type Pending interface {
	Done() <-chan struct{}
	Result() (refused bool, err error)
}

// Effects carries out the effects of committed state. Want must not block. Each call names all effects that are wanted: an effect that a
// call no longer names is done or no longer wanted.
type Effects interface {
	Want(effects []state.Effect, s *state.State)
}

// Loop feeds a Core from one goroutine. Its methods may be called from any other.
type Loop struct {
	core *Core
	log  Log
	zap  *zap.Logger

	applied chan *state.State // capacity 1, the latest wins
	events  chan func()       // run inside the loop, in order
	wg      sync.WaitGroup    // running proposals
	// run is the context of Run: proposals live as long as Run, not only as long as the request that caused them.
	run context.Context

	// Effects is set before Run; nil carries out no effect.
	Effects Effects

	replies  map[uint64]chan Reply // owned by the loop's goroutine
	nextID   uint64
	begun    time.Duration
	reminded time.Duration // when this process's log last said that an operator must act
	process  string        // distinguishes this process's observations from those of earlier processes
	stats    Stats
}

// New returns the loop of a controller on a site; Run starts it.
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

func (l *Loop) lead(lead bool) Out {
	if !lead {
		l.zap.Info("no longer the leader")
		return l.core.Follow()
	}
	l.stats.Elections++
	l.zap.Info("leading")
	return l.core.Lead(boottime.Now())
}

// want hands over the effects; only the leader carries any out.
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

// remindEvery is how often the leader's log repeats that something waits for an operator.
const remindEvery = time.Minute

// remind repeats the problems that only an operator can resolve.
func (l *Loop) remind(now time.Duration) {
	if now-l.reminded < remindEvery || !l.core.leading {
		return
	}
	for _, p := range l.core.last.Problems {
		if p.Kind == health.ApprovalNeeded || p.Kind == health.SiteChangeHalted {
			l.reminded = now
			l.zap.Warn("waiting for an operator", zap.String("problem", string(p.Kind)), zap.String("cluster", p.Cluster),
				zap.String("evidence", p.Evidence))
		}
	}
}
