package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

// ErrNoAnswer is returned when a guard did not answer in time or its connection broke. It may still have carried out the request;
// only Set.Alive tells whether it is alive. Call Start again to reconnect.
var ErrNoAnswer = errors.New("no answer")

// link is the agent's end of the connection to one guard. Replies carry their request's number, so a late reply is dropped and the
// connection stays in use: reconnecting would need a path lookup (L6).
type link struct {
	member, slot string
	conn         *net.UnixConn
	handle       *process.Handle
	wg           sync.WaitGroup // read

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan reply
	broken  error // set when the connection ended
}

// dial connects to the guard that listens for slot and opens a Handle of its process. An error that satisfies absent() means that no
// guard listens.
func dial(ctx context.Context, o Options, slot string) (*link, Report, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketPath(o.Dir, slot))
	if err != nil {
		return nil, Report{}, fmt.Errorf("connect to guard %s of %s: %w", slot, o.Member, err)
	}
	l := &link{member: o.Member, slot: slot, conn: c.(*net.UnixConn), pending: map[uint64]chan reply{}}
	peer, err := PeerOf(l.conn)
	if err == nil && !Trusted(peer) {
		err = fmt.Errorf("the socket belongs to uid %d; remove %s", peer.Uid, o.Dir)
	}
	if err == nil {
		l.handle, err = process.Watch(int(peer.Pid))
	}
	if err != nil {
		c.Close()
		return nil, Report{}, fmt.Errorf("connect to guard %s of %s: %w", slot, o.Member, err)
	}
	l.wg.Go(l.read)
	// Only after Watch, so that the watched process is the one that answers.
	r, err := l.call(ctx, request{Op: opStatus})
	if err == nil && (r.PID != int(peer.Pid) || r.Slot != slot || r.Member != o.Member || r.DataDir != o.DataDir) {
		err = &OtherMembersGuardError{Member: o.Member, DataDir: o.DataDir, Dir: o.Dir, Found: r}
	}
	if err != nil {
		l.close()
		return nil, Report{}, err
	}
	return l, r, nil
}

// OtherMembersGuardError is returned when the guard that listens on a member's socket guards another member.
type OtherMembersGuardError struct {
	Member, DataDir, Dir string
	Found                Report
}

func (e *OtherMembersGuardError) Error() string {
	return fmt.Sprintf("the guard (process %d) in %s is for %s in %s, not for %s in %s; "+
		"give each member its own directory, or detach the other one",
		e.Found.PID, e.Dir, e.Found.Member, e.Found.DataDir, e.Member, e.DataDir)
}

// absent tells whether err means that no guard listens.
func absent(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) || errors.Is(err, process.ErrGone)
}

// call sends one request and waits for its reply until ctx is done.
func (l *link) call(ctx context.Context, req request) (Report, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return Report{}, fmt.Errorf("ask guard %s of %s: the call has no deadline", l.slot, l.member)
	}
	ch := make(chan reply, 1)
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		return Report{}, l.silent(l.broken)
	}
	left := time.Until(deadline)
	if left <= 0 { // nothing was sent, so the connection stays usable
		defer l.mu.Unlock()
		return Report{}, l.silent(context.DeadlineExceeded)
	}
	l.last++
	req.ID = l.last
	l.pending[req.ID] = ch
	err := WriteLine(l.conn, req, left)
	l.mu.Unlock()
	defer l.forget(req.ID)
	if err != nil {
		l.conn.Close() // half a line may have been sent
		return Report{}, l.silent(err)
	}
	select {
	case rep, ok := <-ch:
		if !ok {
			return Report{}, l.silent(errors.New("the connection broke"))
		}
		if rep.Code != "" {
			return rep.Report, &RefusedError{Member: l.member, Slot: l.slot, Code: rep.Code, Reason: rep.Reason}
		}
		return rep.Report, nil
	case <-ctx.Done():
		return Report{}, l.silent(ctx.Err())
	}
}

func (l *link) whole() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken == nil
}

func (l *link) silent(err error) error {
	return fmt.Errorf("guard %s of %s (process %d): %w: %w", l.slot, l.member, l.handle.PID(), ErrNoAnswer, err)
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, id)
}

// read hands replies to their callers until the connection ends.
func (l *link) read() {
	r := bufio.NewReaderSize(l.conn, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		var rep reply
		if err == nil {
			err = json.Unmarshal(line, &rep)
		}
		l.mu.Lock()
		if err != nil {
			l.broken = err
			for id, ch := range l.pending {
				close(ch)
				delete(l.pending, id)
			}
			l.mu.Unlock()
			l.conn.Close()
			return
		}
		if ch := l.pending[rep.ID]; ch != nil {
			ch <- rep // room for the one reply
			delete(l.pending, rep.ID)
		}
		l.mu.Unlock()
	}
}

// close ends the connection and the watch; the guard keeps counting.
func (l *link) close() {
	l.conn.Close()
	l.wg.Wait()
	l.handle.Close()
}
