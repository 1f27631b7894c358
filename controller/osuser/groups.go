package osuser

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setgroups sets the groups of this thread only; unix.Setgroups sets those of every thread.
func setgroups(groups []int) error {
	ids := make([]uint32, len(groups)+1) // never empty, for the address
	for n, g := range groups {
		ids[n] = uint32(g)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&ids[0])), 0); e != 0 {
		return e
	}
	return nil
}
