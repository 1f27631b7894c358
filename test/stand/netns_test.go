package stand

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
