package device

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func pidsOf(text string) (pids []int) {
	for _, word := range strings.Fields(text) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ladder makes one of programs, each in a bed of its own.
func ladder(devices ...platform.FenceDevice) *Ladder {
	a := &Agents{}
	for _, d := range devices {
		a.Allowed = append(a.Allowed, d.Exec)
	}
	return a.Ladder(platform.Host{Name: "db-e1", Fence: devices})
}

func at(level int, b *bed) platform.FenceDevice {
	s := b.spec(true)
	s.Level = level
	return s
}

func TestNoDevice(t *testing.T) {
	if r := ladder().Off(t.Context()); r.Verdict != fencing.Unproven || r.String() != "the host has no fence device" {
		t.Errorf("got %+v", r)
	}
}

// TestTwoSupplies: a host with two power supplies is fenced only when both PDUs have cut it.
func TestTwoSupplies(t *testing.T) {
	a, b := newBed(t, nil), newBed(t, nil)
	r := ladder(at(1, a), at(1, b)).Off(t.Context())
	if r.Verdict != fencing.Fenced || r.Level != 1 || len(r.Answers) != 2 || a.read("power") != "off\n" || b.read("power") != "off\n" {
		t.Errorf("got %+v", r)
	}
	dead := newBed(t, acts{"off": "echo 'no route to host' >&2; exit 1"})
	r = ladder(at(1, newBed(t, nil)), at(1, dead)).Off(t.Context())
	if r.Verdict != fencing.Unproven || r.Level != 0 || r.Answers[0].Verdict != fencing.Fenced {
		t.Errorf("got %+v", r)
	}
	if s := r.String(); !strings.Contains(s, dead.path("cut-power")+": off exited 1: no route to host") {
		t.Errorf("got %q", s)
	}
}

// TestOnAgain: a PDU that was switched on while the other one was being switched off proves nothing.
func TestOnAgain(t *testing.T) {
	a := newBed(t, acts{"status": `read p <power; if [ $p = off ]; then echo >seen; echo "Status: OFF"; exit 2; fi; echo "Status: ON"`})
	b := newBed(t, acts{"off": "while ! [ -e " + a.path("seen") + " ]; do sleep 0.02; done; echo on >" + a.path("power") +
		"; echo off >power"})
	r := ladder(at(1, a), at(1, b)).Off(t.Context())
	if r.Verdict != fencing.Unproven ||
		r.Answers[0].Reason != "was off, but not when all devices of its level should have been: status says on" {
		t.Errorf("got %+v", r)
	}
}

// TestFirstLevelWins: while one level hangs another one fences, without waiting for the first.
func TestFirstLevelWins(t *testing.T) {
	hung, well := newBed(t, acts{"off": "sleep 1000"}), newBed(t, nil)
	slow := at(1, hung)
	slow.Timeout = time.Minute
	r := ladder(slow, at(2, well)).Off(t.Context())
	if r.Verdict != fencing.Fenced || r.Level != 2 || len(r.Answers) != 2 {
		t.Fatalf("got %+v", r)
	}
	if a := r.Answers[0]; a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "another level was first") || a.Took > 20*time.Second {
		t.Errorf("got %+v", a)
	}
	if got := r.String(); got != well.path("cut-power")+": switched off, status says off" {
		t.Errorf("got %q", got)
	}
	hung.gone("pid")
}

// TestOwnDeadlines: each device has its own, and the result says how long each took.
func TestOwnDeadlines(t *testing.T) {
	var specs []platform.FenceDevice
	for i := range 2 {
		s := at(i+1, newBed(t, acts{"off": "sleep 1000"}))
		s.Timeout = time.Duration(i+1) * 700 * time.Millisecond
		specs = append(specs, s)
	}
	r := ladder(specs...).Off(t.Context())
	for i, a := range r.Answers {
		if a.Verdict != fencing.Unproven || a.Took < specs[i].Timeout || a.Took > specs[i].Timeout+2*time.Second {
			t.Errorf("got %+v, timeout %s", a, specs[i].Timeout)
		}
	}
	if r.Verdict != fencing.Unproven {
		t.Errorf("got %+v", r)
	}
}

func TestLadderOn(t *testing.T) {
	a, b := newBed(t, nil), newBed(t, nil)
	l := ladder(at(1, a), at(2, b))
	l.Off(t.Context())
	if _, err := l.On(t.Context()); err != nil || a.read("power") != "on\n" || b.read("power") != "on\n" {
		t.Errorf("got %v, %q, %q", err, a.read("power"), b.read("power"))
	}
	for _, s := range l.Status(t.Context()) {
		if s.Power != fencing.PowerOn {
			t.Errorf("got %+v", s)
		}
	}
	dead := newBed(t, acts{"on": "exit 1"})
	_, err := ladder(at(1, a), at(1, dead)).On(t.Context())
	if err == nil || err.Error() != "switch db-e1 on by "+dead.path("cut-power")+": on exited 1" {
		t.Errorf("got %v", err)
	}
}
