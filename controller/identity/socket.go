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
// The kernel counts the time for which it may not send as well: a peer that is well but reads nothing for so long, once its buffer is full,
// loses the connection too. So what is read from such a connection is taken at once, as wire.Client takes a whole answer before its caller
// sees it; and a controller whose disk stalls for so long while it takes a large snapshot of the log is sent that again.
const UserTimeout = 3 * time.Second

// keepAlive detects in about ten seconds that the peer of an idle connection is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// SetUserTimeout sets TCP_USER_TIMEOUT on a TCP connection, also inside TLS. d is rounded to milliseconds. UserTimeout says what it ends.
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
