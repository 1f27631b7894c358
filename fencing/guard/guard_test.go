package guard_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process/fakepg"
	"mainstay/test/kit"

	"golang.org/x/sys/unix"
)

func TestKillsAtTheLeasesEnd(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	st := b.status(s)
	if st.Armed || !st.Peer || !s.Alive() || st.Guards[0].PID == st.Guards[1].PID {
		t.Fatalf("fresh guards: %+v", st)
	}
	t.Logf("missing here: %q", st.Missing)
	first := b.extend(s, "1.1", 400*time.Millisecond)
	end := b.extend(s, "1.1", 700*time.Millisecond)
	if st := b.status(s); !st.Armed || st.End != end || st.Epoch != "1.1" {
		t.Errorf("armed until %v (%v, %s), want %v", st.End, st.Armed, st.Epoch, end)
	}
	if err := s.Extend("1.1", first); err != nil || b.status(s).End != end {
		t.Errorf("an earlier end gave %v and moved the end to %v", err, b.status(s).End)
	}
	b.killedAt(end)
	kit.Eventually(t, "both report killed", func() bool {
		st := b.status(s)
		return st.Guards[0].State == machine.Killed && st.Guards[1].State == machine.Killed
	})
	if err := s.Extend("1.1", boottime.Now()+time.Second); code(err) != machine.Expired {
		t.Errorf("extending after the kill: %v, want refused as expired", err)
	}
	k := b.status(s).Guards[0].Kill
	if k == nil || k.Why != "the lease ended" || k.Epoch != "1.1" || k.Begun < end || k.Ended < k.Begun || k.Left != "" {
		t.Errorf("the kill is reported as %+v", k)
	}
	if err := s.Exit(); err != nil {
		t.Error(err)
	}
}

func TestExtendKeepsAliveAndDisarmEndsIt(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	var end time.Duration
	for begin := boottime.Now(); boottime.Now() < begin+1500*time.Millisecond; {
		end = b.extend(s, "1.1", 500*time.Millisecond)
		select {
		case <-s.Died():
			t.Fatal("a guard died")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := s.Exit(); code(err) != machine.StillArmed {
		t.Errorf("armed guards were asked to exit: %v", err)
	}
	s = b.start()
	if err := s.Disarm(); err != nil {
		t.Fatal(err)
	}
	if b.pg.WaitEnded(end - boottime.Now() + 300*time.Millisecond) {
		t.Error("killed although disarmed")
	}
	if alive := b.pg.Alive(); len(alive) != 3 {
		t.Errorf("%v are alive, want three", alive)
	}
	pids := b.status(s).Guards
	if err := s.Exit(); err != nil {
		t.Fatal(err)
	}
	for _, g := range pids {
		if unix.Kill(g.PID, 0) == nil {
			t.Errorf("guard %s, process %d, is still there", g.Slot, g.PID)
		}
	}
}

// TestAHangingAgent: the guards do not need the agent, nor their parent, to count.
func TestAHangingAgent(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			b := newBed(t, fakepg.Options{})
			cmd := exec.Command(exe(), "agent", b.options.Dir, b.options.DataDir, "1500ms")
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			line, _ := bufio.NewReader(out).ReadString('\n')
			var end time.Duration
			if _, err := fmt.Sscanf(line, "armed %d", &end); err != nil {
				t.Fatalf("the agent said %q", line)
			}
			signal(t, cmd.Process.Pid, sig)
			s := b.start() // another agent looks on: attaching changes nothing
			if st := b.status(s); !st.Armed || st.End != end || st.Epoch != "1.1" {
				t.Errorf("after the agent hung or died: %+v", st)
			}
			b.killedAt(end)
		})
	}
}

func TestARestartedAgentGoesOn(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	first := b.start()
	old := b.extend(first, "1.1", time.Second)
	pids := b.status(first).Guards
	second := b.start()
	if st := b.status(second); st.Guards[0].PID != pids[0].PID || st.Guards[1].PID != pids[1].PID || st.End != old {
		t.Errorf("reconnected to %+v, want the same guards", st)
	}
	if err := first.Extend("1.1", old+time.Second); code(err) != machine.NotYours {
		t.Errorf("the former agent extends: %v", err)
	}
	if err := first.Disarm(); code(err) != machine.NotYours {
		t.Errorf("the former agent disarms: %v", err)
	}
	first.Close()
	end := b.extend(second, "1.1", 1500*time.Millisecond)
	if b.pg.WaitEnded(old - boottime.Now() + 100*time.Millisecond) {
		t.Fatal("killed at the former agent's end")
	}
	b.killedAt(end)
}

func TestAPeersDeathKillsTheTreeAtOnce(t *testing.T) {
	for i, slot := range []string{"a", "b"} {
		t.Run(slot, func(t *testing.T) {
			b := newBed(t, fakepg.Options{})
			s := b.start()
			b.extend(s, "1.1", 30*time.Second)
			dead := b.status(s).Guards[i].PID
			now := boottime.Now()
			signal(t, dead, unix.SIGKILL)
			b.killedAt(now)
			select {
			case <-s.Died():
			case <-time.After(5 * time.Second):
				t.Fatal("Died was not closed")
			}
			if s.Alive() {
				t.Error("Alive with a dead guard")
			}
			if err := s.Extend("1.2", boottime.Now()+time.Second); err == nil {
				t.Error("half of the guards took a lease")
			}
			b.startsAgain(dead, 1-i)
		})
	}
}

