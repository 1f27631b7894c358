// Package program runs the programs that an operator names (fence agents, checks of app servers), each within a deadline, and
// leaves no process of their group behind.
//
// It must never put a secret on a command line, and never give a program Mainstay's own environment: a program gets a PATH and the
// variables that the caller adds. A Call enters by Run; its exit code and the beginning of its output leave.
package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mostOutput = 64 << 10               // of each stream; metadata of fence agents is up to 20 KiB
	drain      = 500 * time.Millisecond // for the output of a program that was killed
)

// Call is one run of a program.
type Call struct {
	Path  string // absolute
	Args  []string
	Stdin string              // parameters; never on the command line, which every user may read
	Env   []string            // beside PATH and the language, which is C
	Dir   string              // "" is /
	As    *syscall.Credential // nil is the caller's own
	// Stop is sent to the group when ctx ends, so that a program can tidy up; SIGKILL follows after StopGrace. 0 is SIGKILL at once.
	Stop syscall.Signal
	Most int               // bytes kept of each stream; 0 is 64 KiB
	Line func(line string) // told each line of the standard output as it comes; must not block. May be nil
}

// Ended is the result of a run.
type Ended struct {
	Code   int // exit code; -1 if a signal ended it
	Stdout string
	Stderr string
	Cut    bool // one of the streams was longer than what is kept of it
}

// StopGrace is how long a program that got a Call's Stop may take to end.
const StopGrace = 10 * time.Second

// ErrLate is returned when a program had not ended in time and was killed.
var ErrLate = errors.New("did not answer in time and was killed")

// Run executes a program at most until ctx ends. Then it kills the whole process group, also if the program itself ended in time.
// An exit code is not an error. While the kernel holds a process, Run does not return: see Apart.
func Run(ctx context.Context, c Call) (Ended, error) {
	if err := context.Cause(ctx); err != nil {
		return Ended{}, late(ctx)
	}
	cmd := c.command()
	most := cmp.Or(c.Most, mostOutput)
	stdout, stderr := &limited{most: most, line: c.Line}, &limited{most: most}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return Ended{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	over := make(chan error, 1)
	go func() { over <- exited(cmd.Process.Pid) }()
	var err error
	select {
	case err = <-over:
	case <-ctx.Done():
		err = late(ctx)
		stop(cmd.Process.Pid, c.Stop, over)
	}
	// The program is not reaped yet, so its pid still names its group.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	if wait := cmd.Wait(); err == nil && cmd.ProcessState == nil {
		err = fmt.Errorf("wait for %s: %w", c.Path, wait)
	}
	if err != nil {
		return Ended{Stdout: stdout.String(), Stderr: stderr.String(), Cut: stdout.cut || stderr.cut}, err
	}
	return Ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), stdout.cut || stderr.cut}, nil
}

// ErrStuck is returned when a program that was killed did not end: it hangs in the kernel, most often on a dead disk.
var ErrStuck = errors.New("was killed but hangs in the kernel; check the disk")

// RunApart is Run that returns in time also while the kernel holds the program: two seconds and, with a Stop, StopGrace after ctx.
func RunApart(ctx context.Context, c Call) (Ended, error) {
	type outcome struct {
		ended Ended
		err   error
	}
	longer := drain + time.Second
	if c.Stop != 0 {
		longer += StopGrace
	}
	o, back := apart(ctx, longer, func() outcome {
		e, err := Run(ctx, c)
		return outcome{e, err}
	})
	if !back {
		return Ended{}, ErrStuck
	}
	return o.ended, o.err
}

// stop asks a group to end, and waits for its first process.
func stop(group int, signal syscall.Signal, over <-chan error) {
	if signal == 0 || unix.Kill(-group, signal) != nil {
		return
	}
	grace := time.NewTimer(StopGrace)
	defer grace.Stop()
	select {
	case <-over:
	case <-grace.C:
	}
}

// command is what runs, and it is not started.
func (c *Call) command() *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "LC_ALL=C"}, c.Env...)
	cmd.Dir = cmp.Or(c.Dir, "/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.As}
	cmd.WaitDelay = drain // a process that left the group may hold the output
	return cmd
}

// exited waits until the process has ended, without reaping it.
func exited(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// late distinguishes a deadline from a caller that no longer needs the answer.
func late(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return ErrLate
}
