package pgdial

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// ErrNoTLS is returned when TLS was asked for and the server has none. Whoever says so has answered.
var ErrNoTLS = errors.New("the server speaks no TLS")

// sslRequest is the code of PostgreSQL's SSLRequest message.
const sslRequest = 80877103

// Greet opens a new connection, asks for TLS by cfg.Secure, shakes hands if the server has it, and goes: a postmaster that
// hangs does not answer, one that lives forks a process for it. No account is named, and the server logs nothing.
func Greet(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultOnce) // or sooner
	defer cancel()
	conn, err := (&dialer{cfg: cfg, once: ctx}).DialContext(ctx, "tcp", cfg.place())
	if errors.Is(err, ErrNoTLS) {
		return nil
	}
	if err != nil {
		return &Error{cfg.place(), cfg.User, err}
	}
	defer conn.Close()
	if t, ok := conn.(*tls.Conn); ok && t.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, t) // what is unread when it closes would reset the connection, which is logged
	}
	return nil
}

// secured turns a fresh connection into one over TLS.
func secured(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	if _, err := raw.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, sslRequest)); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(raw, answer[:]); err != nil {
		return nil, fmt.Errorf("no answer to a new connection: %w", err)
	}
	switch answer[0] {
	case 'S':
	case 'N':
		return nil, ErrNoTLS
	default:
		return nil, errors.New("it answers, but cannot serve a new connection")
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}
