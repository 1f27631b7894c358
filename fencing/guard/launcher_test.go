package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/priority"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process"
	"mainstay/fencing/process/fakepg"
	"mainstay/test/kit"

	"golang.org/x/sys/unix"
)

// nobody is a uid that PostgreSQL could have: the kernel forgets a death signal that was set before the uid changes.
const nobody = 65534

// program is one started by the launcher.
type program struct {
	*process.Handle
	wait func() error
}

func (b *bed) command(name string, args ...string) *exec.Cmd {
	b.Helper()
	out, err := os.CreateTemp(b.TempDir(), "out")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { out.Close() })
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = "/", []string{"ONLY=this"}, out
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// launch starts a program that lives for two minutes unless it is ended.
func (b *bed) launch(s *guard.Set, cmd *exec.Cmd) program {
	b.Helper()
	pid, wait, err := s.Launch(b.Context(), cmd)
	if err != nil {
		b.Fatal(err)
	}
	h, err := process.Watch(pid)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Signal(unix.SIGKILL); h.Close() })
	return program{h, wait}
}

func (b *bed) sleeper(s *guard.Set) program {
	b.Helper()
	return b.launch(s, b.command("sleep", "120"))
}

func (p program) ended(t *testing.T, why string) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second):
		t.Fatalf("process %d lives on: %s", p.PID(), why)
	}
}

// TestTheKernelEndsPostgreSQLWithItsGuards: no process is left that could kill, and none is needed.
func TestTheKernelEndsPostgreSQLWithItsGuards(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	st := b.status(s)
	if !st.Kept(p.PID()) || st.Kept(b.pg.Postmaster) {
		t.Errorf("kept: %v, and one that it did not start: %v", st.Kept(p.PID()), st.Kept(b.pg.Postmaster))
	}
	signal(t, st.Guards[1].PID, unix.SIGSTOP) // it kills nothing
	signal(t, st.Guards[0].PID, unix.SIGKILL)
	p.ended(t, "guard a was killed")
	signal(t, st.Guards[1].PID, unix.SIGKILL)
	if err := p.wait(); err == nil {
		t.Error("wait says that a killed program ended well")
	}
}

// TestBothGuardsAndTheLauncherDieAtOnce: all at once, as the OOM killer or a careless hand does it.
func TestBothGuardsAndTheLauncherDieAtOnce(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	b.extend(s, "1.1", 30*time.Second)
	st := b.status(s)
	for _, pid := range []int{st.Guards[0].PID, st.Guards[1].PID, st.Guards[0].Launcher} {
		signal(t, pid, unix.SIGKILL)
	}
	p.ended(t, "both guards and the launcher were killed")
}

