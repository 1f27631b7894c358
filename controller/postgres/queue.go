package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queued looks for connections over TCP that wait at a port of a process's network namespace: the receive queue of a listening socket
// counts those not taken yet.
func queued(pid, port int) bool {
	waiting, err := askQueue(pid, port)
	if err != nil { // another namespace, or a kernel without sock_diag
		return queuedInTable(pid, port)
	}
	return waiting
}

// diagTimeout bounds each answer of the kernel.
const diagTimeout = 100 * time.Millisecond

// askQueue asks the kernel for the listening sockets of a port (sock_diag(7)). The tables below /proc would do, but to read them the kernel
// walks its whole hash of connections, which on a large host is most of what an idle agent costs.
func askQueue(pid, port int) (waiting bool, err error) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false, err
	}
	if theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || theirs != ours {
		return false, errors.Join(errors.New("the process is in another network namespace"), err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(diagTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return false, err
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, listening(family, port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return false, err
		}
		n, err := waitingAt(fd)
		if n > 0 || err != nil {
			return n > 0, err
		}
	}
	return false, nil
}

// Offsets into the messages of linux/inet_diag.h, behind the header of netlink(7).
const (
	diagPort    = 8  // inet_diag_req_v2.id.idiag_sport, in network byte order
	diagStates  = 4  // inet_diag_req_v2.idiag_states, a bit for each
	diagRequest = 56 // bytes of an inet_diag_req_v2
	diagQueue   = 56 // inet_diag_msg.idiag_rqueue
	diagAnswer  = 72 // bytes of an inet_diag_msg
	stateListen = 10 // TCP_LISTEN
)

// listening is the request for a family's listening sockets at a port.
func listening(family byte, port int) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := b[unix.NLMSG_HDRLEN:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[diagStates:], 1<<stateListen)
	binary.BigEndian.PutUint16(body[diagPort:], uint16(port))
	return b
}

// waitingAt reads the answer to the end, and counts the connections that wait.
func waitingAt(fd int) (n uint32, err error) {
	buf := make([]byte, 32<<10)
	for {
		size, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return 0, err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:size])
		if err != nil {
			return 0, err
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return n, nil
			case m.Header.Type == unix.SOCK_DIAG_BY_FAMILY && len(m.Data) >= diagAnswer:
				n += binary.NativeEndian.Uint32(m.Data[diagQueue:])
			default:
				return 0, fmt.Errorf("sock_diag: unexpected message of type %d", m.Header.Type)
			}
		}
	}
}

// tcpListen is the state of a listening socket in the tables.
const tcpListen = "0A"

// mostSockets bounds what is read of a table of sockets: the listening ones come first.
const mostSockets = 64 << 10

func queuedInTable(pid, port int) bool {
	local := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(io.LimitReader(f, mostSockets))
		lines.Scan() // the heading
		for lines.Scan() {
			cols := strings.Fields(lines.Text()) // sl, local, remote, state, tx_queue:rx_queue
			if len(cols) < 5 || cols[3] != tcpListen {
				break
			}
			if strings.HasSuffix(cols[1], local) && !strings.HasSuffix(cols[4], ":00000000") {
				f.Close()
				return true
			}
		}
		f.Close()
	}
	return false
}