// startsAgain checks that new guards are made of the survivor and a new guard, and guard again.
func (b *bed) startsAgain(dead, survivor int) {
	s := b.start()
	st := b.status(s)
	if !st.Peer || st.Guards[0].PID == dead || st.Guards[1].PID == dead || st.Guards[survivor].State != machine.Killed ||
		st.Guards[survivor].Kill.Why != "the other guard died" {
		b.Fatalf("the new guards: %+v", st)
	}
	b.pg = fakepg.Start(b.T, fakepg.Options{DataDir: b.options.DataDir})
	end := b.extend(s, "1.2", 300*time.Millisecond)
	b.killedAt(end)
}

func TestAPeersDeathWhileDisarmedKillsNothing(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	b.extend(s, "1.1", 30*time.Second)
	if err := s.Disarm(); err != nil {
		t.Fatal(err)
	}
	signal(t, b.status(s).Guards[0].PID, unix.SIGKILL)
	<-s.Died()
	if b.pg.WaitEnded(300 * time.Millisecond) {
		t.Error("the tree was killed")
	}
	s = b.start()
	b.killedAt(b.extend(s, "1.1", 300*time.Millisecond))
}

func TestSignalsAreIgnored(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	for _, g := range b.status(s).Guards {
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1} {
			signal(t, g.PID, sig)
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", g.PID))
		if sid, sidErr := unix.Getsid(g.PID); err != nil || sidErr != nil || sid != g.PID ||
			!strings.HasPrefix(string(name), "lease-guard-"+g.Slot) {
			t.Errorf("guard %s: called %q, in session %d, %v, %v", g.Slot, name, sid, err, sidErr)
		}
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", g.PID)); err != nil || cwd != "/" {
			t.Errorf("guard %s works in %s, %v", g.Slot, cwd, err)
		}
	}
	b.killedAt(b.extend(s, "1.1", 300*time.Millisecond))
	if !s.Alive() {
		t.Error("a guard ended")
	}
}

// TestAStoppedGuard: one that hangs takes no lease, so Extend fails; the other one still kills in time.
func TestAStoppedGuard(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	signal(t, b.status(s).Guards[1].PID, unix.SIGSTOP)
	begin := time.Now()
	end := boottime.Now() + 600*time.Millisecond
	if err := s.Extend("1.1", end); !errors.Is(err, guard.ErrNoAnswer) {
		t.Errorf("got %v, want ErrNoAnswer", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Extend took %v", took)
	}
	b.killedAt(end)
}

func TestAStoppedTree(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	b.pg.Signal(t, unix.SIGSTOP)
	b.killedAt(b.extend(s, "1.1", 300*time.Millisecond))
}

func TestInACgroup(t *testing.T) {
	c := fakepg.Cgroup(t)
	b := newBed(t, fakepg.Options{Cgroup: c, Detached: true})
	s := b.start()
	st := b.status(s)
	for _, m := range st.Missing {
		if strings.Contains(m, "cgroup:") {
			t.Errorf("missing in a cgroup: %s", m)
		}
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", st.Guards[0].PID))
	if err != nil || strings.Contains(string(groups), filepath.Base(c.Path())) {
		t.Errorf("the guard is in %q, %v", groups, err)
	}
	if err := os.WriteFile(c.Path()+"/cgroup.freeze", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	b.killedAt(b.extend(s, "1.1", 400*time.Millisecond))
	if err := s.Disarm(); err != nil {
		kit.Eventually(t, "disarmed", func() bool { return s.Disarm() == nil })
	}

	// Idle guards of another cgroup are replaced.
	b.options.CgroupPath = ""
	other := b.status(b.start())
	if other.Guards[0].PID == st.Guards[0].PID || other.Guards[0].Cgroup != "" {
		t.Errorf("guards of the former cgroup were kept: %+v", other.Guards)
	}
}

func TestStartErrors(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*guard.Options)
		want   string
	}{
		"relative directory": {func(o *guard.Options) { o.Dir = "run" }, "socket directory"},
		"open directory":     {func(o *guard.Options) { o.Dir = open }, "mode 0700"},
		"no data directory":  {func(o *guard.Options) { o.DataDir = "/nowhere/at/all" }, "identify the data directory"},
		"no such program":    {func(o *guard.Options) { o.Executable = "/nowhere/at/all" }, "no such file"},
		"not a guard":        {func(o *guard.Options) { o.Executable = "/bin/echo" }, `its report is not valid: "guard\n"`},
		"no such cgroup":     {func(o *guard.Options) { o.CgroupPath = "/nowhere/at/all" }, "no cgroup v2"},
	} {
		o := b.options
		c.change(&o)
		s, err := guard.Start(t.Context(), o)
		if err == nil {
			s.Exit()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
		}
	}
	b.start()
	var other *guard.OtherMembersGuardError
	o := b.options
	o.Member = "feed-e2"
	if _, err := guard.Start(t.Context(), o); !errors.As(err, &other) || other.Found.Member != "feed-e1" {
		t.Errorf("another member's guards: %v, want a OtherMembersGuardError", err)
	}
}
