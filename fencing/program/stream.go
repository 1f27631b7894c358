package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is Run for a program that takes or gives more than fits into memory: in, if not nil, is its standard input in place of
// c.Stdin, and its whole output goes to out. It never reads in, nor writes out, after it has returned, so it waits for a Read or Write
// that is running. It is an error if the program ends with code 0 without having read all of in, or if its output stays open.
func Stream(ctx context.Context, c Call, in io.Reader, out io.Writer) (Ended, error) {
	if context.Cause(ctx) != nil {
		return Ended{}, late(ctx)
	}
	stderr := &limited{most: mostOutput}
	cmd := c.command()
	cmd.Stderr = stderr
	p, err := connect(cmd, in, out)
	if err != nil {
		return Ended{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	err = p.end(ctx, cmd.Process.Pid)
	wait := cmd.Wait()
	ended := Ended{Code: -1, Stderr: stderr.String()}
	if cmd.ProcessState == nil {
		return ended, errors.Join(err, fmt.Errorf("wait for %s: %w", c.Path, wait))
	}
	if ended.Code = cmd.ProcessState.ExitCode(); ended.Code != 0 && !p.cut.Load() {
		return ended, nil // what did not flow came of that
	}
	return ended, err
}

// pipes are what a program's streams are connected to.
type pipes struct {
	in, out      *os.File    // our ends; in is nil where the program has no input
	cut          atomic.Bool // both copies end, whatever the program does
	fed, written chan error  // the results of both copies
}

// connect starts the program and both copies.
func connect(cmd *exec.Cmd, in io.Reader, out io.Writer) (_ *pipes, err error) {
	p := &pipes{fed: make(chan error, 1), written: make(chan error, 1)}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close() // the program has them, or does not run
		}
		if err != nil {
			p.close()
		}
	}()
	var end *os.File
	if p.out, end, err = os.Pipe(); err != nil {
		return nil, err
	}
	theirs, cmd.Stdout = append(theirs, end), end
	if in != nil {
		if end, p.in, err = os.Pipe(); err != nil {
			return nil, err
		}
		theirs, cmd.Stdin = append(theirs, end), end
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.fed <- p.feed(in) }()
	go func() { p.written <- p.drain(out) }()
	return p, nil
}

func (p *pipes) close() {
	for _, f := range []*os.File{p.in, p.out} {
		if f != nil {
			f.Close() // nothing was left to flow
		}
	}
}

func (p *pipes) feed(in io.Reader) error {
	if in == nil {
		return nil
	}
	if _, err := io.Copy(p.in, in); err != nil {
		return fmt.Errorf("its input was not read to the end: %w", errors.Join(err, p.in.Close()))
	}
	return p.in.Close()
}

// drain copies the output. The deadline that end sets tells it that the program has ended: then all output is in the pipe, and only a
// process that has left the group could hold it open.
func (p *pipes) drain(out io.Writer) error {
	buf := make([]byte, 64<<10)
	for ended := false; ; {
		n, err := p.out.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return fmt.Errorf("its output: %w", err)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && !ended:
			ended = true
		case err != nil:
			return fmt.Errorf("its output stayed open: %w", err)
		}
		if ended {
			_ = p.out.SetReadDeadline(time.Now().Add(drain))
		}
		if p.cut.Load() {
			return ErrLate
		}
	}
}

// end waits until the program has ended, without reaping it, and for both copies.
func (p *pipes) end(ctx context.Context, pid int) (err error) {
	defer p.close()
	long := time.Now().Add(-time.Second)
	over := make(chan error, 1)
	go func() { over <- exited(pid) }()
	stop := func() {
		p.cut.Store(true)
		_ = unix.Kill(-pid, unix.SIGKILL) // the program is not reaped yet, so its pid still names its group
		_ = p.out.SetReadDeadline(long)
		if p.in != nil {
			_ = p.in.SetWriteDeadline(long)
		}
		err = late(ctx)
	}
	done := ctx.Done()
	for waiting := 3; waiting > 0; {
		select {
		case <-done:
			done = nil
			stop()
		case gone := <-over:
			waiting--
			_ = unix.Kill(-pid, unix.SIGKILL)
			_ = p.out.SetReadDeadline(long)
			if p.in != nil {
				_ = p.in.SetWriteDeadline(long) // nothing of its group reads it
			}
			err = firstOf(err, gone)
		case fed := <-p.fed:
			waiting--
			err = firstOf(err, fed)
		case written := <-p.written:
			waiting--
			err = firstOf(err, written)
		}
	}
	return err
}

func firstOf(first, then error) error {
	if first != nil {
		return first
	}
	return then
}
