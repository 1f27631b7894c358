package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	controlRead   = 5 * time.Second // for a request to arrive
	DefaultVerify = 2 * time.Minute // limit of a verify, unless the request has its own
)

// Request is one line to the control socket; the answer is one line too, a Response.
type Request struct {
	Verb    string        `json:"verb"`              // report, mark, verify or stop
	Since   string        `json:"since,omitempty"`   // report: a token of mark; empty is the start of the run
	Timeout time.Duration `json:"timeout,omitempty"` // verify: default DefaultVerify
}

// Response has Error or what was asked for. stop ends the run and answers with the report of all of it.
type Response struct {
	Error        string        `json:"error,omitempty"`
	Token        string        `json:"token,omitempty"`
	Report       *Report       `json:"report,omitempty"`
	Verification *Verification `json:"verification,omitempty"`
}

// ListenControl opens the control socket, for its owner only. A socket that a dead process left is replaced; one that is
// answered is not.
func ListenControl(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket %s belongs to a running load client: stop it, or name another with -socket", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// ServeControl answers on l until ctx ends or the run does, then waits for the running requests and closes l.
func ServeControl(ctx context.Context, l net.Listener, c *Client) error {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	open.Go(func() {
		select {
		case <-ctx.Done():
		case <-c.Done():
		}
		l.Close()
	})
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		open.Go(func() { c.serve(ctx, conn) })
	}
}

func (c *Client) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(controlRead))
	var q Request
	var a Response
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &q)
	}
	if err == nil {
		a, err = c.answer(ctx, q)
	}
	if err != nil {
		a = Response{Error: err.Error()}
	}
	conn.SetWriteDeadline(time.Now().Add(controlRead))
	json.NewEncoder(conn).Encode(a)
}

func (c *Client) answer(ctx context.Context, q Request) (a Response, err error) {
	switch q.Verb {
	case "mark":
		return Response{Token: c.Mark()}, nil
	case "stop":
		if err := c.Stop(); err != nil {
			return a, err
		}
		fallthrough
	case "report":
		r, err := c.Report(q.Since)
		return Response{Report: &r}, err
	case "verify":
		if q.Timeout <= 0 {
			q.Timeout = DefaultVerify
		}
		ctx, cancel := context.WithTimeout(ctx, q.Timeout)
		defer cancel()
		v, err := c.Verify(ctx)
		return Response{Verification: &v}, err
	}
	return a, fmt.Errorf("there is no verb %q: use report, mark, verify or stop", q.Verb)
}

// Ask sends one request to a control socket. An error of the other side is returned as one.
func Ask(ctx context.Context, socket string, q Request) (a Response, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return a, fmt.Errorf("reach the load client (check that it runs with this -socket): %w", err)
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		conn.SetDeadline(until)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return a, fmt.Errorf("ask the load client: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return a, fmt.Errorf("read the load client's answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}
