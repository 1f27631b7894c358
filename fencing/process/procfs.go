package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// proc is one line of /proc/PID/stat.
type proc struct {
	pid, parent, threads int
	session              int    // pid of its leader, which may have ended
	comm                 string // the program's name unless the process chose another
	state                byte   // R, S, D, T, Z, ...
	start                uint64 // clock ticks since boot
}

// id names a process for this boot.
type id struct {
	pid   int
	start uint64
}

func (p proc) id() id { return id{p.pid, p.start} }

// ended tells whether the process has ended: a zombie holds no files and no memory. A process whose main thread has ended while
// others run is alive.
func (p proc) ended() bool { return (p.state == 'Z' || p.state == 'X') && p.threads <= 1 }

// readProc returns an error that satisfies gone() if there is no such process any more.
func readProc(pid int) (proc, error) {
	b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, err
	}
	return parseStat(pid, b)
}

// parseStat reads /proc/PID/stat. The command's name is in parentheses and may itself contain spaces and parentheses.
func parseStat(pid int, b []byte) (proc, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[end+1:])
	if open < 0 || end < open || len(f) < 20 || len(f[0]) != 1 {
		return proc{}, fmt.Errorf("/proc/%d/stat is not understood: %q", pid, b)
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	session, err2 := strconv.Atoi(string(f[3]))
	threads, err3 := strconv.Atoi(string(f[17]))
	start, err4 := strconv.ParseUint(string(f[19]), 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return proc{}, fmt.Errorf("/proc/%d/stat is not understood: %w", pid, err)
	}
	comm := string(b[open+1 : end])
	return proc{pid: pid, parent: parent, session: session, threads: threads, comm: comm, state: f[0][0], start: start}, nil
}

// processes reads every process of the host, including zombies.
func processes() (map[int]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes of this host: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	dir.Close()
	if err != nil {
		return nil, fmt.Errorf("list the processes of this host: %w", err)
	}
	all := make(map[int]proc, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		switch p, err := readProc(pid); {
		case err == nil:
			all[pid] = p
		case !gone(err):
			return nil, fmt.Errorf("read process %d: %w", pid, err)
		}
	}
	return all, nil
}

// executable is the base name of the program that the process runs; "" for a kernel thread.
func executable(pid int) (string, error) {
	path, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if gone(err) || errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	// A package upgrade replaces the file under a running server.
	return filepath.Base(strings.TrimSuffix(path, " (deleted)")), err
}

// realUID is the uid the process runs as.
func realUID(pid int) (uint32, error) {
	b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, line, _ := bytes.Cut(b, []byte("\nUid:"))
	f := bytes.Fields(line)
	if len(f) < 4 {
		return 0, fmt.Errorf("/proc/%d/status names no uid", pid)
	}
	uid, err := strconv.ParseUint(string(f[0]), 10, 32)
	return uint32(uid), err
}

// gone tells whether err means that the process has ended meanwhile.
func gone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) }

// readSmall reads one of the kernel's files of at most 4 KiB, without the poller that os.File would involve.
func readSmall(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	buf, used := make([]byte, 4096), 0
	for used < len(buf) {
		n, err := unix.Read(fd, buf[used:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		used += n
	}
	return buf[:used], nil
}

// Children lists the children of a process that have not ended.
func Children(parent int) ([]int, error) {
	all, err := processes()
	var pids []int
	for pid, p := range all {
		if p.parent == parent && !p.ended() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, err
}

// BoundTo tells whether the kernel would signal the child at its parent's death: it is still that process's child, and runs under the
// same security label (a change of label at exec, as by SELinux, makes the kernel forget the request).
func BoundTo(parent, child int) bool {
	p, err := readProc(child)
	return err == nil && p.parent == parent && label(parent) == label(child)
}

// label is a process's security label; "" without a security module.
func label(pid int) string {
	b, err := readSmall("/proc/" + strconv.Itoa(pid) + "/attr/current")
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\n\x00")
}
