package process_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

// session starts a leader that leaves two more processes behind: one in its session, one below that ignores TERM.
func session(t *testing.T, c *process.Cgroup) (tree *process.Tree, leader *process.Handle, others []int) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `sleep 1000 & echo $!; sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' & wait`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c != nil {
		f, err := c.OpenFD()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	leader, err = process.Watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	tree = process.NewSession(leader.PID(), leader.Start(), c)
	t.Cleanup(func() {
		if err := tree.Kill(5 * time.Second); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
		leader.Close()
	})
	for lines := bufio.NewScanner(out); len(others) < 2 && lines.Scan(); {
		var pid int
		if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
			t.Fatal(err)
		}
		others = append(others, pid)
	}
	return tree, leader, others
}

func TestSession(t *testing.T) {
	for name, grouped := range map[string]bool{"cgroup": true, "no cgroup": false} {
		t.Run(name, func(t *testing.T) {
			var c *process.Cgroup
			if grouped {
				var err error
				if c, err = process.Create("mainstay-test-session"); err != nil {
					t.Skip(err)
				}
				t.Cleanup(func() { c.Remove() })
			}
			beside := bystander(t, t.TempDir(), "sleep", "1000")
			tree, leader, others := session(t, c)
			pids, err := tree.Pids()
			if err != nil || !slices.Contains(pids, leader.PID()) || !slices.Contains(pids, others[0]) || !slices.Contains(pids, others[1]) ||
				slices.Contains(pids, beside.PID()) {
				t.Fatalf("%v, %v; want %d, %v", pids, err, leader.PID(), others)
			}
			if err := tree.Signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case <-leader.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("the leader ignores TERM")
			}
			if left, err := tree.Left(); !left || err != nil {
				t.Errorf("the leader's child is not seen without it: %v", err)
			}
			if err := tree.Kill(5 * time.Second); err != nil {
				t.Error(err)
			}
			if left, err := tree.Left(); left || err != nil {
				t.Errorf("left after Kill: %v", err)
			}
			if !beside.Alive() {
				t.Error("a process of another session was killed")
			}
			other := process.NewSession(beside.PID(), beside.Start()+1, c)
			if pids, err := other.Pids(); len(pids) > 0 || err != nil {
				t.Errorf("a pid that another process has now leads to %v, %v", pids, err)
			}
		})
	}
}

func TestGroup(t *testing.T) {
	if c, err := process.Group("/nobody-s.slice"); err == nil {
		t.Errorf("a group that there is not is %s", c.Path())
	}
	c, err := process.Create("mainstay-test-group")
	if err != nil {
		t.Skip(err)
	}
	defer c.Remove()
	tree, leader, _ := session(t, c)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", leader.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(string(line), "0::")
	path, _, _ = strings.Cut(path, "\n")
	found, err := process.Group(path)
	if err != nil || found.Path() != c.Path() {
		t.Errorf("%s is %v, %v", path, found, err)
	}
	if err := tree.Kill(5 * time.Second); err != nil {
		t.Fatal(err)
	}
}
