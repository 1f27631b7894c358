package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is where a cgroup v2 hierarchy is mounted, and which of its groups that mount shows.
type mount struct{ root, point string }

// findMount reads /proc/self/mountinfo. The hierarchy may be mounted beside v1, at /sys/fs/cgroup/unified or anywhere else.
func findMount(mountinfo string) (mount, bool) {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if kind := strings.Fields(after); !ok || len(f) < 5 || len(kind) == 0 || kind[0] != "cgroup2" {
			continue
		}
		return mount{root: unescape(f[3]), point: unescape(f[4])}, true
	}
	return mount{}, false
}

// unescape undoes mountinfo's octal escapes of blanks, such as \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// findOwn is the group in the v2 hierarchy, from the text of /proc/PID/cgroup: the line of hierarchy 0.
func findOwn(cgroup string) (string, bool) {
	for line := range strings.Lines(cgroup) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return path, true
		}
	}
	return "", false
}

// under is the directory of a group; false if the mount does not show it.
func (m mount) under(group string) (string, bool) {
	rel, err := filepath.Rel(m.root, group)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

// Own is the directory of the caller's own cgroup.
func Own() (string, error) {
	m, own, err := self()
	if err != nil {
		return "", err
	}
	path, ok := m.under(own)
	if !ok {
		return "", &UnavailableError{Reason: "the mount " + m.point + " does not show this process's group " + own}
	}
	return path, nil
}

func self() (mount, string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mount{}, "", &UnavailableError{Reason: "/proc/self/mountinfo cannot be read", Err: err}
	}
	m, ok := findMount(string(info))
	if !ok {
		return mount{}, "", &UnavailableError{Reason: "no cgroup2 filesystem is mounted"}
	}
	groups, err := readSmall("/proc/self/cgroup")
	if err != nil {
		return mount{}, "", &UnavailableError{Reason: "/proc/self/cgroup cannot be read", Err: err}
	}
	own, ok := findOwn(string(groups))
	if !ok {
		return mount{}, "", &UnavailableError{Reason: "this process is not in a cgroup v2"}
	}
	return m, own, nil
}

// parents are the groups below which to create a new one: the caller's own first, which may be delegated to it, then the root.
func parents() ([]string, error) {
	m, own, err := self()
	if err != nil {
		return nil, err
	}
	if path, ok := m.under(own); ok && path != m.point {
		return []string{path, m.point}, nil
	}
	return []string{m.point}, nil
}
