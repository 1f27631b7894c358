package state

import (
	"fmt"
	"testing"

	"mainstay/controller/platform"
)

func fenceable(t *testing.T) *State {
	t.Helper()
	p := testPlatform(1)
	for i := range p.Hosts {
		p.Hosts[i].Fence = []platform.FenceDevice{{Agent: "fence_ipmilan"}}
	}
	return run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: p}})
}

// A late answer of the devices to an earlier fence confirms no later one: the power may have come back in between (S4).
func TestAnswersNameTheirFence(t *testing.T) {
	fence, unfence := Command{Fence: &FenceHost{Host: "h1"}}, Command{Unfence: &UnfenceHost{Host: "h1"}}
	off := func(n uint64) Command { return Command{Fenced: &HostFenced{Host: "h1", Fence: n, Off: true}} }
	on := func(n uint64) Command { return Command{Unfenced: &HostUnfenced{Host: "h1", Fence: n, On: true}} }

	s := fenceable(t)
	refused(t, s, unfence, "host h1 is not fenced;")
	s = run(t, s, fence)
	refused(t, s, fence, "run `mainstay unfence h1` to restore its power")
	first := s.Index
	if want := (Effect{Kind: PowerOff, Host: "h1", Fence: first}); len(s.Effects()) != 1 || s.Effects()[0] != want {
		t.Fatalf("effects %+v", s.Effects())
	}
	s = run(t, s, off(first), unfence)
	if want := (Effect{Kind: PowerOn, Host: "h1", Fence: first}); len(s.Effects()) != 1 || s.Effects()[0] != want {
		t.Fatalf("effects %+v", s.Effects())
	}
	s = run(t, s, on(first), fence)
	second := s.Index
	late := fmt.Sprintf("host h1: the answer belongs to fence %d, but fence %d is in force", first, second)
	refused(t, s, off(first), late)
	s = run(t, s, off(second))
	if s.FencedOff("h1") == nil || !s.Fences["h1"].Off {
		t.Errorf("fence %+v", s.Fences["h1"])
	}
	s = run(t, s, unfence)
	refused(t, s, on(first), late)
	if s = run(t, s, on(second)); len(s.Fences) != 0 {
		t.Errorf("fences %+v", s.Fences)
	}
}

// A log of a version that did not number fences gives what it gave there: its answers name none.
func TestAnswersWithoutANumber(t *testing.T) {
	s := fenceable(t)
	for _, text := range []string{`{"fence":{"host":"h1","reason":"asked"}}`, `{"fenced":{"host":"h1","off":true,"detail":"bmc"}}`,
		`{"unfence":{"host":"h1"}}`, `{"unfenced":{"host":"h1","on":true,"detail":"bmc"}}`} {
		c, err := DecodeCommand([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if s = run(t, s, c); c.Fenced != nil && !s.Fences["h1"].Off {
			t.Errorf("%s: fence %+v", text, s.Fences["h1"])
		}
	}
	if len(s.Fences) != 0 {
		t.Errorf("fences %+v", s.Fences)
	}
	// A snapshot of it may hold a fence without a number.
	s = run(t, s, Command{Fence: &FenceHost{Host: "h2"}})
	old := *s.Fences["h2"]
	old.Number = 0
	s.putFence("h2", &old)
	for _, number := range []uint64{0, s.Index} { // of a leader of that version, and of this one
		if now := run(t, s, Command{Fenced: &HostFenced{Host: "h2", Fence: number, Off: true}}); !now.Fences["h2"].Off {
			t.Errorf("fence %+v", now.Fences["h2"])
		}
	}
}
