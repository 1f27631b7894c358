package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heard collects what a Mux refused.
type heard chan error

func (h heard) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("nothing was refused")
		return nil
	}
}

func listen(t *testing.T, s *Store, opts ...Option) (*Mux, heard) {
	t.Helper()
	h := make(heard, 1000)
	opts = append(opts, OnRefused(func(_ net.Addr, err error) { h <- err }))
	m, err := Listen("127.0.0.1:0", s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, h
}

func TestMuxServesHTTPAndRaftOnOnePort(t *testing.T) {
	w := newWorld(t, "social")
	m, _ := listen(t, w.store(RoleController, "c1"))
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, err := IDOf(r)
		fmt.Fprint(rw, id, err)
	})}
	go srv.Serve(m.HTTP())
	t.Cleanup(func() { srv.Close() })

	agent := w.store(RoleAgent, "a")
	tr := &http.Transport{TLSClientConfig: agent.ClientConfig(RoleController, "c1", ProtoHTTP)}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://" + m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "mainstay://social/agent/a <nil>" {
		t.Errorf("the handler saw %q", body)
	}

	conn, err := Dial(t.Context(), m.Addr().String(), w.store(RoleController, "c2"), ProtoRaft, RoleController, "c1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := m.Raft().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if id, err := IDOfConn(got); err != nil || id != (ID{"social", RoleController, "c2"}) {
		t.Errorf("raft peer %v, %v", id, err)
	}
	if ms := userTimeout(t, got); ms != int(UserTimeout.Milliseconds()) {
		t.Errorf("TCP_USER_TIMEOUT of the accepted connection: %d ms", ms)
	}
	if ms := userTimeout(t, conn); ms != int(UserTimeout.Milliseconds()) {
		t.Errorf("TCP_USER_TIMEOUT of the dialled connection: %d ms", ms)
	}
}

func userTimeout(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(*tls.Conn).NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	raw.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// TestUserTimeoutEndsSlowReaders: a peer that reads nothing loses the connection, though its kernel answers. So all that is read from such
// a connection must be taken at once.
func TestUserTimeoutEndsSlowReaders(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reader, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := errors.Join(SetUserTimeout(writer, 500*time.Millisecond), writer.SetWriteDeadline(time.Now().Add(30*time.Second))); err != nil {
		t.Fatal(err)
	}
	for some := make([]byte, 1<<20); err == nil; {
		_, err = writer.Write(some)
	}
	if !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("a reader that does not read: %v", err)
	}
}

func TestMuxRefuses(t *testing.T) {
	w := newWorld(t, "social")
	m, refused := listen(t, w.store(RoleController, "c1"))

	t.Run("raft from an agent", func(t *testing.T) {
		conn, err := Dial(t.Context(), m.Addr().String(), w.store(RoleAgent, "a"), ProtoRaft, RoleController, "")
		if err == nil {
			defer conn.Close()
		}
		expect(t, "mux", refused.wait(t), "presented mainstay://social/agent/a, wanted controller of", false)
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		cfg := w.store(RoleAgent, "b").ClientConfig(RoleController, "")
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if c, err := tls.Dial("tcp", m.Addr().String(), cfg); err == nil {
			c.Close()
			t.Error("TLS 1.2 was spoken")
		}
		refused.wait(t)
	})
	t.Run("no certificate", func(t *testing.T) {
		c, err := tls.Dial("tcp", m.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			defer c.Close()
		}
		if err := refused.wait(t); !strings.Contains(err.Error(), "certificate") {
			t.Error(err)
		}
	})
}

// dialFrom connects from a loopback address; nil where the flood has just pushed it out.
func dialFrom(t *testing.T, from string, m *Mux) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shakeFrom completes a handshake from a loopback address, and has the listener's word that it was taken.
func shakeFrom(t *testing.T, from string, m *Mux, config *tls.Config) error {
	t.Helper()
	c := tls.Client(dialFrom(t, from, m), config)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.Handshake(); err != nil {
		return err
	}
	taken, err := m.HTTP().Accept()
	if err == nil {
		defer taken.Close()
		_, err = taken.Write([]byte("x"))
	}
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return err
}

// TestFloodKeepsNoHostOut: eight addresses without a certificate take every place for a handshake, and more. A host that was never
// seen gets in all the same, one that was seen as well, and even one that shares its address with the flood.
func TestFloodKeepsNoHostOut(t *testing.T) {
	w := newWorld(t, "social")
	m, refused := listen(t, w.store(RoleController, "c1"), func(m *Mux) { m.timeout = time.Hour })
	config := w.store(RoleAgent, "a").ClientConfig(RoleController, "c1", ProtoHTTP)
	if err := shakeFrom(t, "127.0.0.2", m, config); err != nil {
		t.Fatal(err)
	}
	flood := []string{"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5", "127.0.1.6", "127.0.1.7", "127.0.0.2"}
	for range maxHandshakesPer + 1 {
		for _, from := range flood {
			c := dialFrom(t, from, m)
			defer c.Close()
		}
	}
	if err := refused.wait(t); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	for _, from := range []string{"127.0.0.3", "127.0.0.3", "127.0.0.2", "127.0.1.1"} {
		if err := shakeFrom(t, from, m, config); err != nil {
			t.Errorf("%s is kept out: %v", from, err)
		}
	}
}

func TestHandshakeHasADeadline(t *testing.T) {
	w := newWorld(t, "social")
	m, refused := listen(t, w.store(RoleController, "c1"), func(m *Mux) { m.timeout = 50 * time.Millisecond })
	c, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := refused.wait(t); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want a deadline, have %v", err)
	}
}

func TestCloseEndsHandshakesAndWaitingConnections(t *testing.T) {
	w := newWorld(t, "social")
	m, _ := listen(t, w.store(RoleController, "c1"))
	silent, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	waiting, err := Dial(t.Context(), m.Addr().String(), w.store(RoleController, "c2"), ProtoRaft, RoleController, "c1")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("Close hangs")
	}
	for _, c := range []net.Conn{silent, waiting} {
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("still open: %v", err)
		}
	}
	if _, err := m.HTTP().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestQueueNeverBlocks(t *testing.T) {
	q := newQueue(&net.TCPAddr{})
	for range backlog {
		a, b := net.Pipe()
		defer b.Close()
		if err := q.put(a); err != nil {
			t.Fatal(err)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := q.put(a); !errors.Is(err, ErrBusy) {
		t.Errorf("a full queue: %v", err)
	}
	q.Close()
	if err := q.put(a); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed queue: %v", err)
	}
}

func TestDialNamesWhatIsWrong(t *testing.T) {
	w := newWorld(t, "social")
	m, _ := listen(t, w.store(RoleController, "c1"))
	_, err := Dial(t.Context(), m.Addr().String(), w.store(RoleAgent, "a"), ProtoHTTP, RoleController, "c9")
	var pe *PeerError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "connect to controller c9 "+m.Addr().String()) {
		t.Error(err)
	}
	m.Close()
	if _, err = Dial(t.Context(), m.Addr().String(), w.store(RoleAgent, "a"), ProtoHTTP, RoleController, "c1"); !errors.Is(err,
		syscall.ECONNREFUSED) {
		t.Error(err)
	}
}
