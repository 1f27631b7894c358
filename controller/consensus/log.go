package consensus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Options are given to a Log by the process around it.
type Options struct {
	Dir     string // its own folder; created if missing
	Name    string // of this controller
	Address string // host:port at which the other controllers reach this one

	Listener net.Listener // yields raft's streams; closed with the Log
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	// Admit, if set, checks each accepted connection before raft reads from it ("only configured names"). It must not block.
	Admit  func(net.Conn) error
	Logger *zap.Logger // nil is none

	// Memory is a folder in memory that ends with the host's boot, for records outside Dir; "" is none.
	Memory string
	// Confirmed, if set, asks the others for the highest entry that the log with that id is known to have had before this process; 0 if none
	// of them knows. It returns when ctx ends at the latest.
	Confirmed func(ctx context.Context, id string, others []Server) uint64

	Heartbeat, Election, Lease time.Duration // platform.RaftHeartbeat, ...
	// SnapshotThreshold is the number of entries after which a snapshot is taken; 0 is 4096. Twice as many entries are kept behind a
	// snapshot, so that a controller that was down for a short time needs no snapshot.
	SnapshotThreshold uint64
}

// Log is one controller's part of the replicated log.
type Log struct {
	id      string
	dir     string
	options Options
	opened  uint64 // the last entry of the log at its opening
	logger  *zap.Logger
	raft    *raft.Raft
	fsm     *fsm
	store   *store
	trans   *raft.NetworkTransport
	quiet   atomic.Bool // raft's own lines: see zapSink

	leading chan bool
	notify  chan bool // from raft, which waits until it is read
	pace    pace

	failed   chan struct{} // closed by the first fail
	failOnce sync.Once
	cause    error // set before failed is closed

	stopOnce sync.Once
	stop     chan struct{} // closed by Close or a failure
	done     chan struct{} // closed when everything has ended
	wg       sync.WaitGroup

	mu       sync.Mutex
	stopping bool
	pending  map[*pending]bool
	queue    chan *pending // never holds more than pending
}

// ID is this controller's raft id: its name and a suffix that was minted for the folder (S3).
func (l *Log) ID() string { return l.id }

// Leading yields true when this controller has become the leader, and false when it no longer is. Only the latest value is kept: a true
// after a true means that leadership was lost and won again, so start again. True comes before the entries of earlier leaders are applied:
// propose one entry and wait for it. The channel has one reader, and is closed with the Log.
func (l *Log) Leading() <-chan bool { return l.leading }

// IsLeader tells whether raft takes this controller for the leader. Only a committed proposal proves it.
func (l *Log) IsLeader() bool { return l.raft.State() == raft.Leader }

// Leader is the leader that this controller knows; empty for none.
func (l *Log) Leader() (id, address string) {
	a, i := l.raft.LeaderWithID()
	return string(i), string(a)
}

// Term is raft's current term.
func (l *Log) Term() uint64 { return l.raft.CurrentTerm() }

// Applied is the index of the last command the Machine has applied.
func (l *Log) Applied() uint64 { return l.fsm.applied.Load() }

// Failed is closed when the log has failed; Err then gives the cause. The process should report the cause and exit.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is the cause of the failure; nil before one.
func (l *Log) Err() error {
	select {
	case <-l.failed:
		return l.cause
	default:
		return nil
	}
}

// fail stops the log. Only the first cause counts.
func (l *Log) fail(err error) {
	l.failOnce.Do(func() {
		l.cause = err
		l.logger.Error("the log of the controllers has stopped", zap.String("dir", l.dir), zap.Error(err))
		close(l.failed)
		l.beginStop()
	})
}

func (l *Log) beginStop() {
	l.stopOnce.Do(func() {
		l.mu.Lock()
		l.stopping = true
		l.mu.Unlock()
		close(l.stop)
	})
}

// Halt begins to stop without waiting: this log falls silent to the others, even while a write to its disk hangs, so they elect a leader
// (L6). Call Close afterwards.
func (l *Log) Halt() { l.beginStop() }

// Close stops the log and waits until its goroutines have ended and its files are closed, at most until ctx ends. It does
// not hand leadership over: Transfer does.
func (l *Log) Close(ctx context.Context) error {
	l.beginStop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the log in %s: it did not stop in time, its disk may hang: %w", l.dir, context.Cause(ctx))
	}
}

// supervise ends everything, in reverse order, when the log is closed or fails.
func (l *Log) supervise() {
	<-l.stop
	l.quiet.Store(true)
	down := l.raft.Shutdown()
	l.trans.Close() // closing the stream ends the calls of raft's goroutines
	down.Error()
	l.wg.Wait()
	l.abortAll()
	if err := l.store.Close(); err != nil {
		l.logger.Error("closing raft.db failed", zap.String("path", l.store.path), zap.Error(err))
	}
	close(l.done)
}

// follow reduces raft's notifications to the latest value; raft waits until each is received.
func (l *Log) follow() {
	defer close(l.leading)
	for {
		select {
		case v := <-l.notify:
			if err := l.repace(func(p *pace) { p.leads = v }); err != nil {
				l.logger.Error("raft's timeouts cannot be changed", zap.Bool("leads", v), zap.Error(err))
			}
			latest(l.leading, v)
		case <-l.stop:
			latest(l.leading, false)
			return
		}
	}
}

// latest replaces the value in c. There is one writer, so the second send cannot block for long.
func latest(c chan bool, v bool) {
	select {
	case <-c:
	default:
	}
	c <- v
}

func (l *Log) closedErr() error {
	if err := l.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return ErrClosed
}

// wait runs f, which waits for an answer of raft, until ctx ends or the log stops. Raft's calls take no context; an abandoned call ends
// when raft answers or the process ends.
func (l *Log) wait(ctx context.Context, what string, f func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- f() }()
	var err error
	select {
	case err = <-answer:
		if errors.Is(err, raft.ErrRaftShutdown) {
			err = l.closedErr()
		}
	case <-l.stop:
		err = l.closedErr()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Stalled is how long a write to this controller's own disk has not returned; 0 if none is running.
func (l *Log) Stalled() time.Duration { return l.store.stalled() }
