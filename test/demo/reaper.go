package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"mainstay/test/testbed"
)

// reaper ends what the demo started if the demo ends without doing so itself, however that is. It is a process in a session
// of its own, and knows by the end of a pipe that the demo has gone: the kernel closes it also after kill -9.
type reaper struct {
	cmd  *exec.Cmd
	pipe *os.File // held by the demo alone; its children do not inherit it
}

// dismissed is sent by the demo through the pipe when nothing is left to do.
const dismissed = "dismissed"

func startReaper(work string) (*reaper, error) {
	in, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe", "-reap", "-work", work)
	cmd.Args[0] = "demo-reaper"
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	return &reaper{cmd, pipe}, nil
}

// dismiss ends the reaper: the demo has ended everything itself.
func (r *reaper) dismiss() error {
	_, err := r.pipe.WriteString(dismissed)
	return errors.Join(err, r.pipe.Close(), r.cmd.Wait())
}

// reap is the reaper's life.
func reap(work string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if said, err := io.ReadAll(os.Stdin); string(said) == dismissed && err == nil {
		return nil
	}
	return testbed.Sweep(work)
}
