package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mostOutput = 64 << 10               // of each stream; metadata is up to 20 KiB
	drain      = 500 * time.Millisecond // for the output of a program that was killed
)

// call is one run of a program.
type call struct {
	path  string
	args  []string
	stdin string // parameters; never on the command line, which everyone may read
}

// ended is how a run went.
type ended struct {
	code   int // exit code; -1 where a signal ended it
	stdout string
	stderr string
}

// errLate is returned when a program had not ended in time and was killed.
var errLate = errors.New("did not answer in time and was killed")

// run executes a program until ctx is over, at most; then its whole process group is killed, and so is what the program
// left of it when it ended in time. An exit code is no error. Where the kernel holds a process fast run does not return
// before that ends: see apart.
func run(ctx context.Context, c call) (ended, error) {
	if err := context.Cause(ctx); err != nil {
		return ended{}, late(ctx)
	}
	cmd := exec.Command(c.path, c.args...)
	stdout, stderr := &limited{}, &limited{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.Env, cmd.Dir = environment(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = drain // somebody who left the group may hold the output
	if err := cmd.Start(); err != nil {
		return ended{}, fmt.Errorf("start %s: %w", c.path, err)
	}
	over := make(chan error, 1)
	go func() { over <- exited(cmd.Process.Pid) }()
	var err error
	select {
	case err = <-over:
	case <-ctx.Done():
		err = late(ctx)
	}
	// The program is not reaped yet, so that the number is still its group's.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	if wait := cmd.Wait(); err == nil && cmd.ProcessState == nil {
		err = fmt.Errorf("wait for %s: %w", c.path, wait)
	}
	if err != nil {
		return ended{stdout: stdout.String(), stderr: stderr.String()}, err
	}
	return ended{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}, nil
}

// exited waits until the process has ended, and leaves it to be reaped.
func exited(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// late tells a deadline from a caller who needs no answer any more.
func late(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return errLate
}

// environment has what agents need to find programs and proxies, and none of Mainstay's own.
func environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "LC_ALL=C",
		"PYTHONWARNINGS=ignore"}
	for _, name := range []string{"HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// limited keeps the beginning of an output and swallows the rest, so that the program is not held up.
type limited struct{ b strings.Builder }

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), mostOutput-l.b.Len())])
	return len(p), nil
}

// String leaves out a last line that was cut: half a secret is not found by scrub.
func (l *limited) String() string {
	s := l.b.String()
	if len(s) == mostOutput {
		s = s[:strings.LastIndexByte(s, '\n')+1]
	}
	return s
}

// apart waits for f until ctx is over, and a second more for it to say why it ended; false where it then still hangs in a
// dead disk or device. The goroutine ends when the kernel answers.
func apart[T any](ctx context.Context, f func() T) (T, bool) {
	answer := make(chan T, 1)
	go func() { answer <- f() }()
	select {
	case v := <-answer:
		return v, true
	case <-ctx.Done():
	}
	grace := time.NewTimer(drain + time.Second)
	defer grace.Stop()
	select {
	case v := <-answer:
		return v, true
	case <-grace.C:
		var none T
		return none, false
	}
}
