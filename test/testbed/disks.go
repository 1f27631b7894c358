package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disks are filesystems of their own (Options.Disks), each in a file of the testbed that is mounted by a loop device, so
// that one can be full or hang and no other notices.
//
// A frozen one outlives everything: a process that writes there cannot even be killed. So Close thaws before it ends anything,
// and what a killed run left is thawed and removed by the next one: the testbed's folder is held by an abstract socket,
// which the kernel gives back when the process ends, however it ends.
type disks struct {
	dir    string            // of the images
	mounts map[string]string // mount point by member or controller
	held   net.Listener      // nil if there are no disks
}

const (
	imagePrefix = "mainstay-disk-"
	ballast     = "ballast"
	mountLimit  = 30 * time.Second // for mkfs, mount, freeze and the like, on a busy machine
)

// makeDisks makes and mounts what Options.Disks asks for: a member's data directory lies on it, or all a controller has.
func (s *Testbed) makeDisks() error {
	if len(s.Disks) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: disks", ErrNotAllowed)
	}
	errs := []error{sweepDisks()}
	s.disks = disks{dir: s.path("disks"), mounts: map[string]string{}}
	var err error
	if s.disks.held, err = net.Listen("unix", holder(s.disks.dir)); err != nil {
		return err
	}
	for name, size := range s.Disks {
		at := s.path("disks", name)
		if s.Host(name).Controller == name {
			at = s.path("controller-" + name)
		} else {
			data := filepath.Join(at, "data")
			s.Own[name] = Own{Data: data, Socket: s.Own[name].Socket, Agent: "{data: " + data + "}"}
		}
		errs = append(errs, s.disks.mount(name, at, size))
	}
	return errors.Join(errs...)
}

func (d *disks) mount(name, at string, size int) error {
	image := filepath.Join(d.dir, imagePrefix+name+".img")
	if err := errors.Join(os.MkdirAll(at, 0o755), os.MkdirAll(d.dir, 0o755)); err != nil {
		return err
	}
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(size)<<20), f.Close(), system("mkfs.ext4", "-q", "-m", "0", image),
		system("mount", "-o", "loop", image, at)); err != nil {
		return err
	}
	d.mounts[name] = at
	u, err := user.Lookup(Owner())
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return os.Chown(at, uid, gid)
}

// Freeze makes every write to the disk of a member or controller hang; Thaw lets them continue.
func (s *Testbed) Freeze(name string) error { return s.onDisk(name, "fsfreeze", "-f") }

// Thaw ends a Freeze. It may be called for a disk that is not frozen.
func (s *Testbed) Thaw(name string) error {
	if err := s.onDisk(name, "fsfreeze", "-u"); err != nil && !strings.Contains(err.Error(), "Invalid argument") {
		return err
	}
	return nil
}

func (s *Testbed) onDisk(name, program, option string) error {
	at := s.disks.mounts[name]
	if at == "" {
		return fmt.Errorf("%s has no disk of its own (Options.Disks)", name)
	}
	return system(program, option, at)
}

// Fill takes all the space that a member's or controller's disk has left; Empty gives it back.
func (s *Testbed) Fill(name string) error {
	at := s.disks.mounts[name]
	f, err := os.OpenFile(filepath.Join(at, ballast), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	end := int64(0)
	for step := int64(st.Bavail) * st.Bsize; step >= st.Bsize; {
		switch err := unix.Fallocate(int(f.Fd()), 0, end, step); {
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case err != nil:
			return fmt.Errorf("fill %s: %w", at, err)
		default:
			end += step
		}
	}
	return nil
}

// Empty removes what Fill wrote.
func (s *Testbed) Empty(name string) error {
	err := os.Remove(filepath.Join(s.disks.mounts[name], ballast))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// thawAll lets the hanging processes continue, or end.
func (s *Testbed) thawAll() error {
	var errs []error
	for name := range s.disks.mounts {
		errs = append(errs, s.Thaw(name))
	}
	return errors.Join(errs...)
}

// removeDisks unmounts all disks, once nothing uses them any more. It is safe to call twice.
func (s *Testbed) removeDisks() error {
	var errs []error
	for name, at := range s.disks.mounts {
		errs = append(errs, system("umount", at))
		delete(s.disks.mounts, name)
	}
	if s.disks.held != nil {
		s.disks.held.Close()
	}
	return errors.Join(errs...)
}

// holder is the abstract socket that a living testbed with disks has.
func holder(dir string) string { return "@mainstay-disks-" + dir }

// sweepDisks thaws and unmounts the disks of ended runs. Processes that still run there end with them, or with the
// network it lived in.
func sweepDisks() error {
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	errs := []error{err}
	for _, file := range loops {
		raw, err := os.ReadFile(file)
		image := strings.TrimSuffix(strings.TrimSpace(string(raw)), " (deleted)")
		if err != nil || !strings.HasPrefix(filepath.Base(image), imagePrefix) {
			continue
		}
		free, err := net.Listen("unix", holder(filepath.Dir(image)))
		if err != nil {
			continue // its testbed lives
		}
		for _, at := range mountedFrom("/dev/" + strings.Split(file, "/")[3]) {
			_ = system("fsfreeze", "-u", at) // it may not be frozen
			errs = append(errs, system("umount", "-l", at))
		}
		free.Close()
	}
	return errors.Join(errs...)
}

// mountedFrom lists the mount points of a device.
func mountedFrom(device string) (at []string) {
	raw, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == device {
			at = append(at, fields[1])
		}
	}
	return at
}

// system runs a program of the system to its end.
func system(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), mountLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
