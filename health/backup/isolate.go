package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a scratch instance is kept from, in the record. Replaying WAL is not harmless: a record that creates a tablespace names a folder of
// this host, and replay takes that into use, also where it is the running member's own.
const (
	isolatedNetwork = "a network of its own without any interface"
	isolatedFiles   = "all files but its copy read-only"
	isolatedTree    = "processes of its own that end with it"
	isolatedTCP     = "no TCP"
	isolatedSocket  = "a unix socket only"
)

// isolation is what a scratch instance could be given.
type isolation struct {
	network, files, tree, tcp bool     // tcp: that it has none
	refused                   []string // by the kernel, or for want of rights
}

func (i isolation) String() string {
	var all []string
	for _, part := range []struct {
		has  bool
		text string
	}{{i.network, isolatedNetwork}, {i.files, isolatedFiles}, {i.tree, isolatedTree},
		{i.tcp, isolatedTCP}, {!i.network, isolatedSocket}} {
		if part.has {
			all = append(all, part.text)
		}
	}
	text := strings.Join(all, ", ")
	if len(i.refused) > 0 {
		text += " (refused: " + strings.Join(i.refused, "; ") + ")"
	}
	return text
}

// isolate gives the calling thread, which must end afterwards, and the processes that it starts, a network of their own and read-only files
// but for the writable folders. What is refused is left out and named.
func isolate(writable []string) (i isolation) {
	if os.Geteuid() == 0 {
		i.tree = true
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWIPC); err != nil {
			i.refused = append(i.refused, fmt.Sprintf("network: %v", err))
		} else {
			i.network = true
		}
		if err := confine(writable); err != nil {
			i.refused = append(i.refused, fmt.Sprintf("mounts: %v", err))
		} else {
			i.files = true
		}
	}
	if i.files {
		return i
	}
	tcp, err := lock(writable)
	if err != nil {
		i.refused = append(i.refused, err.Error())
	}
	i.files, i.tcp = err == nil, tcp
	return i
}

// confine makes all files read-only for this thread, but those below the folders.
func confine(writable []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, dir := range writable {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return &os.PathError{Op: "bind", Path: dir, Err: err}
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	for _, dir := range writable {
		err := unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		if err != nil {
			return &os.PathError{Op: "make writable", Path: dir, Err: err}
		}
	}
	return nil
}

// attributes are those of a scratch instance's first process. With processes of its own it is their init: when it ends, for whatever
// reason, the kernel ends all others. It ends with this thread.
func (i isolation) attributes(as *syscall.Credential) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Credential: as, Pdeathsig: syscall.SIGKILL}
	if i.tree {
		a.Cloneflags = unix.CLONE_NEWPID
	}
	return a
}

// without tells whether a start that failed may be tried without processes of its own.
func (i *isolation) without(err error) bool {
	if !i.tree || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSPC) {
		return false
	}
	i.tree = false
	i.refused = append(i.refused, fmt.Sprintf("processes: %v", err))
	return true
}
