// Package operate carries out effects: actions outside the log that committed state wants, such as cutting a host's power. At each
// turn the leader's loop passes it the wanted effects; it runs each at most once at a time, with a deadline, and proposes the
// result. Until that is committed the effect stays wanted, under any leader.
//
// It decides nothing, and never blocks the loop. Effects enter by Want; results leave as commands.
package operate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wakeup"
	"mainstay/fencing"
	"mainstay/fencing/program"
)

const (
	// effectTimeout bounds one attempt; every device and every hook has a shorter deadline of its own.
	effectTimeout = max(platform.MaxFenceTimeout, platform.MaxHookTimeout) + 10*time.Second
	// submitTimeout bounds the wait for a result to be committed.
	submitTimeout = 5 * time.Second
	// again is the pause before a failed effect is tried again.
	again = 2 * time.Second
)

// Power finds the switch of a host's power.
type Power func(platform.Host) Switch

// Switch stands for the fence devices of one host.
type Switch interface {
	Off(context.Context) fencing.PowerResult
	On(context.Context) ([]fencing.Answer, error)
}

// Runner carries out effects. Close cancels the running ones and waits for them.
type Runner struct {
	power   Power
	allowed program.Allowed
	submit  func(context.Context, state.Command) error
	log     *zap.Logger
	wg      sync.WaitGroup

	mu     sync.Mutex
	tries  map[state.Effect]*try
	closed bool
}

// try is one effect that is running, or waits to be tried again.
type try struct {
	cancel context.CancelFunc
}

// New returns a runner; allowed are the programs that hooks may run, and submit proposes a result and waits until it is committed
// or refused.
func New(power Power, allowed program.Allowed, submit func(context.Context, state.Command) error, log *zap.Logger) *Runner {
	return &Runner{power: power, allowed: allowed, submit: submit, log: log, tries: map[state.Effect]*try{}}
}

// Want starts the wanted effects that are not running, and cancels those that are no longer wanted. It does not block.
func (r *Runner) Want(effects []state.Effect, s *state.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e, t := range r.tries {
		if !slices.Contains(effects, e) {
			t.cancel() // its goroutine removes it
		}
	}
	for _, e := range effects {
		if r.closed || r.busy(e) {
			continue
		}
		if j := r.jobOf(e, s); j != nil {
			r.start(e, j)
		}
	}
}

// busy tells whether the effect is running, or another one on its host: switching off and on at once would end in neither.
func (r *Runner) busy(wanted state.Effect) bool {
	for e := range r.tries {
		if e == wanted || e.Host != "" && e.Host == wanted.Host {
			return true
		}
	}
	return false
}

// job does an effect once, and returns the command with its result and whether it is done.
type job func(ctx context.Context) (cmd state.Command, ok bool, detail string)

func (r *Runner) jobOf(e state.Effect, s *state.State) job {
	switch e.Kind {
	case state.PowerOff, state.PowerOn:
		if host := s.Platform.Host(e.Host); host != nil {
			return func(ctx context.Context) (state.Command, bool, string) { return r.switchPower(ctx, e, *host) }
		}
		return nil
	}
	return r.changeJob(e, s)
}

func (r *Runner) start(e state.Effect, j job) {
	ctx, cancel := context.WithTimeout(context.Background(), effectTimeout)
	r.tries[e] = &try{cancel: cancel}
	r.wg.Go(func() {
		defer cancel()
		if !r.once(ctx, e, j) {
			_ = wakeup.Pause(ctx, again) // an effect whose time is over is tried again at once
		}
		r.mu.Lock()
		delete(r.tries, e)
		r.mu.Unlock()
	})
}

// once tries an effect and proposes the result; false if it must be tried again after a pause.
func (r *Runner) once(ctx context.Context, e state.Effect, j job) bool {
	began := time.Now()
	cmd, ok, detail := j(ctx)
	cmd.At, cmd.By = time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"), "mainstay"
	r.log.Info("effect", zap.String("kind", string(e.Kind)), zap.String("host", e.Host), zap.String("change", e.Change),
		zap.String("instance", e.Instance), zap.Bool("done", ok), zap.String("detail", detail), zap.Duration("took", time.Since(began)))
	if ctx.Err() != nil {
		return true // no longer wanted, or Close
	}
	submitting, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	if err := r.submit(submitting, cmd); err != nil {
		r.log.Warn("the result of an effect was not committed", zap.String("kind", string(e.Kind)), zap.String("host", e.Host), zap.Error(err))
		return false
	}
	return ok
}

// switchPower switches a host off or on.
func (r *Runner) switchPower(ctx context.Context, e state.Effect, host platform.Host) (cmd state.Command, ok bool, detail string) {
	if e.Kind == state.PowerOff {
		result := r.power(host).Off(ctx)
		ok, detail = result.Verdict == fencing.Fenced, result.String()
		cmd.Fenced = &state.HostFenced{Host: e.Host, Fence: e.Fence, Off: ok, Detail: detail}
		return cmd, ok, detail
	}
	answers, err := r.power(host).On(ctx)
	ok, detail = err == nil, said(answers)
	if err != nil {
		detail = err.Error()
	}
	cmd.Unfenced = &state.HostUnfenced{Host: e.Host, Fence: e.Fence, On: ok, Detail: detail}
	return cmd, ok, detail
}

func said(answers []fencing.Answer) string {
	var parts []string
	for _, a := range answers {
		parts = append(parts, a.Device+": "+a.Reason)
	}
	return strings.Join(parts, "; ")
}

// Close cancels the running effects and waits for them.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	for t := range maps.Values(r.tries) {
		t.cancel()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
