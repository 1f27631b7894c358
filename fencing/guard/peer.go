package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/fencing/guard/machine"
)

// attach makes c the agent that the guard obeys, and finds the peer. It is not on the lease path.
func (g *guard) attach(c *client) *machine.Refusal {
	g.mu.Lock()
	g.agent, g.leaving = c, false
	known := g.machine.Peer
	g.mu.Unlock()
	if known {
		return nil // the loop would have noticed its death
	}
	pidfd, pid, err := g.findPeer()
	if err != nil {
		return machine.Refuse(machine.NoPeer, "%v", err)
	}
	g.adopt(pidfd, pid)
	return nil
}

// findPeer opens a pidfd of the process that listens on the other socket, and verifies that it is this member's other guard.
func (g *guard) findPeer() (pidfd, pid int, err error) {
	conn, err := net.DialTimeout("unix", socketPath(g.cfg.Dir, g.cfg.peer()), time.Second)
	if err != nil {
		return -1, 0, fmt.Errorf("find the other guard: %w", err)
	}
	defer conn.Close()
	peer, err := PeerOf(conn.(*net.UnixConn))
	if err != nil || !Trusted(peer) {
		return -1, 0, fmt.Errorf("the other guard's socket belongs to another user (%v)", err)
	}
	pidfd, err = unix.PidfdOpen(int(peer.Pid), 0)
	if err != nil {
		return -1, 0, fmt.Errorf("watch the other guard, process %d: %w", peer.Pid, err)
	}
	r, err := ask(conn, request{Op: opStatus}, time.Second)
	if err == nil && (r.PID != int(peer.Pid) || r.Slot != g.cfg.peer() || r.Member != g.cfg.Member || r.DataDir != g.cfg.DataDir) {
		err = fmt.Errorf("process %d guards %s in %s as %s", peer.Pid, r.Member, r.DataDir, r.Slot)
	}
	if err != nil {
		unix.Close(pidfd)
		return -1, 0, fmt.Errorf("the other guard could not be verified: %w", err)
	}
	return pidfd, int(peer.Pid), nil
}

// ask sends one request and reads its reply, on a connection used only for that.
func ask(conn net.Conn, req request, within time.Duration) (reply, error) {
	var r reply
	if err := WriteLine(conn, req, within); err != nil {
		return r, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return r, err
	}
	line, err := bufio.NewReaderSize(conn, maxLine).ReadSlice('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(line, &r)
}
