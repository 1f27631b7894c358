package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// UnavailableError is returned when this host or this process cannot have a cgroup of its own. The member can still be
// fenced by its Tree, but a process that detached itself from the tree escapes: the agent reports the difference (L2).
type UnavailableError struct {
	Reason string
	Err    error // nil if the reason is complete
}

func (e *UnavailableError) Error() string {
	s := "the member's processes have no cgroup v2: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; mount cgroup2 and start the agent as root or in a unit with Delegate=yes"
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Cgroup is one group of a cgroup v2 hierarchy. It exists only in the kernel; no call waits for a disk. A removed group counts as
// empty: only an empty one can be removed.
type Cgroup struct{ path string }

// Create makes the cgroup name below the caller's own, or below the root of the hierarchy if its own is not writable; an existing one
// is used. A caller that was started elsewhere in the hierarchy gets another cgroup for the same name: keep Path, and use
// OpenCgroup for members that run.
func Create(name string) (*Cgroup, error) {
	if name == "" || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "cgroup.") {
		return nil, fmt.Errorf("%q is not a valid cgroup name: want one path element such as mainstay-feed-e1", name)
	}
	parents, err := parents()
	if err != nil {
		return nil, err
	}
	var last error
	for _, parent := range parents {
		path := filepath.Join(parent, name)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			last = err
			continue
		}
		c, err := OpenCgroup(path)
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, &UnavailableError{Reason: "no cgroup can be created", Err: last}
}

// CgroupName is the name of the cgroup for a member, or an app server, with a folder of this host; another folder gives another
// name.
func CgroupName(of, dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "mainstay-" + of + "-" + hex.EncodeToString(sum[:3])
}

// Find searches the whole hierarchy for the cgroups of a name, for a caller that was not started where their creator was.
func Find(name string) ([]*Cgroup, error) {
	m, _, err := self()
	if err != nil {
		return nil, err
	}
	var found []*Cgroup
	err = filepath.WalkDir(m.point, func(path string, d fs.DirEntry, err error) error {
		if absent(err) || err == nil && (!d.IsDir() || d.Name() != name) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := OpenCgroup(path)
		if err == nil {
			found = append(found, c)
		}
		return err
	})
	if err != nil {
		return found, fmt.Errorf("look for the cgroup %s: %w", name, err)
	}
	return found, nil
}

// OpenCgroup checks that path is a cgroup v2 whose processes the caller may add to and kill.
func OpenCgroup(path string) (*Cgroup, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return nil, &UnavailableError{Reason: path, Err: err}
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, &UnavailableError{Reason: path + " is not in a cgroup v2 hierarchy"}
	}
	if kind, err := readSmall(path + "/cgroup.type"); err != nil || !strings.HasPrefix(string(kind), "domain") ||
		strings.Contains(string(kind), "invalid") {
		return nil, &UnavailableError{Reason: fmt.Sprintf("%s has the type %q, not domain", path, strings.TrimSpace(string(kind))), Err: err}
	}
	for _, file := range []string{"cgroup.procs", "cgroup.kill"} {
		if err := unix.Access(filepath.Join(path, file), unix.W_OK); err != nil {
			return nil, &UnavailableError{Reason: path + "/" + file + " (cgroup.kill needs Linux 5.14)", Err: err}
		}
	}
	return &Cgroup{path: path}, nil
}

// Path is the cgroup's directory; OpenCgroup takes it.
func (c *Cgroup) Path() string { return c.path }

// OpenFD opens the cgroup for syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}, so that a process starts
// inside and never outside. The caller closes the file.
func (c *Cgroup) OpenFD() (*os.File, error) {
	f, err := os.OpenFile(c.path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the member's cgroup: %w", err)
	}
	return f, nil
}

// Add moves one running process, not its children, into the cgroup.
func (c *Cgroup) Add(pid int) error {
	if err := writeSmall(c.path+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("move process %d into the member's cgroup: %w", pid, err)
	}
	return nil
}

// Pids lists the processes of the cgroup and of those below it; zombies are not among them.
func (c *Cgroup) Pids() ([]int, error) {
	var pids []int
	err := filepath.WalkDir(c.path, func(path string, d fs.DirEntry, err error) error {
		if absent(err) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path + "/cgroup.procs")
		if absent(err) {
			return nil
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the processes of the member's cgroup: %w", err)
	}
	return pids, nil
}

// Populated tells whether any process of the cgroup, or below it, has not yet released its files. Unlike Pids it also counts
// processes that another pid namespace hides.
func (c *Cgroup) Populated() (bool, error) {
	b, err := readSmall(c.path + "/cgroup.events")
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("read the state of the member's cgroup: %w", err)
	}
	return strings.Contains(string(b), "populated 1"), nil
}

// Kill ends every process of the cgroup and below it, stopped and frozen ones too, and those being forked (L2). It
// returns before they have ended. A cgroup that holds the caller is refused.
func (c *Cgroup) Kill() error {
	own, err := Own()
	if err == nil && (own == c.path || strings.HasPrefix(own, c.path+"/")) {
		return fmt.Errorf("kill the cgroup %s: this process is in it; start it outside of the member's cgroup", c.path)
	}
	if err := writeSmall(c.path+"/cgroup.kill", "1"); err != nil && !absent(err) {
		return fmt.Errorf("kill the member's cgroup: %w", err)
	}
	return nil
}

// Remove removes the cgroup and those below it; it fails while any process is left.
func (c *Cgroup) Remove() error {
	var dirs []string
	err := filepath.WalkDir(c.path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = unix.Rmdir(dirs[i])
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the cgroup %s: %w", c.path, err)
	}
	return nil
}

// absent tells whether err means that the cgroup was removed, before or after its file was opened.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

func writeSmall(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(value))
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}
