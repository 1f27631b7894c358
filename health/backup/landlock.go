package backup

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock confines a thread and its children without a right of root (Linux 5.13 and newer). What a ruleset handles is refused wherever no
// rule allows it; only writes are handled, so everything can still be read and run.
const (
	lockWrites = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	lockTCP = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
)

// Versions of Landlock from which on it has these.
const (
	withRefer    = 2 // renames between folders, which are refused before
	withTruncate = 3
	withTCP      = 4
)

// lock confines the calling thread to writes below some folders, and to no TCP; tcp tells whether the kernel could do that too.
func lock(writable []string) (tcp bool, err error) {
	version, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return false, os.NewSyscallError("landlock", e)
	}
	set := unix.LandlockRulesetAttr{Handled_access_fs: lockWrites}
	size := unsafe.Sizeof(set.Handled_access_fs)
	if version >= withRefer {
		set.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= withTruncate {
		set.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= withTCP {
		set.Handled_access_net = lockTCP
		size += unsafe.Sizeof(set.Handled_access_net)
	}
	ruleset, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&set)), size, 0)
	if e != 0 {
		return false, os.NewSyscallError("landlock", e)
	}
	defer unix.Close(int(ruleset))
	for _, dir := range writable {
		err = errors.Join(err, allow(int(ruleset), dir, set.Handled_access_fs))
	}
	null := uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE) | set.Handled_access_fs&unix.LANDLOCK_ACCESS_FS_TRUNCATE
	if err = errors.Join(err, allow(int(ruleset), os.DevNull, null)); err != nil {
		return false, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return false, os.NewSyscallError("no_new_privs", err)
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); e != 0 {
		return false, os.NewSyscallError("landlock", e)
	}
	return set.Handled_access_net != 0, nil
}

func allow(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	runtime.KeepAlive(&rule)
	if e != 0 {
		return &os.PathError{Op: "landlock", Path: path, Err: e}
	}
	return nil
}
