package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process"
	"mainstay/fencing/process/fakepg"

	"golang.org/x/sys/unix"
)

// The test binary is all the programs of these tests: guard, agent and fake postgres.
func TestMain(m *testing.M) {
	fakepg.Main()
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		os.Exit(guard.Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(m.Run())
}

// agent arms the guards for the given time, says "armed <end>" and then does nothing, for ever.
func agent(dir, dataDir, lease string) int {
	length, err := time.ParseDuration(lease)
	if err != nil {
		return 2
	}
	s, err := guard.Start(context.Background(), guard.Options{Executable: exe(), Dir: dir, Member: "feed-e1", DataDir: dataDir})
	end := boottime.Now() + length
	if err == nil {
		err = s.Extend("1.1", end)
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("armed", int64(end))
	time.Sleep(2 * time.Minute)
	return 0
}

func exe() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// bed is one member with its fake PostgreSQL.
type bed struct {
	*testing.T
	options guard.Options
	pg      *fakepg.Server
}

func newBed(t *testing.T, o fakepg.Options) *bed {
	t.Helper()
	o.DataDir = filepath.Join(t.TempDir(), "data")
	run, err := os.MkdirTemp("", "ms-guard-") // a socket's path is short
	if err == nil {
		err = os.Mkdir(o.DataDir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(run)
		if c, err := process.Create("mainstay-guard-feed-e1"); err == nil {
			c.Remove() // fails where another test run uses it
		}
	})
	b := &bed{T: t, options: guard.Options{Executable: exe(), Dir: filepath.Join(run, "m"), Member: "feed-e1", DataDir: o.DataDir}}
	if o.Cgroup != nil {
		b.options.CgroupPath = o.Cgroup.Path()
	}
	b.pg = fakepg.Start(t, o)
	return b
}

// start starts or reconnects, and ends the guards with the test whatever they are doing.
func (b *bed) start() *guard.Set {
	b.Helper()
	s, err := guard.Start(b.Context(), b.options)
	if err != nil {
		b.Fatal(err)
	}
	st := b.status(s)
	for _, g := range st.Guards {
		fakepg.EndWithTest(b.T, g.PID)
	}
	b.Cleanup(s.Close)
	return s
}

// status is what the guards say; on a busy machine an answer may take longer than 100 ms.
func (b *bed) status(s *guard.Set) guard.Status {
	b.Helper()
	st, err := s.Status()
	for deadline := time.Now().Add(10 * time.Second); errors.Is(err, guard.ErrNoAnswer) && time.Now().Before(deadline); {
		st, err = s.Status()
	}
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// extend arms or extends and returns the end; on a busy machine an answer may take longer than 100 ms.
func (b *bed) extend(s *guard.Set, epoch string, by time.Duration) time.Duration {
	b.Helper()
	end := boottime.Now() + by
	err := s.Extend(epoch, end)
	for range 3 {
		if errors.Is(err, guard.ErrNoAnswer) {
			err = s.Extend(epoch, end)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	return end
}

// killedAt checks that the tree lives until end and has ended K later.
func (b *bed) killedAt(end time.Duration) {
	b.Helper()
	now, ended := b.pg.EndedAt(max(0, end-boottime.Now()) + 10*time.Second)
	if !ended {
		b.Fatalf("still alive: %v", b.pg.Alive())
	}
	if now < end {
		b.Errorf("killed %v before the lease's end", end-now)
	}
	if now > end+platform.GuardKill {
		b.Errorf("killed %v after the lease's end, want at most %v", now-end, platform.GuardKill)
	}
	b.Logf("the last process ended %v after the lease", now-end)
}

func signal(t *testing.T, pid int, sig unix.Signal) {
	t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func code(err error) machine.Code {
	var refused *guard.RefusedError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
