package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"mainstay/controller/boottime"
	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

// ErrNoLauncher is returned when guard A has no launcher (it is of an earlier build, or its launcher has died), so no program was started.
// The caller starts the program itself; the kernel then does not end it with the guards.
var ErrNoLauncher = errors.New("guard a has no launcher")

// Launch starts cmd as the launcher's child instead of the caller's, so that the kernel kills it at once when guard A dies (L2). It uses
// Path, Args, Env, Dir, Stdout (an *os.File, standard error too), and of SysProcAttr Credential and CgroupFD. wait returns how the program
// ended, once it has. After an error other than ErrNoLauncher the program may still run. Only the start of the program touches a
// filesystem.
func (s *Set) Launch(ctx context.Context, cmd *exec.Cmd) (pid int, wait func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := s.dialLauncher(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the launcher of %s: %w", s.options.Member, err)
	}
	if pid, err = ordered(ctx, conn, cmd); err != nil {
		conn.Close()
		return 0, nil, fmt.Errorf("let the launcher of %s start %s: %w", s.options.Member, cmd.Path, err)
	}
	h, err := process.Watch(pid)
	if err != nil && !errors.Is(err, process.ErrGone) {
		conn.Close()
		return 0, nil, err
	}
	return pid, func() error {
		defer h.Close()
		defer conn.Close()
		return awaitEnd(conn, h)
	}, nil
}

// dialLauncher connects to the process that guard A reports as its launcher.
func (s *Set) dialLauncher(ctx context.Context) (*net.UnixConn, error) {
	r, err := s.links[0].call(ctx, request{Op: opStatus})
	if err != nil {
		return nil, err
	}
	if r.Launcher == 0 {
		return nil, ErrNoLauncher
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixpacket", launcherPath(s.options.Dir))
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	peer, err := PeerOf(conn)
	if err == nil && int(peer.Pid) != r.Launcher {
		err = fmt.Errorf("process %d listens on %s, but the launcher is process %d", peer.Pid, launcherPath(s.options.Dir), r.Launcher)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// ordered sends the order and returns the pid of the started program.
func ordered(ctx context.Context, conn *net.UnixConn, cmd *exec.Cmd) (int, error) {
	deadline, _ := ctx.Deadline()
	req, rights, err := orderOf(cmd)
	if err != nil {
		return 0, err
	}
	req.Until = boottime.Now() + time.Until(deadline)
	b, err := json.Marshal(req)
	if err == nil && len(b) > maxLaunch {
		err = fmt.Errorf("the command is longer than %d bytes", maxLaunch)
	}
	if err == nil {
		err = conn.SetDeadline(deadline)
	}
	if err != nil {
		return 0, err
	}
	if _, _, err := conn.WriteMsgUnix(b, rights, nil); err != nil {
		return 0, err
	}
	answer, err := readLaunched(conn)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	if answer.Error != "" {
		return 0, errors.New(answer.Error)
	}
	return answer.PID, nil
}

func orderOf(cmd *exec.Cmd) (launch, []byte, error) {
	req := launch{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir}
	out, ok := cmd.Stdout.(*os.File)
	if !ok {
		return req, nil, errors.New("its output is not a file")
	}
	fds := []int{int(out.Fd())}
	if a := cmd.SysProcAttr; a != nil {
		if c := a.Credential; c != nil {
			req.User = &user{UID: c.Uid, GID: c.Gid, Groups: c.Groups}
		}
		if req.Cgroup = a.UseCgroupFD; req.Cgroup {
			fds = append(fds, a.CgroupFD)
		}
	}
	return req, unix.UnixRights(fds...), nil
}

// awaitEnd waits for the program's end, as the kernel reports it, then reads from the launcher how it ended. h is nil if the program has
// already ended.
func awaitEnd(conn *net.UnixConn, h *process.Handle) error {
	if h != nil {
		<-h.Done()
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	answer, err := readLaunched(conn)
	switch {
	case err != nil:
		return fmt.Errorf("it ended, but its launcher does not report how: %w", err)
	case answer.Ended != endedWell:
		return errors.New(answer.Ended)
	}
	return nil
}

func readLaunched(conn *net.UnixConn) (launched, error) {
	var answer launched
	b := make([]byte, maxLine)
	n, err := conn.Read(b)
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(b[:n], &answer)
}

// Launcher tells whether guard A has a launcher, or cannot have one; it takes 100 ms at most.
func (s *Set) Launcher() bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	r, err := s.links[0].call(ctx, request{Op: opStatus})
	return err == nil && (r.Launcher != 0 || r.Unkeepable)
}

// Kept tells whether the kernel ends the process when guard A dies, because it is a child of the launcher. It reads only /proc.
func (st Status) Kept(pid int) bool {
	launcher := st.Guards[0].Launcher
	return launcher != 0 && process.BoundTo(launcher, pid)
}
