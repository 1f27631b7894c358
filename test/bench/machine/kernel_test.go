package machine

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestStarts: a program that ends at once is seen, by whom it was started, in its turn.
func TestStarts(t *testing.T) {
	r, err := RecordStarts(func(p Process) string {
		if p.PID == os.Getpid() {
			return "test"
		}
		return ""
	})
	if errors.Is(err, ErrNotCounted) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	cmd := exec.Command("sh", "-c", "true & wait; exec true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	all, err := r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	var shell, children int
	for _, s := range all {
		if s.Owner != "test" {
			continue
		}
		if s.At.Before(begun.Add(-time.Millisecond)) || s.At.After(ended.Add(time.Millisecond)) {
			t.Errorf("process %d was started at %s, not from %s to %s", s.PID, s.At, begun, ended)
		}
		if s.PID == cmd.Process.Pid {
			shell++
			if s.Program == "" {
				t.Error("the shell executed nothing")
			}
		} else {
			children++
		}
	}
	if shell != 1 || children < 1 {
		t.Errorf("the shell was started %d times, its children %d times: %+v", shell, children, all)
	}
}

// message is an event as the kernel sends it.
func message(what uint32, at time.Duration, numbers ...uint32) []byte {
	m := make([]byte, eventData+4*len(numbers))
	binary.NativeEndian.PutUint32(m[headers:], what)
	binary.NativeEndian.PutUint64(m[headers+8:], uint64(at))
	for i, n := range numbers {
		binary.NativeEndian.PutUint32(m[eventData+4*i:], n)
	}
	return m
}

func TestTakeEvents(t *testing.T) {
	const nothing = 1 << 29 // above any pid
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &Starts{label: func(Process) string { return "" }, labels: map[int]string{10: "agent"}, last: map[int]int{}, base: base}
	r.take(message(eventFork, time.Second, 11, 10, 20, 10))             // a thread
	r.take(message(eventFork, 2*time.Second, 11, 10, nothing, nothing)) // by a thread of 10
	r.take(message(eventExec, 3*time.Second, nothing, nothing))         // it has ended since
	r.take(message(eventFork, 4*time.Second, nothing, nothing, 30, 30)) // its child
	r.take(message(eventFork, 5*time.Second, 99, 99, 40, 40))           // by one without a label
	r.take([]byte{1, 2, 3})
	want := []Start{
		{base.Add(2 * time.Second), nothing, "agent", "?"}, {base.Add(4 * time.Second), 30, "agent", ""}, {base.Add(5 * time.Second), 40, "", ""},
	}
	if len(r.all) != len(want) {
		t.Fatalf("%+v, want %+v", r.all, want)
	}
	for i := range want {
		if r.all[i] != want[i] {
			t.Errorf("%+v, want %+v", r.all[i], want[i])
		}
	}
}

// TestSyncs counts the test's own.
func TestSyncs(t *testing.T) {
	s, err := CountSyncs(false, os.Getpid())
	if errors.Is(err, ErrNoTracepoints) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 7 {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Count(); err != nil || n != 7 {
		t.Errorf("%d, %v; want 7", n, err)
	}
}

func TestFork(t *testing.T) {
	d, err := fork(t.Context())
	if err != nil || d <= 0 {
		t.Errorf("%s, %v", d, err)
	}
}