// TestWhatPostgreSQLInherits: what makes a guard hard to delay and to end is not passed on.
func TestWhatPostgreSQLInherits(t *testing.T) {
	ossignal.Ignore(unix.SIGHUP, unix.SIGINT) // as under nohup
	t.Cleanup(func() { ossignal.Reset(unix.SIGHUP, unix.SIGINT) })
	if err := priority.Raise(); err != nil { // as an agent does
		t.Log(err)
	}
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	own := procStatus(t, os.Getpid())
	got := procStatus(t, p.PID())
	for key, want := range map[string]string{
		"SigIgn": "0000000000000000", "SigBlk": "0000000000000000", "VmLck": "0 kB", "Umask": own["Umask"],
		"PPid": strconv.Itoa(b.status(s).Guards[0].Launcher),
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if uid, _, _ := strings.Cut(got["Uid"], "\t"); os.Geteuid() == 0 && uid != strconv.Itoa(nobody) {
		t.Errorf("it runs as uid %s", uid)
	}
	if a, err := unix.SchedGetAttr(p.PID(), 0); err != nil || a.Policy != unix.SCHED_NORMAL || a.Nice != 0 {
		t.Errorf("its scheduling policy and priority are %+v, %v", a, err)
	}
	if sid, err := unix.Getsid(p.PID()); err != nil || sid != p.PID() {
		t.Errorf("it is in session %d, %v", sid, err)
	}
	at := fmt.Sprintf("/proc/%d/", p.PID())
	fds, err := os.ReadDir(at + "fd")
	if err != nil || len(fds) < 3 {
		t.Errorf("it has the files %v, %v", fds, err)
	}
	for _, fd := range fds { // the files that this test was started with are inherited
		file, _ := os.Readlink(at + "fd/" + fd.Name())
		if ours, _ := os.Readlink("/proc/self/fd/" + fd.Name()); fd.Name() > "2" && file != ours {
			t.Errorf("it has the file %s, %s", fd.Name(), file)
		}
	}
	for file, want := range map[string]string{"environ": "ONLY=this\x00", "oom_score_adj": read(t, "/proc/self/oom_score_adj")} {
		if b := read(t, at+file); b != want {
			t.Errorf("%s is %q, want %q", file, b, want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}

func TestPostgreSQLStartsInItsCgroup(t *testing.T) {
	c := fakepg.Cgroup(t)
	b := newBed(t, fakepg.Options{Cgroup: c})
	s := b.start()
	f, err := c.OpenFD()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := b.command("sleep", "120")
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	p := b.launch(s, cmd)
	if group := read(t, fmt.Sprintf("/proc/%d/cgroup", p.PID())); !strings.Contains(group, filepath.Base(c.Path())) {
		t.Errorf("it is in %q", group)
	}
	b.killedAt(b.extend(s, "1.1", 300*time.Millisecond))
	p.ended(t, "its cgroup was killed")
}

func TestHowAProgramEnded(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	for script, want := range map[string]string{"exit 0": "", "exit 3": "exit status 3", "kill -9 $$": "signal: killed"} {
		_, wait, err := s.Launch(t.Context(), b.command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		if err := wait(); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: got %v, want %q", script, err, want)
		}
	}
	if _, _, err := s.Launch(t.Context(), b.command("/nowhere/at/all")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestAHangingLauncher: the caller's deadline holds, and what was asked too late is not started.
func TestAHangingLauncher(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	launcher := b.status(s).Guards[0].Launcher
	signal(t, launcher, unix.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := s.Launch(ctx, b.command("sleep", "121")); !errors.Is(err, guard.ErrNoAnswer) {
		t.Errorf("got %v, want ErrNoAnswer", err)
	}
	end := b.extend(s, "1.1", 300*time.Millisecond) // the guards count on meanwhile
	b.killedAt(end)
	signal(t, launcher, unix.SIGCONT)
	p := b.sleeper(s)
	if pids, err := process.Children(launcher); err != nil || len(pids) != 1 || pids[0] != p.PID() {
		t.Errorf("the launcher has the children %v (%v), want %d alone", pids, err, p.PID())
	}
}

func TestTheLauncherOutlivesSignals(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1} {
		signal(t, b.status(s).Guards[0].Launcher, sig)
	}
	b.sleeper(s)
	if !b.status(s).Kept(p.PID()) {
		t.Error("the launcher ended")
	}
}

// TestALaunchersDeath ends PostgreSQL, is reported, and is made good as soon as guard a idles.
func TestALaunchersDeath(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	b.extend(s, "1.1", 30*time.Second)
	first := b.status(s).Guards[0]
	signal(t, first.Launcher, unix.SIGKILL)
	p.ended(t, "its launcher was killed")
	kit.Eventually(t, "a report without launcher", func() bool { return !s.Launcher() })
	if st := b.status(s); !strings.Contains(strings.Join(st.Missing, "; "), "the launcher that ends PostgreSQL") {
		t.Errorf("missing: %q", st.Missing)
	}
	if _, _, err := s.Launch(t.Context(), b.command("sleep", "120")); !errors.Is(err, guard.ErrNoLauncher) {
		t.Errorf("got %v, want ErrNoKeeper", err)
	}
	if s = b.start(); b.status(s).Guards[0].PID != first.PID {
		t.Error("an armed guard was replaced")
	}
	if err := s.Disarm(); err != nil {
		t.Fatal(err)
	}
	if s = b.start(); b.status(s).Guards[0].PID == first.PID || !s.Launcher() {
		t.Error("an idle guard without its launcher was not replaced")
	}
	b.sleeper(s)
}

// TestGuardsThatKeepPostgreSQLAreNotReplaced: it would end with them.
func TestGuardsThatKeepPostgreSQLAreNotReplaced(t *testing.T) {
	c := fakepg.Cgroup(t)
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	pid := b.status(s).Guards[0].PID
	b.options.CgroupPath = c.Path()
	if s = b.start(); b.status(s).Guards[0].PID != pid || !p.Alive() {
		t.Error("the guard was replaced under PostgreSQL")
	}
	if err := s.Exit(); code(err) != machine.StillKeeps {
		t.Errorf("exit: got %v, want a refusal", err)
	}
	b.start() // or they leave with it
	p.Signal(unix.SIGKILL)
	p.ended(t, "it was killed")
	kit.Eventually(t, "the guard to be replaced", func() bool { s = b.start(); return b.status(s).Guards[0].PID != pid })
}

// TestGuardsLeaveWithPostgreSQL: guards of a released member stay for as long as PostgreSQL would end with them,
// then they exit automatically.
func TestGuardsLeaveWithPostgreSQL(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	p := b.sleeper(s)
	b.extend(s, "1.1", time.Minute)
	if err := s.Exit(); code(err) != machine.StillArmed {
		t.Fatalf("exit under a lease: got %v, want a refusal", err)
	}
	s = b.start()
	if err := s.Disarm(); err != nil {
		t.Fatal(err)
	}
	if err := s.Exit(); code(err) != machine.StillKeeps {
		t.Fatalf("exit: got %v, want a refusal", err)
	}

	// Taken up again they stay, whatever ends.
	s = b.start()
	first := b.status(s).Guards
	p.Signal(unix.SIGKILL)
	p.ended(t, "it was killed")
	p = b.sleeper(s)
	if now := b.status(s).Guards; now[0].PID != first[0].PID || now[1].PID != first[1].PID || !s.Alive() {
		t.Errorf("the guards left though they were taken up again: %+v", now)
	}

	if err := s.Exit(); code(err) != machine.StillKeeps {
		t.Fatalf("exit: got %v, want a refusal", err)
	}
	guards := []*process.Handle{watch(t, first[0].PID), watch(t, first[1].PID)}
	if !p.Alive() || !guards[0].Alive() || !guards[1].Alive() {
		t.Error("the guards left, and PostgreSQL with them")
	}
	p.Signal(unix.SIGTERM)
	p.ended(t, "it was ended")
	kit.Eventually(t, "both guards to leave", func() bool { return !guards[0].Alive() && !guards[1].Alive() })
}

func watch(t *testing.T, pid int) *process.Handle {
	t.Helper()
	h, err := process.Watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}
