package pgdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// acceptRetry is how long to wait when the listen queue of a unix socket is full: connect itself does not wait there.
const acceptRetry = 10 * time.Millisecond

// dialUnix connects to a unix socket as the given user: PostgreSQL's peer authentication reads the effective uid of the connecting thread.
func dialUnix(ctx context.Context, path string, as *OSUser) (net.Conn, error) {
	if as == nil || int(as.UID) == os.Geteuid() {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	for {
		fd, err := connectAs(path, *as)
		if err == nil {
			return fileConn(fd, path)
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, fmt.Errorf("connect to %s as uid %d: %w", path, as.UID, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s as uid %d: its listen queue is full: %w", path, as.UID, ctx.Err())
		case <-time.After(acceptRetry):
		}
	}
}

func fileConn(fd int, path string) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // FileConn duplicates it
	return net.FileConn(f)
}

// connectAs runs on its own goroutine, so that a thread whose identity could not be restored ends with it: the thread of a goroutine that
// returns while locked ends with it.
func connectAs(path string, as OSUser) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = become(as); err == nil {
			fd, err = connectNonblock(path)
		}
		if rerr := restore(); rerr != nil {
			return // stays locked
		}
		runtime.UnlockOSThread()
	}()
	<-done
	return fd, err
}

// become sets the effective ids of this thread only; syscall.Setresuid would change every thread of the process.
func become(as OSUser) error {
	const keep = ^uintptr(0)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, keep, uintptr(as.GID), keep); e != 0 {
		return fmt.Errorf("take gid %d: %w", as.GID, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(as.UID), keep); e != 0 {
		return fmt.Errorf("take uid %d (the agent must run as root or as the data's owner): %w", as.UID, e)
	}
	return nil
}

// restore sets the real ids again: uid first, because only root may change the gid back.
func restore() error {
	const keep = ^uintptr(0)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(unix.Getuid()), keep); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, keep, uintptr(unix.Getgid()), keep); e != 0 {
		return e
	}
	return nil
}

func connectNonblock(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}
