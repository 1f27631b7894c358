package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

// spawn starts the guard of one slot and waits until it guards.
func spawn(ctx context.Context, o Options, slot string) error {
	cfg, err := json.Marshal(config{Member: o.Member, Slot: slot, Dir: o.Dir, DataDir: o.DataDir, Cgroup: o.CgroupPath})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("lease-guard:%s:%s", o.Member, slot) // for ps, and not for `pkill -f mainstay`
	if err := Spawn(ctx, cgroupName(o.Member), cfg, o.Executable, name, "guard"); err != nil {
		return fmt.Errorf("start guard %s of %s: %w", slot, o.Member, err)
	}
	return nil // Set.follow reaps it
}

// Spawn starts a small process that outlives the caller, in its own session and, if possible, the named cgroup. It has no file,
// directory or environment of the caller's, and is configured as begin says. args begin with its name. The caller reaps it.
func Spawn(ctx context.Context, cgroup string, cfg []byte, executable string, args ...string) error {
	if c, err := process.Create(cgroup); err == nil {
		if f, err := c.OpenFD(); err == nil {
			defer f.Close()
			err = run(ctx, cfg, f, executable, args)
			if !errors.Is(err, errNotStarted) {
				return err
			}
		}
	}
	return run(ctx, cfg, nil, executable, args)
}

func cgroupName(member string) string { return "mainstay-guard-" + member }

// errNotStarted is returned when the kernel did not create the process, as when it may not enter a cgroup.
var errNotStarted = errors.New("the process could not be created")

func run(ctx context.Context, cfg []byte, cgroup *os.File, executable string, args []string) error {
	cmd := exec.Command(executable, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(cgroup.Fd())
	}
	if err := begin(ctx, cmd, cfg); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// startLauncher starts guard A's launcher, which ends with the calling thread: that must be the guard's locked main thread. The program
// is this process's own, even if the file at its path has changed.
func startLauncher(cfg config) (*exec.Cmd, error) {
	b, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	cmd := exec.Command("/proc/self/exe", "guard", launcherWord)
	cmd.Args[0] = "lease-launcher:" + cfg.Member
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, begin(ctx, cmd, b)
}

// begin starts cmd without directory or environment, configures it on standard input, and waits until it reports that it has begun. If it
// does not, it is killed, since it has no work yet.
func begin(ctx context.Context, cmd *exec.Cmd, cfg []byte) error {
	in, to, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	defer to.Close()
	from, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer from.Close()
	defer out.Close()
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	in.Close()
	out.Close()
	if err := greet(ctx, cfg, to, from); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return nil
}

// greet hands the configuration over, which a pipe takes whole, and waits for the guard's one line. A process that could not read the
// configuration may still write the reason.
func greet(ctx context.Context, cfg []byte, to, from *os.File) error {
	deadline, _ := ctx.Deadline()
	if err := errors.Join(to.SetWriteDeadline(deadline), from.SetReadDeadline(deadline)); err != nil {
		return err
	}
	if _, err := to.Write(cfg); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(from, 64<<10))
	if err != nil {
		return fmt.Errorf("it did not report that it has begun: %w", err)
	}
	var h Hello
	if json.Unmarshal(b, &h) != nil {
		return fmt.Errorf("its report is not valid: %q", b)
	}
	if h.Error != "" {
		return errors.New(h.Error)
	}
	return nil
}

// PrepareDir makes the sockets' directory, or checks that no other user can access it.
func PrepareDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the guards' directory: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("check the guards' directory: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || st.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("the guards' directory %s must be a directory of uid %d with mode 0700", dir, os.Geteuid())
	}
	return nil
}

// Reap takes the exit status of a guard that was this process's child; it ignores other processes.
func Reap(pid int) {
	for range 100 {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		if got != 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
