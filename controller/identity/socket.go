package identity

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UserTimeout is how long sent data may stay unacknowledged before the kernel closes a connection. Without it, the connection to a peer
// that vanished stays open for a quarter of an hour.
//
// The kernel also counts the time in which it cannot send: a healthy peer that reads nothing for that long, once its buffer is full, loses
// the connection too. So readers take incoming data at once: wire.Client reads a whole answer before its caller sees it. A controller whose
// disk stalls for that long while it receives a large snapshot of the log gets the snapshot again.
const UserTimeout = 3 * time.Second

// keepAlive detects in about ten seconds that the peer of an idle connection is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// SetUserTimeout sets TCP_USER_TIMEOUT on a TCP connection, also inside TLS. d is rounded to milliseconds. See UserTimeout for its effects.
func SetUserTimeout(conn net.Conn, d time.Duration) error {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %T is not a socket", conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err = errors.Join(err, serr); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}
