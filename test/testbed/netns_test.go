package testbed

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func netns(t *testing.T) *Netns {
	t.Helper()
	w, err := NewNetns("db-e1", "db-e2")
	if errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat("/run/netns/" + w.namespace("db-e1")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the namespace is still there: %v", err)
		}
		if _, err := net.InterfaceByName(w.bridge()); err == nil {
			t.Error("the bridge is still there")
		}
	})
	return w
}

// A host is reached, not reached while it is cut off, and reached again.
func TestCutAndHeal(t *testing.T) {
	w := netns(t)
	// The refusal of a port where nobody listens comes from the host itself.
	reached := func() bool {
		_, err := net.DialTimeout("tcp", net.JoinHostPort(w.Address("db-e2"), "9"), 500*time.Millisecond)
		return err != nil && strings.Contains(err.Error(), "refused")
	}
	become := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); reached() != want; {
			if time.Now().After(deadline) {
				t.Fatalf("the host is reached: %v, want %v", !want, want)
			}
		}
	}
	become(true)
	if err := w.Cut("db-e2"); err != nil {
		t.Fatal(err)
	}
	become(false)
	if err := w.Heal("db-e2"); err != nil {
		t.Fatal(err)
	}
	become(true)
	if err := w.Cut("db-e9"); err == nil {
		t.Error("a host that is not there was cut off")
	}
}

// What a killed run left under a number, its processes too, is removed by the next one with that number.
func TestLeftoversAreRemoved(t *testing.T) {
	killed := netns(t)
	cmd := killed.Command("db-e1", "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	inside := func() bool { // nsenter becomes the program in the namespace a moment after the start
		pids, _ := exec.Command("ip", "netns", "pids", killed.namespace("db-e1")).Output()
		return slices.Contains(strings.Fields(string(pids)), strconv.Itoa(cmd.Process.Pid))
	}
	for deadline := time.Now().Add(10 * time.Second); !inside(); {
		if time.Now().After(deadline) {
			t.Fatal("the process did not enter its namespace")
		}
	}
	killed.held.Close() // as the kernel does when a process is killed
	next := netns(t)
	if next.n != killed.n {
		t.Skipf("another test run took the number %d", killed.n)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the process in the old namespace lives on")
	}
}

// One way is cut, the others are not: an answer that cannot come back is as good as none.
func TestCutOneWay(t *testing.T) {
	w := netns(t)
	// The refusal of a port where nobody listens comes from the other host itself.
	answered := func(from, to string) bool {
		out, _ := w.Command(from, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+w.Address(to)+"/9").CombinedOutput()
		return strings.Contains(string(out), "refused")
	}
	for _, c := range []struct {
		name string
		cut  []Way
		want bool
	}{
		{"nothing cut", nil, true},
		{"there", []Way{{"db-e1", "db-e2"}}, false},
		{"back", []Way{{"db-e2", "db-e1"}}, false},
		{"elsewhere", Both([]Way{{"db-e2", Outside}}), true},
	} {
		if err := w.CutWays(c.cut...); err != nil {
			t.Fatal(err)
		}
		if got := answered("db-e1", "db-e2"); got != c.want {
			t.Errorf("%s: answered %v, want %v", c.name, got, c.want)
		}
		if err := errors.Join(w.HealWays(c.cut...), w.HealAll()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.CutWays(Way{"db-e1", "db-e9"}); err == nil {
		t.Error("a way to a host that is not there was cut")
	}
}

// Some packets are lost and none is answered with an error: connecting takes a retransmission now and then.
func TestLose(t *testing.T) {
	w := netns(t)
	slow := func() bool {
		begun := time.Now()
		_, err := net.DialTimeout("tcp", net.JoinHostPort(w.Address("db-e2"), "9"), 20*time.Second)
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("nothing but a refusal was expected: %v", err)
		}
		return time.Since(begun) > 800*time.Millisecond
	}
	if err := w.Lose(Ways([]string{Outside}, []string{"db-e2"})...); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; !slow(); n++ {
		if n > 200 {
			t.Fatal("none of 200 packets was lost")
		}
	}
	if err := w.HealAll(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if slow() {
			t.Fatal("packets are lost after the network was healed")
		}
	}
}
