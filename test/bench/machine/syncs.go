package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Syncs counts the calls of fsync and fdatasync of processes, by the kernel's tracepoints: no process is stopped for it.
type Syncs struct{ counters []int } // file descriptors

// ErrNoTracepoints is returned where calls cannot be counted.
var ErrNoTracepoints = errors.New("the kernel's tracepoints cannot be read (they need root, or CAP_PERFMON and CAP_SYS_ADMIN)")

// inheritThread is a flag of perf_event_open since Linux 5.13: threads that are started later count, processes do not.
const inheritThread = unix.CBitFieldMaskBit35

// CountSyncs begins to count those of processes that run, with the threads they start from now on, and, where children is
// set, with the processes they start. The caller closes it.
func CountSyncs(children bool, pids ...int) (_ *Syncs, err error) {
	s := &Syncs{}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("%w: %w", ErrNoTracepoints, err)
		}
	}()
	events, err := tracepoints("sys_enter_fsync", "sys_enter_fdatasync")
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		for _, thread := range threads(pid) {
			for _, id := range events {
				if err := s.open(id, thread, children); err != nil {
					return nil, err
				}
			}
		}
	}
	return s, nil
}

func (s *Syncs) open(id uint64, thread int, children bool) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Bits: unix.PerfBitInherit}
	attr.Size = uint32(unsafe.Sizeof(attr))
	if !children {
		attr.Bits |= inheritThread
	}
	fd, err := unix.PerfEventOpen(&attr, thread, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if errors.Is(err, unix.ESRCH) { // it has ended
		return nil
	}
	if err != nil {
		return fmt.Errorf("perf_event_open: %w", err)
	}
	s.counters = append(s.counters, fd)
	return nil
}

// Count is how many there were.
func (s *Syncs) Count() (n int64, err error) {
	for _, fd := range s.counters {
		var b [8]byte
		if got, err := unix.Read(fd, b[:]); err != nil || got != len(b) {
			return n, fmt.Errorf("read a counter of fsync: %d bytes: %w", got, errors.Join(ErrNoTracepoints, err))
		}
		n += int64(binary.NativeEndian.Uint64(b[:]))
	}
	return n, nil
}

// Close ends it.
func (s *Syncs) Close() {
	for _, fd := range s.counters {
		unix.Close(fd)
	}
	s.counters = nil
}

func threads(pid int) (all []int) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, tid)
		}
	}
	return all
}

// tracepoints returns the kernel's numbers of system calls' tracepoints. It mounts tracefs for that, where no one sees it:
// the mount ends with its descriptor.
func tracepoints(names ...string) (ids []uint64, err error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open tracefs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("open tracefs: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open tracefs: %w", err)
	}
	defer unix.Close(root)
	for _, name := range names {
		id, err := idOf(root, name)
		if err != nil {
			return nil, fmt.Errorf("tracepoint %s: %w", name, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func idOf(root int, name string) (uint64, error) {
	fd, err := unix.Openat(root, "events/syscalls/"+name+"/id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var b [32]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 64)
}
