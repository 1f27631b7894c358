package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"mainstay/controller/boottime"
	"mainstay/fencing/guard/machine"

	"golang.org/x/sys/unix"
)

// maxClients bounds the connections: an agent, its successor, the peer, and an operator.
const maxClients = 16

// server passes requests from the socket to the guard.
type server struct {
	guard *guard
	ln    *net.UnixListener
	wg    sync.WaitGroup // accept and every client
	mu    sync.Mutex
	conns map[*client]bool
}

// client is one connection.
type client struct{ conn *net.UnixConn }

// listen replaces a socket that a former guard left; the caller holds the slot's lock.
func listen(g *guard) (*server, error) {
	path := socketPath(g.cfg.Dir, g.cfg.Slot)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the guard's socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the guard's socket: %w", err)
	}
	return &server{guard: g, ln: ln, conns: map[*client]bool{}}, nil
}

func (s *server) start() { s.wg.Go(s.accept) }

func (s *server) accept() {
	for {
		conn, err := s.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptor is free: present connections take precedence
			continue
		}
		c := &client{conn: conn}
		if peer, err := PeerOf(conn); err != nil || !Trusted(peer) || !s.admit(c) {
			conn.Close()
			continue
		}
		s.wg.Go(func() { defer s.dismiss(c); s.serve(c) })
	}
}

func (s *server) admit(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxClients {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *server) dismiss(c *client) {
	c.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// close ends all connections and waits for their goroutines.
func (s *server) close() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// serve answers line by line until the connection closes. The guard does not change then.
func (s *server) serve(c *client) {
	r := bufio.NewReaderSize(c.conn, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		var req request
		var rep reply
		if err := json.Unmarshal(line, &req); err != nil {
			rep = s.guard.answer(0, machine.Refuse(machine.BadRequest, "the request is not valid: %v", err))
		} else {
			rep = s.guard.handle(c, req)
		}
		if WriteLine(c.conn, rep, time.Second) != nil {
			return
		}
	}
}

// handle carries out one request.
func (g *guard) handle(c *client, req request) reply {
	if req.Op == opAttach {
		return g.answer(req.ID, g.attach(c))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if req.Op != opStatus && g.agent != c {
		return g.answered(req.ID, machine.Refuse(machine.NotYours, "another agent has attached since; attach again"))
	}
	return g.answered(req.ID, g.change(req))
}

// change is called with mu held.
func (g *guard) change(req request) *machine.Refusal {
	// The loop checks after every request; the timer follows the end before the lock is released.
	defer g.rouse()
	now := boottime.Now()
	switch req.Op {
	case opStatus:
		g.machine.Due(now)
		return nil
	case opExtend:
		epoch, err := parseEpoch(req.Epoch)
		if err != nil {
			return machine.Refuse(machine.BadRequest, "%v", err)
		}
		if r := g.machine.Extend(epoch, req.End, now); r != nil {
			return r
		}
		r := g.setTimer()
		g.show(now)
		return r
	case opDisarm:
		if r := g.machine.Disarm(now); r != nil {
			return r
		}
		g.timer.Stop()
		g.noteEnded(now)
		return nil
	case opExit, opLeave:
		r := g.machine.Exit(now)
		if req.Op == opExit {
			g.stopping = r == nil
		} else {
			g.leaving = r == nil
		}
		return r
	}
	return machine.Refuse(machine.BadRequest, "there is no operation %q", req.Op)
}

// setTimer sets the timer to the end. A guard that cannot set it must not let the lease begin: it refuses, and kills at the next check.
func (g *guard) setTimer() *machine.Refusal {
	if err := g.timer.Set(g.machine.End); err != nil {
		g.machine.End = boottime.Now()
		return machine.Refuse(machine.Expired, "%v", err)
	}
	return nil
}

func (g *guard) answer(id uint64, r *machine.Refusal) reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.answered(id, r)
}

func (g *guard) answered(id uint64, r *machine.Refusal) reply {
	rep := reply{ID: id, Report: g.report()}
	if r != nil {
		rep.Code, rep.Reason = r.Code, r.Reason
	}
	return rep
}

// PeerOf is the process at the other end: for an accepted connection its client, for a dialled one its listener.
func PeerOf(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(err, credErr)
}

// Trusted tells whether a peer runs as root or as the user of this process.
func Trusted(peer *unix.Ucred) bool { return peer.Uid == 0 || peer.Uid == uint32(os.Geteuid()) }

// WriteLine sends v as one line of JSON, within that time.
func WriteLine(conn net.Conn, v any, within time.Duration) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err = conn.Write(append(b, '\n'))
	return err
}
