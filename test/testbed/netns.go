package testbed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Netns is a Network of network namespaces: one for each host, all on one bridge, at addresses 10.77.N.x. Packets from one to another can
// be dropped, all or some of them, and let through again (links.go). Only root may make one.
//
// Nothing in it outlives the process that made it for long: the number N is held by an abstract socket, which the kernel
// releases when the process ends, however it ends; the next user of N first removes the remains.
type Netns struct {
	n     int
	hosts []string
	held  net.Listener // the number N; Close closes it
}

// ErrNotAllowed is returned when this process may not make network namespaces.
var ErrNotAllowed = errors.New("network namespaces are not permitted: run as root, in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN")

// mostNetns bounds the number N; each is a subnet 10.77.N.0/24.
const mostNetns = 250

// NewNetns makes the bridge and a namespace for each of the hosts. The caller closes it, after the testbed that lives there.
func NewNetns(hosts ...string) (_ *Netns, err error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotAllowed
	}
	w, err := holdNumber(hosts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := w.sweep(); err != nil {
		return nil, fmt.Errorf("remove the remains of an earlier run of %s: %w", w.bridge(), err)
	}
	lines := []string{
		"link add " + w.bridge() + " type bridge",
		"addr add " + w.address(1) + "/24 dev " + w.bridge(),
		"link set " + w.bridge() + " up",
	}
	for i, h := range hosts {
		lines = append(lines,
			"netns add "+w.namespace(h),
			fmt.Sprintf("link add %s type veth peer name eth0 netns %s", w.port(i), w.namespace(h)),
			fmt.Sprintf("link set %s master %s", w.port(i), w.bridge()),
			"link set "+w.port(i)+" up")
	}
	if err := batch("", lines); err != nil {
		return nil, err
	}
	if err := w.filter(); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		if err := batch(w.namespace(h), []string{"link set lo up", "addr add " + w.Address(h) + "/24 dev eth0", "link set eth0 up"}); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// holdNumber takes the first N that no living process has.
func holdNumber(hosts []string) (*Netns, error) {
	for n := 1; n <= mostNetns; n++ {
		if l, err := net.Listen("unix", "@mainstay-netns-"+strconv.Itoa(n)); err == nil {
			return &Netns{n: n, hosts: hosts, held: l}, nil
		}
	}
	return nil, fmt.Errorf("all %d networks 10.77.N.0/24 are in use", mostNetns)
}

func (w *Netns) bridge() string { return fmt.Sprintf("msbr%d", w.n) }

func (w *Netns) namespace(host string) string { return fmt.Sprintf("ms%d-%s", w.n, host) }

// port is the bridge's end of a host's link.
func (w *Netns) port(i int) string { return fmt.Sprintf("ms%dp%d", w.n, i) }

func (w *Netns) address(last int) string { return fmt.Sprintf("10.77.%d.%d", w.n, last) }

// Address implements Network.
func (w *Netns) Address(host string) string { return w.address(11 + slices.Index(w.hosts, host)) }

// Command implements Network. It changes the network namespace alone, where `ip netns exec` would hide /sys/fs/cgroup as
// well, which the guards need; nsenter becomes the program, so the pid is the program's.
func (w *Netns) Command(host string, name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + w.namespace(host), "--", name}, args...)...)
}

// Processes lists all that runs on a host.
func (w *Netns) Processes(host string) []int {
	out, _ := exec.Command("ip", "netns", "pids", w.namespace(host)).Output()
	var found []int
	for field := range strings.FieldsSeq(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// Close removes the bridge, its filter and all namespaces. It is safe to call twice.
func (w *Netns) Close() error {
	err := w.sweep()
	w.held.Close()
	return err
}

// sweep removes whatever has the names of this network, and ends whatever still runs in its namespaces: after a testbed was
// closed nothing does, but a killed run leaves guards and PostgreSQL behind, on purpose.
func (w *Netns) sweep() error {
	out, err := exec.Command("ip", "netns", "list").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip netns list: %w: %s", err, out)
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(name, w.namespace("")) {
			continue
		}
		errs = append(errs, endAll(name))
		errs = append(errs, batch("", []string{"netns del " + name}))
	}
	errs = append(errs, w.unlink(), w.unfilter())
	if _, err := net.InterfaceByName(w.bridge()); err == nil {
		errs = append(errs, batch("", []string{"link del " + w.bridge()}))
	}
	return errors.Join(errs...)
}

// endAll kills what runs in a namespace until nothing is left: a process may be on its way into it, or just forked there.
func endAll(namespace string) error {
	for deadline := time.Now().Add(endLimit); ; {
		inside, err := exec.Command("ip", "netns", "pids", namespace).Output()
		fields := strings.Fields(string(inside))
		if err != nil || len(fields) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v in the network namespace %s do not end", fields, namespace)
		}
		for _, field := range fields {
			if pid, err := strconv.Atoi(field); err == nil {
				Signal(syscall.SIGKILL, pid) // one that ended meanwhile is as good
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// unlink removes our ends of the hosts' links. A namespace takes its end along, and so ours, but only once its last process
// has been reaped, which may be later than the next one is made.
func (w *Netns) unlink() error {
	links, err := net.Interfaces()
	errs := []error{err}
	for _, l := range links {
		if !strings.HasPrefix(l.Name, fmt.Sprintf("ms%dp", w.n)) {
			continue
		}
		err := batch("", []string{"link del " + l.Name})
		if _, gone := net.InterfaceByName(l.Name); gone == nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// batch runs lines of ip(8) in a namespace, or in the process's own for "".
func batch(namespace string, lines []string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "Operation not permitted") {
		return fmt.Errorf("%w: ip: %s", ErrNotAllowed, strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s (iproute2 is needed)", strings.Join(lines, "; "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// On runs a function on a host, and returns when it has: connections that it makes in its own goroutine are that host's.
func (w *Netns) On(host string, f func()) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			err = w.On(host, f) // the main thread says where the process lives: sweep would end it
			return
		}
		if err = w.enter(host); err == nil {
			f()
		}
	}()
	<-done
	return err
}

// enter moves the calling thread onto a host.
func (w *Netns) enter(host string) error {
	f, err := os.Open("/run/netns/" + w.namespace(host))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}
