package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Bounds of the teardown, step by step: together less than service managers allow.
const (
	handOverTime = 2 * time.Second
	serveStop    = 3 * time.Second
	partStop     = 3 * time.Second
	logStop      = 5 * time.Second
)

// part is one running part of the controller, to be stopped.
type part struct {
	name  string
	stop  func(context.Context) error
	limit time.Duration
}

// running is a started controller: its parts stop in reverse order, and the first failure stops all of them.
type running struct {
	*Controller
	failed context.Context // ends, with the cause, once a part has failed
	fail   context.CancelCauseFunc
	parts  []part
}

// Run serves until ctx ends or a part fails: then it returns the reason, and the process must exit (L6: a leader whose disk hangs
// would otherwise keep the others from electing a new one).
func (c *Controller) Run(ctx context.Context) error { return c.begin().until(ctx) }

func (c *Controller) begin() *running {
	r := &running{Controller: c}
	r.failed, r.fail = context.WithCancelCause(context.Background())
	r.start()
	c.logger.Info("controller started", zap.String("version", c.opts.Version), zap.String("address", c.cfg.Advertise),
		zap.String("raftID", c.log.ID()))
	return r
}

// until is the rest of Run. A controller that has failed falls silent to the others at once: they elect a leader while its parts are
// stopped, each within its bound.
func (r *running) until(ctx context.Context) error {
	defer r.fail(nil)
	for {
		select {
		case <-r.opts.Reload:
			r.Reload()
			continue
		case <-ctx.Done():
			r.logger.Info("controller stops")
			if !r.abrupt {
				r.handOver()
			}
			return r.stop()
		case <-r.failed.Done():
			r.log.Halt()
			err := context.Cause(r.failed)
			r.logger.Error("controller exits", zap.Error(err))
			return errors.Join(err, r.stop())
		}
	}
}

func (r *running) start() {
	r.push("listeners", partStop, func(context.Context) error { return r.closeListeners() })
	r.push("client", partStop, func(context.Context) error { r.client.Close(); return nil })
	r.push("log", logStop, r.log.Close)
	r.spawn("log watch", func(ctx context.Context) error {
		select {
		case <-r.log.Failed():
			return r.log.Err()
		case <-ctx.Done():
			return nil
		}
	})
	r.spawn("certificate alarm", func(ctx context.Context) error { return r.store.Remind(ctx, r.certificateEnds) })
	leading := make(chan bool, 1)
	r.spawn("leadership", func(ctx context.Context) error { return r.followLeadership(ctx, leading) })
	r.push("effects", partStop, func(context.Context) error { r.effects.Close(); return nil })
	r.spawn("loop", func(ctx context.Context) error { return r.lead(ctx, leading) })
	r.spawn("generation", r.keepHeard)
	r.spawn("recollection", r.recollect)
	r.spawn("probes", r.prober.Run)
	observing := &observing{loop: r.loop, log: r.log, states: r.machine, prober: r.prober, allowed: r.cfg.Programs,
		client: r.client, logger: r.logger}
	r.spawn("votes", observing.run)
	pace := &pace{log: r.log, states: r.machine, logger: r.logger}
	r.spawn("pace", pace.run)
	handover := &handover{log: r.log, asked: r.asked, logger: r.logger}
	r.spawn("handing over", handover.run)
	if r.publisher != nil {
		r.push("etcd", partStop, func(context.Context) error { return r.etcd.Close() })
		r.spawn("publish", func(ctx context.Context) error { return r.publisher.Run(ctx, publishSource{r.machine, r.list}) })
	}
	if r.plain != nil {
		r.serve("plain HTTP", r.plain, r.api.Plain())
	}
	r.serve("API", r.mux.HTTP(), r.api.Handler())
}

func (r *running) push(name string, limit time.Duration, stop func(context.Context) error) {
	r.parts = append(r.parts, part{name, stop, limit})
}

// spawn runs f until the part is stopped. An error of f stops the controller.
func (r *running) spawn(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			r.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	r.push(name, partStop, func(limit context.Context) error {
		cancel()
		return wait(limit, done)
	})
}

// serve serves HTTP on l until the part is stopped; held requests then return.
func (r *running) serve(name string, l net.Listener, h http.Handler) {
	base, letGo := context.WithCancel(context.Background())
	quiet, err := zap.NewStdLogAt(r.logger.Named("http"), zap.DebugLevel)
	if err != nil {
		quiet = nil // the standard logger
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: quiet, BaseContext: func(net.Listener) context.Context { return base }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.fail(fmt.Errorf("%s on %s: %w", name, l.Addr(), err))
		}
	}()
	r.push(name, serveStop, func(limit context.Context) error {
		letGo()
		err := s.Shutdown(limit)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close() // without waiting for a peer that does not read
		}
		return errors.Join(err, wait(limit, done))
	})
}

// followLeadership passes the latest value on to the loop, and wakes the requests that wait for a change of leadership.
func (r *running) followLeadership(ctx context.Context, leading chan bool) error {
	for {
		select {
		case lead, ok := <-r.log.Leading():
			if !ok {
				return nil // the log has ended, and returns the reason itself
			}
			select {
			case <-leading:
			default:
			}
			leading <- lead
			r.machine.wake()
		case <-ctx.Done():
			return nil
		}
	}
}

// certificateEnds is called each day from 60 days before the certificate expires. A date never stops a database.
func (r *running) certificateEnds(ends time.Time) {
	r.logger.Warn("the certificate expires; the controller keeps running, but issue a new one, copy it here, then reload",
		zap.Time("ends", ends))
}

// handOver hands leadership to another controller before this one stops, so that the platform need not wait for an election.
func (r *running) handOver() {
	if !r.log.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	if servers, err := r.log.Servers(ctx); err != nil || len(servers) < 2 {
		return
	}
	if err := r.log.Transfer(ctx, ""); err != nil {
		r.logger.Info("leadership was not handed over; the other controllers elect a leader", zap.Error(err))
	}
}

// stop takes the parts down in reverse, each within its bound.
func (r *running) stop() error {
	var errs []error
	for i := len(r.parts) - 1; i >= 0; i-- {
		p := r.parts[i]
		ctx, cancel := context.WithTimeout(context.Background(), p.limit)
		if err := p.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("did not end in time")
	}
}

// publishSource is the source of publish: the state and leadership.
type publishSource struct {
	*machine
	*list
}
