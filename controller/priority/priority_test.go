package priority

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// seen is what a process that raised itself saw of its own threads and of what it started.
type seen struct {
	Error    string
	Threads  []int32 // nice values
	Children []int   // of children, and of children's children
}

const role = "PRIORITY_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	var s seen
	if err := s.look(); err != nil {
		s.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(s)
}

// look raises this process, has it make threads, raises those, and starts programs from many of them.
func (s *seen) look() error {
	if err := Raise(); err != nil {
		return err
	}
	const many = 8
	var made, all sync.WaitGroup
	start := make(chan struct{})
	made.Add(many)
	var mu sync.Mutex
	var errs []error
	for range many {
		all.Go(func() {
			runtime.LockOSThread() // a thread each
			defer runtime.UnlockOSThread()
			made.Done()
			<-start
			// The shell's own nice value is field 19 of its stat, that of its child what nice(1) prints.
			out, err := exec.Command("sh", "-c", "cut -d' ' -f19 /proc/$$/stat; nice; nice").Output()
			mu.Lock()
			defer mu.Unlock()
			for field := range strings.FieldsSeq(string(out)) {
				n, convErr := strconv.Atoi(field)
				err = errors.Join(err, convErr)
				s.Children = append(s.Children, n)
			}
			errs = append(errs, err)
		})
	}
	made.Wait()
	for range 10 { // as Keep does: the runtime may have made a thread meanwhile
		errs = append(errs, Raise())
		tasks, err := os.ReadDir("/proc/self/task")
		errs, s.Threads = append(errs, err), nil
		for _, task := range tasks {
			tid, _ := strconv.Atoi(task.Name())
			if a, err := unix.SchedGetAttr(tid, 0); err == nil {
				s.Threads = append(s.Threads, a.Nice)
			}
		}
		if !slices.Contains(s.Threads, 0) {
			break
		}
	}
	close(start)
	all.Wait()
	return errors.Join(errs...)
}

func run(t *testing.T, change func(*exec.Cmd)) (s seen) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"=1")
	if change != nil {
		change(cmd)
	}
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// TestNothingInheritsIt: every thread of the process is raised, those made later too, and no process that any of them starts.
func TestNothingInheritsIt(t *testing.T) {
	s := run(t, nil)
	if strings.Contains(s.Error, "permi") {
		t.Skip(s.Error)
	}
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	if len(s.Threads) < 8 || slices.ContainsFunc(s.Threads, func(n int32) bool { return n != Nice }) {
		t.Errorf("threads have the nice values %v, want %d", s.Threads, Nice)
	}
	if len(s.Children) != 3*8 || slices.ContainsFunc(s.Children, func(n int) bool { return n != 0 }) {
		t.Errorf("what they started has the nice values %v, want 0", s.Children)
	}
}

// TestOperatorsChoiceStays: a process that the operator gave a priority keeps it.
func TestOperatorsChoiceStays(t *testing.T) {
	s := run(t, func(cmd *exec.Cmd) {
		cmd.Args = []string{"nice", "-n", "5", cmd.Path}
		cmd.Path = lookPath(t, "nice")
		cmd.Args[3] = executable(t)
	})
	if s.Error != "" || slices.ContainsFunc(s.Threads, func(n int32) bool { return n != 5 }) {
		t.Errorf("%s: threads have the nice values %v, want 5", s.Error, s.Threads)
	}
}

// TestNotAllowed: the error says what to grant.
func TestNotAllowed(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("needs root, and a user without rights")
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	s := run(t, func(cmd *exec.Cmd) {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	})
	if want := fmt.Sprintf("LimitNICE=%d", Nice); !strings.Contains(s.Error, want) {
		t.Errorf("%q does not name %s", s.Error, want)
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
