package consensus

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// maxPending bounds the pending proposals, including those that have timed out while raft still holds them.
const maxPending = 1024

// Pending is a pending proposal. It is done no later than its timeout.
type Pending interface {
	// Done is closed when Result is available.
	Done() <-chan struct{}
	// Result waits for Done. The command was committed and applied here if err is nil or the Machine's own; otherwise err is
	// ErrNotLeader, ErrBusy, ErrUnknown or ErrClosed (wrapped).
	Result() (index uint64, value any, err error)
}

type pending struct {
	data     []byte // framed
	deadline time.Time
	done     chan struct{}
	timer    *time.Timer

	mu       sync.Mutex
	handed   bool // raft may have it: from then on no answer means ErrUnknown
	finished bool
	index    uint64
	value    any
	err      error
}

func (p *pending) Done() <-chan struct{} { return p.done }

func (p *pending) Result() (uint64, any, error) {
	<-p.done
	return p.index, p.value, p.err // written before done was closed
}

// finish sets the result, once.
func (p *pending) finish(index uint64, value any, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(index, value, err)
}

// lapse finishes p without an answer from raft: with untaken if raft never received it, otherwise with why and ErrUnknown.
func (p *pending) lapse(untaken, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handed {
		untaken = fmt.Errorf("%w: %w", ErrUnknown, why)
	}
	p.set(0, nil, untaken)
}

// set needs p.mu.
func (p *pending) set(index uint64, value any, err error) {
	if p.finished {
		return
	}
	p.finished = true
	p.index, p.value, p.err = index, value, err
	p.timer.Stop()
	close(p.done)
}

// hand marks p as given to raft; false if its time is over, so that raft must not get it.
func (p *pending) hand() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handed = !p.finished
	return p.handed
}

// Propose offers a command to the log, if this controller leads. It never blocks. Commands are committed in the order of
// the calls; timeout must be positive.
func (l *Log) Propose(cmd []byte, timeout time.Duration) Pending {
	p := newPending(cmd, timeout)
	if !l.IsLeader() {
		p.finish(0, nil, ErrNotLeader)
		return p
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopping:
		p.finish(0, nil, l.closedErr())
	case len(l.pending) >= maxPending:
		p.finish(0, nil, fmt.Errorf("%w: %d proposals are pending", ErrBusy, maxPending))
	default:
		l.pending[p] = true
		l.queue <- p // has room for maxPending
	}
	return p
}

func newPending(cmd []byte, timeout time.Duration) *pending {
	p := &pending{data: frame(cmd), deadline: time.Now().Add(timeout), done: make(chan struct{})}
	p.mu.Lock() // the timer may run at once
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(timeout, func() {
		p.lapse(fmt.Errorf("%w: not taken up within %v", ErrBusy, timeout), fmt.Errorf("no majority within %v", timeout))
	})
	return p
}

// feed hands proposals to raft one by one: raft's own Apply blocks while its disk hangs, and Propose must not block.
func (l *Log) feed() {
	for {
		select {
		case <-l.stop:
			return
		case p := <-l.queue:
			if !p.hand() {
				l.forget(p)
				continue
			}
			f := l.raft.Apply(p.data, max(time.Until(p.deadline), time.Millisecond))
			// Close does not wait for this: raft leaves some futures unanswered when it shuts down; abortAll then finishes p.
			go l.await(p, f)
		}
	}
}

func (l *Log) await(p *pending, f raft.ApplyFuture) {
	defer l.forget(p)
	if err := f.Error(); err != nil {
		p.finish(0, nil, certain(err))
		return
	}
	o, ok := f.Response().(outcome)
	if !ok {
		o.err = fmt.Errorf("%w: raft answered %T", ErrUnknown, f.Response())
	}
	p.finish(f.Index(), o.value, o.err)
}

func (l *Log) forget(p *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, p)
}

// abortAll finishes the proposals that raft will no longer answer.
func (l *Log) abortAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pending {
		p.lapse(l.closedErr(), l.closedErr())
	}
}
