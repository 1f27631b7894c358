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

// ErrNoTLS is returned when TLS is required and the server has none. It is an answer of the server.
var ErrNoTLS = errors.New("the server speaks no TLS")

// sslRequest is the code of PostgreSQL's SSLRequest message.
const sslRequest = 80877103

// Greet opens a new connection, requests TLS by cfg.Secure, does the handshake if the server has TLS, and closes: a postmaster that hangs
// does not answer, a working one forks a process for it. It names no account, and the server logs nothing.
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
		_, _ = io.Copy(io.Discard, t) // closing with unread data would reset the connection, which the server logs
	}
	return nil
}

// secured makes a TLS connection over a new connection.
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
