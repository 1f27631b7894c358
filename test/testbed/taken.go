package testbed

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// subnets is how many of them a testbed tries before it gives up.
const subnets = 20

// TakenError is returned by New where no subnet has all the addresses that the testbed needs.
type TakenError struct {
	Address string // the first one that was found taken, host:port
	Err     error  // from the attempt to listen there
	PID     int    // of the process that listens there, 0 if it is not known
	Command string // its arguments
	Tried   int    // subnets
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s is taken by %s (%d subnets of 127.77.0.0/16 were tried)", e.Address, e.By(), e.Tried)
}

// Unwrap returns the cause.
func (e *TakenError) Unwrap() error { return e.Err }

// By names the process.
func (e *TakenError) By() string {
	if e.PID == 0 {
		return "another process (as root, ss -ltnp names it)"
	}
	return strings.TrimSpace(fmt.Sprintf("process %d %s", e.PID, e.Command))
}

// freeSubnet lays the hosts out on the first subnet, from the process's own on, whose addresses nothing listens on. It tries that many.
func (s *Testbed) freeSubnet(most int) error {
	var first *TakenError
	for try := range most {
		s.Subnet = 1 + (os.Getpid()+try)%200
		s.Hosts = nil
		s.layout()
		taken := s.taken()
		if taken == nil {
			return nil
		}
		if first == nil {
			first = taken
		}
	}
	first.Tried = most
	return first
}

// taken is the first address of the testbed on which it cannot listen; nil for none.
func (s *Testbed) taken() *TakenError {
	for _, h := range s.Hosts {
		for _, port := range h.ports() {
			address := net.JoinHostPort(h.Address, port)
			l, err := net.Listen("tcp", address)
			if err != nil {
				e := &TakenError{Address: address, Err: err}
				e.PID, e.Command = listener(h.Address, port)
				return e
			}
			l.Close()
		}
	}
	return nil
}

// ports are those on which something of the host listens.
func (h Host) ports() (ports []string) {
	if h.Controller != "" {
		ports = append(ports, controllerPort, controllerMetrics)
	}
	if h.Controller == "" || h.Member != "" || h.App != "" {
		ports = append(ports, AgentPort, agentHealth)
	}
	if h.Member != "" {
		ports = append(ports, memberPort)
	}
	if h.App != "" {
		ports = append(ports, AppPort)
	}
	return ports
}

// listener finds the process that listens on an address, or on that port of all addresses; 0 if it cannot be known.
func listener(host, port string) (pid int, command string) {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, host, port, inodes)
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	for _, pid := range append(pids(), os.Getpid()) {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			to, err := os.Readlink(fd)
			if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok && inodes[strings.TrimSuffix(inode, "]")] {
				raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				return pid, shown(string(raw))
			}
		}
	}
	return 0, ""
}

// shown is a process's arguments in parentheses, cut if they are very long.
func shown(cmdline string) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(cmdline, "\x00", " ")), " ")
	const most = 100
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "..."
	}
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// listening adds the inodes of the sockets of one of the kernel's tables that listen on the port, of that address or of all. An address
// there is hexadecimal, each four bytes of it in the machine's order.
func listening(table, host, port string, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	number, _ := strconv.Atoi(port)
	ip := net.ParseIP(host).To4()
	if ip == nil {
		return
	}
	mine := fmt.Sprintf("%08X", binary.NativeEndian.Uint32(ip))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" { // TCP_LISTEN
			continue
		}
		address, p, _ := strings.Cut(fields[1], ":")
		all := strings.Trim(address, "0") == ""
		if (all || strings.HasSuffix(address, mine)) && p == fmt.Sprintf("%04X", number) {
			inodes[fields[9]] = true
		}
	}
}
