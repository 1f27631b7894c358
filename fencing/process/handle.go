package process

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrGone is returned when there is no such process, or another one now has its pid.
var ErrGone = errors.New("the process has ended")

// Handle refers to one process through a pidfd: it never means another process, even if the pid is reused. It works for any process, child
// or not, and reaps none. The caller of Watch closes it.
type Handle struct {
	pid   int
	start uint64
	file  *os.File
	done  chan struct{} // closed by watch when the process has ended; never by Close
	wg    sync.WaitGroup
}

// Watch opens a Handle of the process; ErrGone if it has ended and was reaped. A pid that was read some time ago may now mean another
// process: verify its identity after Watch, not before. Until Close a Handle costs one descriptor and one goroutine, but no
// thread.
func Watch(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("watch process %d: %w", pid, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	file := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	p, err := readProc(pid)
	if gone(err) || err == nil && !unreaped(fd) {
		err = ErrGone
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	h := &Handle{pid: pid, start: p.start, file: file, done: make(chan struct{})}
	h.wg.Go(h.watch)
	return h, nil
}

// unreaped tells whether the process of a pidfd has not been reaped. Until then no other process has its pid, so everything read
// under that pid since the pidfd was opened belongs to it.
func unreaped(pidfd int) bool {
	err := unix.PidfdSendSignal(pidfd, 0, nil, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// PID is the process's number, for messages.
func (h *Handle) PID() int { return h.pid }

// Start is the process's start time in clock ticks since boot; with the pid it names the process for this boot.
func (h *Handle) Start() uint64 { return h.start }

// Done is closed once the process has ended, whether or not its parent has reaped it. Close leaves it open: a closed
// channel always means an ended process.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Alive asks the kernel, without blocking. It is false after Close.
func (h *Handle) Alive() bool {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = conn.Control(func(fd uintptr) { alive = !readable(int(fd)) })
	return err == nil && alive
}

// Signal sends sig to exactly this process; ErrGone if it has been reaped.
func (h *Handle) Signal(sig unix.Signal) error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("signal process %d: %w", h.pid, err)
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return fmt.Errorf("signal process %d: %w", h.pid, err)
	}
	if errors.Is(sent, unix.ESRCH) {
		sent = ErrGone
	}
	if sent != nil {
		return fmt.Errorf("signal process %d: %w", h.pid, sent)
	}
	return nil
}

// Close releases the process and waits for the watching goroutine. It is safe on a nil Handle and more than once.
func (h *Handle) Close() {
	if h == nil {
		return
	}
	h.file.Close()
	h.wg.Wait()
}

// watch waits in the runtime's poller, which Close interrupts.
func (h *Handle) watch() {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	if conn.Read(func(fd uintptr) bool { return readable(int(fd)) }) == nil {
		close(h.done)
	}
}

// readable asks poll(2) without waiting; a pidfd is readable once its process has ended.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1
		}
	}
}
