// Package osuser works on files as another user of the operating system.
//
// An agent that runs as root works in folders that PostgreSQL's user owns: a data directory, and often the folders above it. That user can
// replace anything there by a link at any moment, and root would then read, write or remove the link's target. So the agent accesses such
// files with that user's rights (Do); it uses its own rights only where no other user can change the path to them (OtherChanger). It must
// never be used to gain rights: for a process that is not root it changes nothing.
package osuser

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// User is a user of the operating system.
type User struct{ UID, GID uint32 }

// Do runs f with the file-system rights of the user: its ids, and none of our groups. f must start no process and no goroutine,
// because only its own thread has the rights. Where this process is not root, or is that user, f runs as it is.
func (u User) Do(f func() error) error {
	if os.Geteuid() != 0 || u.UID == 0 {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		groups, err := unix.Getgroups()
		if err == nil {
			if err = u.become(); err == nil {
				err = f()
			}
			if restore(groups) != nil {
				done <- err
				return // the thread of a goroutine that returns while locked ends with it
			}
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

const keep = ^uintptr(0)

// become changes this thread only, groups first: changing them needs a right that is lost with the user id.
func (u User) become() error {
	if err := setgroups(nil); err != nil {
		return fmt.Errorf("leave our groups: %w", err)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, keep, uintptr(u.GID), keep); e != 0 {
		return fmt.Errorf("take gid %d: %w", u.GID, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(u.UID), keep); e != 0 {
		return fmt.Errorf("take uid %d: %w", u.UID, e)
	}
	return nil
}

// restore sets the real ids again, in the opposite order.
func restore(groups []int) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(unix.Getuid()), keep); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, keep, uintptr(unix.Getgid()), keep); e != 0 {
		return e
	}
	return setgroups(groups)
}
