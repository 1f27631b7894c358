package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/wakeup"
)

// ErrHung is returned when a step has not ended after it was given up: a call hangs in the disk.
var ErrHung = errors.New("the disk does not answer")

// errStalled is why a step is given up that does nothing.
var errStalled = errors.New("nothing has moved")

const (
	// reportEvery is how often progress is told, and a step is looked after for a stall.
	reportEvery = 250 * time.Millisecond
	// giveUp is how long a step may take to end once it must.
	giveUp = 10 * time.Second
)

// StepError is a step that failed.
type StepError struct {
	Step StepName
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("step %s: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// finding is damage, or an assertion that does not hold: not a failure of the run but its result.
type finding struct {
	kind CheckKind
	text string
}

func (f *finding) Error() string { return f.text }

// watch is told what a step has done.
type watch struct {
	began time.Time
	moved atomic.Int64 // nanoseconds since began
	done  atomic.Int64 // bytes
	total atomic.Int64 // bytes; 0: not known
	quiet atomic.Int64 // nanoseconds for which nothing need move; 0: Limits.Stall
}

// patient allows that nothing moves for so long: what the step calls has a deadline of its own. 0 ends that.
func (w *watch) patient(d time.Duration) {
	w.quiet.Store(int64(d))
	w.touch()
}

// ownDeadline is for calls that give up themselves when they are stuck.
const ownDeadline = 30 * 24 * time.Hour

func (w *watch) touch() { w.moved.Store(int64(time.Since(w.began))) }

func (w *watch) add(n int64) {
	w.done.Add(n)
	w.touch()
}

// at is for a program that tells its progress.
func (w *watch) at(done, total int64) {
	w.total.Store(total)
	if w.done.Swap(done) != done {
		w.touch()
	}
}

func (w *watch) progress(name StepName) Progress {
	p := Progress{Step: name, Percent: -1, Bytes: w.done.Load(), Total: w.total.Load()}
	if p.Total <= 0 {
		return p
	}
	p.Percent = int(min(100, p.Bytes*100/p.Total))
	if p.Bytes > 0 {
		p.Left = time.Duration(float64(time.Since(w.began)) / float64(p.Bytes) * float64(max(0, p.Total-p.Bytes)))
	}
	return p
}

// step runs f as a part of the work, tells its progress, and gives it up with its context or once nothing has moved for too long. f's own
// goroutine is left behind only where a call in it hangs: then the run is hung, and staging stays locked until it returns.
func (r *run) step(ctx context.Context, name StepName, f func(context.Context, *watch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &watch{began: time.Now()}
	ended := make(chan error, 1)
	r.calls.Go(func() {
		yield(r.limits.Nice)
		ended <- f(ctx, w)
	})
	err := r.await(ctx, name, w, ended, cancel)
	r.proof.Steps = append(r.proof.Steps, Step{Name: name, Took: time.Since(w.began), Bytes: w.done.Load()})
	r.tell(w.progress(name))
	if found := (*finding)(nil); err == nil || errors.As(err, &found) {
		return err
	}
	return &StepError{name, err}
}

// yield gives the calling goroutine a thread of its own, which has less of the CPUs and ends with it: the agent's threads have a raised
// priority (controller/priority). What the thread starts is as nice.
func yield(nice int) {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // of this thread; one may always have less
}

func (r *run) await(ctx context.Context, name StepName, w *watch, ended chan error, cancel context.CancelCauseFunc) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	r.tell(w.progress(name))
	for {
		select {
		case err := <-ended:
			return because(ctx, err)
		case <-ctx.Done():
			return r.lastChance(ctx, ended)
		case <-tick.C:
			r.tell(w.progress(name))
			limit := cmp.Or(time.Duration(w.quiet.Load()), r.limits.Stall)
			if time.Since(w.began)-time.Duration(w.moved.Load()) > limit {
				cancel(fmt.Errorf("%w for %v", errStalled, limit))
			}
		}
	}
}

// lastChance waits for a step that must end.
func (r *run) lastChance(ctx context.Context, ended chan error) error {
	late := time.NewTimer(giveUp)
	defer late.Stop()
	select {
	case err := <-ended:
		return because(ctx, err)
	case <-late.C:
		r.hung = true
		return fmt.Errorf("%w (%w)", ErrHung, context.Cause(ctx))
	}
}

// because adds why the context has ended to an error that came of that.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// paced is a reader that keeps to a rate on average, tells a watch, and ends with its context.
type paced struct {
	ctx   context.Context
	r     io.Reader
	w     *watch // nil: none
	rate  int64  // bytes a second; 0: no bound
	began time.Time
	n     int64
}

func newPaced(ctx context.Context, r io.Reader, w *watch, rate int64) *paced {
	return &paced{ctx: ctx, r: r, w: w, rate: rate, began: time.Now()}
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if p.rate > 0 {
		due := p.began.Add(time.Duration(float64(p.n) / float64(p.rate) * float64(time.Second)))
		if err := wakeup.Pause(p.ctx, time.Until(due)); err != nil {
			return 0, err
		}
	}
	n, err := p.r.Read(b)
	p.n += int64(n)
	if p.w != nil {
		p.w.add(int64(n))
	}
	return n, err
}
