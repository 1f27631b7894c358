package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's unit of CPU time in /proc: USER_HZ, which is 100 on all that Go runs on.
const tick = time.Second / 100

// Process is one process of the machine as /proc shows it.
type Process struct {
	PID, Parent int
	Started     uint64        // in ticks since boot; with PID it names the process
	CPU         time.Duration // of itself and of the children it has waited for
	Own         int64         // memory in bytes, but for what is shared: all of Mainstay is one binary, whose pages are there once
	Program     string        // path of its executable; "" for a kernel thread, for one that has ended, or where it may not be read
	Args        []string
	Label       string // the name that Take's caller gives to it, or to its parent
}

// Snapshot is all processes at a moment, by PID.
type Snapshot map[int]Process

// Take looks at every process. label names those that it knows, and returns "" for others: they have their parent's label.
func Take(label func(Process) string) (Snapshot, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes of this machine: %w", err)
	}
	s := Snapshot{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := read(pid); err == nil { // others have ended
			p.Label = label(p)
			s[pid] = p
		}
	}
	s.inherit()
	return s, nil
}

// inherit gives each process without a label that of its nearest ancestor with one.
func (s Snapshot) inherit() {
	for pid, p := range s {
		up := p
		for range len(s) {
			if up.Label != "" {
				break
			}
			parent, ok := s[up.Parent]
			if !ok {
				break
			}
			up = parent
		}
		p.Label = up.Label
		s[pid] = p
	}
}

func read(pid int) (Process, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(pid, raw)
	if err != nil {
		return p, err
	}
	p.Program, p.Args = program(pid)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if fields := strings.Fields(string(statm)); err == nil && len(fields) > 2 { // size, resident, shared
		shared, _ := strconv.ParseInt(fields[2], 10, 64)
		p.Own -= shared * int64(os.Getpagesize())
	}
	return p, err
}

// program is what a process runs by now.
func program(pid int) (path string, args []string) {
	path, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSuffix(path, " (deleted)"), strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
}

// parseStat reads /proc/PID/stat. The name in it may hold spaces and parentheses.
func parseStat(pid int, raw []byte) (Process, error) {
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 22 {
		return Process{}, fmt.Errorf("/proc/%d/stat is not understood: %q", pid, raw)
	}
	var errs []error
	number := func(field int) int64 { // numbered as in proc(5); 3 is the first after the name
		n, err := strconv.ParseInt(fields[field-3], 10, 64)
		errs = append(errs, err)
		return n
	}
	p := Process{PID: pid, Parent: int(number(4)), Started: uint64(number(22)), Own: number(24) * int64(os.Getpagesize())}
	p.CPU = time.Duration(number(14)+number(15)+number(16)+number(17)) * tick
	return p, errors.Join(errs...)
}

// same finds p in another snapshot: a zero Process if it is not there, whatever has its PID.
func (s Snapshot) same(p Process) (Process, bool) {
	if was, ok := s[p.PID]; ok && was.Started == p.Started {
		return was, true
	}
	return Process{}, false
}

// Spent is the CPU time of each label between two snapshots: of what lives at the end, and of the children that those have
// waited for. What a process had used before is not counted again when its parent, living on, has waited for it. Lost is
// what ended together with its parent.
func Spent(before, after Snapshot) map[string]time.Duration {
	spent := map[string]time.Duration{}
	for _, p := range after {
		was, _ := before.same(p)
		spent[p.Label] += p.CPU - was.CPU
	}
	for _, p := range before {
		if _, lives := after.same(p); lives {
			continue
		}
		parent, ok := before[p.Parent]
		if !ok {
			continue
		}
		if heir, lives := after.same(parent); lives {
			spent[heir.Label] -= p.CPU
		}
	}
	return spent
}

// Memory is the most own memory of a process of each label, in bytes.
func (s Snapshot) Memory() map[string]int64 {
	most := map[string]int64{}
	for _, p := range s {
		most[p.Label] = max(most[p.Label], p.Own)
	}
	return most
}

// PIDs lists the processes of a label.
func (s Snapshot) PIDs(wanted func(label string) bool) (found []int) {
	for pid, p := range s {
		if wanted(p.Label) {
			found = append(found, pid)
		}
	}
	return found
}

// Busy is the time that all CPUs together have worked since boot, in processes, the kernel and interrupts.
func Busy() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(raw))
}

func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks int64
	for i, field := range fields[1:8] { // user, nice, system, idle, iowait, irq, softirq
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, nil
}

// Loopback is what has been sent over the loopback interface since boot, in bytes, by everything on the machine. Unix
// sockets are not in it.
func Loopback() (int64, error) {
	raw, err := os.ReadFile("/sys/class/net/lo/statistics/tx_bytes")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
}

// Base is the name of the program that a process runs.
func (p Process) Base() string {
	if p.Program == "" {
		return ""
	}
	return filepath.Base(p.Program)
}
