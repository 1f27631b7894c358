package guard_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"mainstay/fencing/guard"
	"mainstay/fencing/process/fakepg"
	"mainstay/test/kit"

	"golang.org/x/sys/unix"
)

func (b *bed) dutyPages() (dutyPages [2]*guard.DutyPage) {
	b.Helper()
	for i, slot := range []string{"a", "b"} {
		pid, err := guard.Listening(b.Context(), b.options.Dir, slot)
		if err != nil {
			b.Fatal(err)
		}
		p, err := guard.OpenDutyPage(pid)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		dutyPages[i] = p
	}
	return dutyPages
}

// TestDutyPages: a guard's duty is visible to the watchdog's holder as soon as the agent is answered.
func TestDutyPages(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	duties := b.dutyPages()
	for i, p := range duties {
		if d := p.Duty(); d != (guard.Duty{}) || p.PID() != b.status(s).Guards[i].PID {
			t.Errorf("a fresh guard, process %d, owes %+v", p.PID(), d)
		}
	}
	first := b.extend(s, "1.1", 20*time.Second)
	armed := duties[0].Duty()
	end := b.extend(s, "1.1", 30*time.Second)
	for _, p := range duties {
		if d := p.Duty(); d.End != end || d.Since <= armed.Since || d.Settled != 0 || armed.End != first {
			t.Errorf("armed until %v, then %v: %+v, then %+v", first, end, armed, d)
		}
	}
	if err := s.Disarm(); err != nil {
		t.Fatal(err)
	}
	for _, p := range duties {
		if d := p.Duty(); d.End != 0 || d.Settled < armed.Since {
			t.Errorf("disarmed: %+v", d)
		}
	}
	end = b.extend(s, "1.2", 300*time.Millisecond)
	if !b.pg.WaitEnded(10 * time.Second) {
		t.Fatal("the tree lives on")
	}
	for _, p := range duties {
		kit.Eventually(t, "the kill settles what was owed", func() bool { d := p.Duty(); return d.End == 0 && d.Settled >= end })
	}
}

// TestADeadGuardsDutyPage keeps its last word, and one that hangs does.
func TestADeadGuardsDutyPage(t *testing.T) {
	b := newBed(t, fakepg.Options{})
	s := b.start()
	end := b.extend(s, "1.1", 30*time.Second)
	st := b.status(s)
	signal(t, st.Guards[1].PID, unix.SIGSTOP)
	duties := b.dutyPages() // also of one that cannot answer
	signal(t, st.Guards[0].PID, unix.SIGKILL)
	<-s.Died()
	for i, p := range duties {
		if d := p.Duty(); d.End != end || d.Settled != 0 {
			t.Errorf("guard %d owes %+v, want the end %v", i, d, end)
		}
	}
	signal(t, st.Guards[1].PID, unix.SIGCONT) // it sees its peer's death, and kills
	kit.Eventually(t, "the survivor's kill", func() bool { d := duties[1].Duty(); return d.End == 0 && d.Settled > duties[0].Duty().Since })
}

func TestNoDutyPage(t *testing.T) {
	if pid, err := guard.Listening(t.Context(), t.TempDir(), "a"); pid != 0 || err != nil {
		t.Errorf("no listener: got %d, %v", pid, err)
	}
	if p, err := guard.OpenDutyPage(os.Getpid()); p != nil || err == nil || !strings.Contains(err.Error(), "the guard has no page") {
		t.Errorf("no guard: got %v", err)
	}
	if p, err := guard.OpenDutyPage(1 << 30); p != nil || err == nil {
		t.Errorf("no process: got %v", err)
	}
}
