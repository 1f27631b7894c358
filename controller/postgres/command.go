package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/osuser"
)

const (
	tailBytes = 2048
	// killGrace is how long a killed program may take to be gone before it counts as stuck in the kernel.
	killGrace = time.Second
)

// CommandError is returned when one of PostgreSQL's programs failed or ran into its deadline.
type CommandError struct {
	Program string
	Tail    string // the end of what it wrote to stderr
	Err     error
}

func (e *CommandError) Error() string {
	if e.Tail == "" {
		return fmt.Sprintf("%s: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Program, e.Err, e.Tail)
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// ErrStuck is returned when a killed program did not end: it hangs in the kernel, most often on a frozen disk.
var ErrStuck = errors.New("the program was killed but hangs in the kernel; check the disk")

// run executes one of PostgreSQL's programs as the owner and returns its standard output.
func (i *Server) run(ctx context.Context, program string, args ...string) (string, error) {
	var out bytes.Buffer
	err := i.stream(ctx, &out, nil, program, args...)
	return out.String(), err
}

// stream is run with the output going to stdout, and stderr also to watch, if not nil.
func (i *Server) stream(ctx context.Context, stdout, watch io.Writer, program string, args ...string) error {
	return i.streamAs(ctx, &syscall.SysProcAttr{Setpgid: true, Credential: i.Owner.Credential()}, stdout, watch, program, args...)
}

// streamBound is stream for a program that must not outlive this process, however that ends.
func (i *Server) streamBound(ctx context.Context, watch io.Writer, program string, args ...string) error {
	runtime.LockOSThread() // the kernel's signal comes when the thread that made the child ends
	defer runtime.UnlockOSThread()
	as := &syscall.SysProcAttr{Setpgid: true, Credential: i.Owner.Credential(), Pdeathsig: syscall.SIGKILL}
	return i.streamAs(ctx, as, nil, watch, program, args...)
}

func (i *Server) streamAs(ctx context.Context, as *syscall.SysProcAttr, stdout, watch io.Writer, program string, args ...string) error {
	cmd := exec.Command(filepath.Join(i.Binaries.Dir, program), args...)
	cmd.Dir = "/"
	cmd.Env = i.Owner.environment()
	cmd.SysProcAttr = as
	tail := &tailWriter{also: watch}
	cmd.Stdout, cmd.Stderr = stdout, tail
	cmd.WaitDelay = killGrace
	if err := ctx.Err(); err != nil {
		return &CommandError{program, "", err}
	}
	if err := cmd.Start(); err != nil {
		return &CommandError{program, "", err}
	}
	err := waitGroup(ctx, cmd)
	if errors.Is(err, ErrStuck) {
		return &CommandError{program, "", err} // its writers may still be in use
	}
	if err != nil {
		return &CommandError{program, tail.String(), err}
	}
	return nil
}

// waitGroup waits for the program, and kills its whole process group when ctx ends. Where even SIGKILL does not end it,
// the goroutine stays to reap it when the kernel releases it: waiting for that would hang the caller past its deadline.
func waitGroup(ctx context.Context, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group may have ended in this moment
	select {
	case <-done:
		return ctx.Err()
	case <-time.After(2 * killGrace):
		return fmt.Errorf("%w (%w)", ErrStuck, ctx.Err())
	}
}

// environment is the whole environment of the programs: no variable of ours leaks in, least of all a PG* variable.
func (o Owner) environment() []string {
	home := "/"
	if u, err := user.LookupId(strconv.Itoa(int(o.UID))); err == nil {
		home = u.HomeDir
	}
	return []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + home, "USER=" + o.Name}
}

// Credential is nil where the process already runs as the owner.
func (o Owner) Credential() *syscall.Credential {
	return osuser.User{UID: o.UID, GID: o.GID}.Credential()
}

// tailWriter keeps the end of its input.
type tailWriter struct {
	also io.Writer
	kept []byte
}

func (t *tailWriter) Write(b []byte) (int, error) {
	if t.also != nil {
		_, _ = t.also.Write(b) // a progress callback cannot fail
	}
	t.kept = append(t.kept, b...)
	if n := len(t.kept) - tailBytes; n > 0 {
		t.kept = append(t.kept[:0], t.kept[n:]...)
	}
	return len(b), nil
}

func (t *tailWriter) String() string { return strings.TrimSpace(string(t.kept)) }
