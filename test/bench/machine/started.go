package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Start is a process that was started.
type Start struct {
	At      time.Time
	PID     int
	Owner   string // label of the process that started it, at that moment
	Program string // the first that it executed; "" for a plain child; "?" where it ended before that could be read
}

// Starts records every process that is started, from the kernel's proc connector: none is too short-lived for it.
type Starts struct {
	socket int
	label  func(Process) string
	labels map[int]string // of processes by PID, as far as they have one
	base   time.Time      // when CLOCK_MONOTONIC was zero
	stop   chan struct{}  // closed by Stop
	done   chan struct{}  // closed when the recorder has read what there was
	all    []Start
	last   map[int]int // the newest of all by PID
	err    error
}

// ErrNotCounted is returned where the kernel does not say which processes are started.
var ErrNotCounted = errors.New("the kernel's proc connector does not answer (it needs root, outside of any container or namespace)")

// RecordStarts begins to record. label is Take's. The caller stops it.
func RecordStarts(label func(Process) string) (_ *Starts, err error) {
	r := &Starts{label: label, labels: map[int]string{}, stop: make(chan struct{}), done: make(chan struct{}), last: map[int]int{}}
	if r.socket, err = subscribe(); err != nil {
		return nil, err
	}
	now, err := monotonic()
	if err != nil {
		return nil, errors.Join(err, unix.Close(r.socket))
	}
	r.base = time.Now().Add(-now)
	s, err := Take(label) // after the subscription: what starts from now on is told
	if err != nil {
		return nil, errors.Join(err, unix.Close(r.socket))
	}
	for pid, p := range s {
		r.labels[pid] = p.Label
	}
	go r.read()
	return r, nil
}

// Stop returns what was started from RecordStarts up to this call.
func (r *Starts) Stop() ([]Start, error) {
	close(r.stop)
	<-r.done
	return r.all, errors.Join(r.err, unix.Close(r.socket))
}

func monotonic() (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano()), err
}

// The connector's protocol: linux/netlink.h, linux/connector.h, linux/cn_proc.h, in the machine's byte order.
const (
	procIndex, procValue = 1, 1
	listen               = 1
	headers              = unix.SizeofNlMsghdr + 20 // struct cn_msg
	eventData            = headers + 16             // struct proc_event: what, cpu, timestamp_ns, then the event's own
	eventNone            = 0
	eventFork            = 1
	eventExec            = 2
)

// subscribe opens the connector and waits for its answer, which may be a refusal.
func subscribe() (socket int, err error) {
	socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return -1, fmt.Errorf("%w: %w", ErrNotCounted, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w: %w", ErrNotCounted, err), unix.Close(socket))
		}
	}()
	if err := unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: procIndex}); err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // a smaller one may lose events, which is an error then
	if err := unix.Sendto(socket, request(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return -1, err
	}
	return socket, acknowledged(socket)
}

func request() []byte {
	m := make([]byte, headers+4)
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], unix.NLMSG_DONE)
	binary.NativeEndian.PutUint32(m[16:], procIndex)
	binary.NativeEndian.PutUint32(m[20:], procValue)
	binary.NativeEndian.PutUint16(m[32:], 4)
	binary.NativeEndian.PutUint32(m[36:], listen)
	return m
}

// acknowledged waits for the event that answers the request. In a namespace of processes there is none.
func acknowledged(socket int) error {
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}, 100)
		if ready < 1 {
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			continue
		}
		n, _, err := unix.Recvfrom(socket, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return err
		}
		if what, data := event(buf[:n]); what == eventNone && len(data) >= 4 {
			if code := binary.NativeEndian.Uint32(data); code != 0 {
				return unix.Errno(code)
			}
			return nil
		}
	}
	return errors.New("no answer to the subscription")
}

// event splits a message; what is 1<<32-1 for one that is too short.
func event(m []byte) (what uint32, data []byte) {
	if len(m) < eventData {
		return 1<<32 - 1, nil
	}
	return binary.NativeEndian.Uint32(m[headers:]), m[eventData:]
}

// read takes events until Stop, and then those that are there already.
func (r *Starts) read() {
	defer close(r.done)
	for {
		stopping := false
		select {
		case <-r.stop:
			stopping = true
		default:
		}
		r.drain()
		if stopping {
			return
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(r.socket), Events: unix.POLLIN}}, 50); err != nil && !errors.Is(err, unix.EINTR) {
			r.err = errors.Join(r.err, err)
			return
		}
	}
}

// errLost is returned where events came faster than they were read.
var errLost = errors.New("some starts of processes were missed: the kernel's queue of events was full")

func (r *Starts) drain() {
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(r.socket, buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			r.take(buf[:n])
		case errors.Is(err, unix.ENOBUFS):
			r.err = errLost
		case errors.Is(err, unix.EINTR):
		default: // nothing more
			return
		}
	}
}

func (r *Starts) take(m []byte) {
	what, data := event(m)
	at := r.base
	if len(m) >= eventData {
		at = at.Add(time.Duration(binary.NativeEndian.Uint64(m[headers+8:])))
	}
	switch {
	case what == eventFork && len(data) >= 16:
		parent, child, group := binary.NativeEndian.Uint32(data[4:]), binary.NativeEndian.Uint32(data[8:]), binary.NativeEndian.Uint32(data[12:])
		if child == group { // else a thread
			r.forked(at, int(parent), int(child))
		}
	case what == eventExec && len(data) >= 8:
		r.executed(int(binary.NativeEndian.Uint32(data[4:])))
	}
}

func (r *Starts) forked(at time.Time, parent, child int) {
	r.labels[child] = r.labels[parent]
	r.last[child] = len(r.all)
	r.all = append(r.all, Start{At: at, PID: child, Owner: r.labels[parent]})
}

// executed names what a process runs by now. One that has ended shows its last name until its parent has waited for it.
func (r *Starts) executed(pid int) {
	p := Process{PID: pid}
	p.Program, p.Args = program(pid)
	if own := r.label(p); own != "" {
		r.labels[pid] = own
	}
	i, ok := r.last[pid]
	if !ok || r.all[i].Program != "" {
		return
	}
	name := p.Base()
	if name == "" {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		name = strings.TrimSpace(string(raw))
	}
	if name == "" {
		name = "?"
	}
	r.all[i].Program = name
}
