package appserver

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// scene is one instance through time; each step is 500 ms, as the agent looks.
type scene struct {
	*testing.T
	world
	crashes bool // it ends at once after each start
	did     []string
}

func newScene(t *testing.T, g platform.InstanceGoal, p health.Process) *scene {
	return &scene{T: t, world: world{Input: Input{Now: now, Boot: boot, Goal: g, Durable: Durable{Goal: g}, Seen: Seen{Process: p}, Stop: stop,
		Output: "its log"}, obeys: true}}
}

func (s *scene) run(d time.Duration) *scene {
	for end := s.Now + d; s.Now < end; {
		if act := Next(s.Input); act.Kind != Nothing && act.Kind != Persist {
			s.did = append(s.did, string(act.Kind))
		}
		s.step()
		if s.crashes && s.Seen.Process == health.ProcessRunning {
			s.Seen.Process = health.ProcessEnded
			s.Memory = s.Memory.Looked(s.Seen, s.Now)
		}
	}
	return s
}

func (s *scene) want(text string) *scene {
	s.Helper()
	if got := strings.Join(s.did, " "); got != text {
		s.Errorf("did %q, want %q", got, text)
	}
	s.did = nil
	return s
}

func (s *scene) goal(g platform.InstanceGoal) *scene {
	s.Memory, s.Goal = s.Memory.Goal(s.Goal, g), g
	return s
}

var running = platform.InstanceGoal{Want: platform.WantRunning, Drain: 2 * time.Second}

func stopped() platform.InstanceGoal { g := running; g.Want = platform.WantStopped; return g }

func TestCrashLoop(t *testing.T) {
	s := newScene(t, running, health.ProcessEnded)
	s.crashes = true
	s.run(5 * time.Minute).want(strings.TrimSpace(strings.Repeat("start ", startsMost)))
	if act := Next(s.Input); !strings.Contains(act.Error, "given up") || !strings.Contains(act.Error, "its log") {
		t.Errorf("%q does not say that it was given up, and where to look", act.Error)
	}
	if r := s.Report("web-e1", false); r.Restarts != startsMost-1 || r.Running || r.Stopped {
		t.Errorf("reported as %+v", r)
	}
	s.crashes = false
	again := running
	again.Restart = 1
	s.goal(again).run(2 * time.Minute).want("start")
	if s.Memory.Starts != 0 {
		t.Error("a minute of running does not count")
	}
	s.crashes = true
	s.Seen.Process = health.ProcessEnded
	s.Memory = s.Memory.Looked(s.Seen, s.Now)
	s.run(5 * time.Minute).goal(stopped()).run(time.Second).want(strings.TrimSpace(strings.Repeat("start ", startsMost)))
	s.crashes = false
	s.goal(again).run(time.Second).want("start")
	if r := s.Report("web-e1", false); r.Restarts != 0 || r.Restarted != 1 {
		t.Errorf("wanted anew, and reported as %+v", r)
	}
}

func TestACrashThatLeavesChildrenCountsToo(t *testing.T) {
	s := newScene(t, running, health.ProcessRunning).run(time.Second)
	s.Seen.Process = health.ProcessEnding
	s.Memory = s.Memory.Looked(s.Seen, s.Now)
	s.Memory.Starts = 3
	s.run(3 * time.Second).want("stop")
	s.run(2 * time.Second).want("start")
}

func TestDrain(t *testing.T) {
	s := newScene(t, running, health.ProcessRunning).run(time.Second).want("")
	s.goal(stopped())
	if s.Closed() == "" {
		t.Error("it must stop, and gets requests")
	}
	s.run(time.Second).want("drain")
	s.goal(running).run(time.Second).want("readmit")
	s.goal(stopped()).run(2 * time.Second).want("drain").run(time.Second).want("stop")
	if r := s.Report("web-e1", false); !r.Stopped {
		t.Errorf("reported as %+v", r)
	}

	t.Run("its program ends early", func(t *testing.T) {
		s := newScene(t, running, health.ProcessRunning).goal(stopped()).run(500 * time.Millisecond).want("drain")
		s.Memory.Told, s.Memory.Drained = true, true
		s.run(500 * time.Millisecond).want("stop")
	})
	t.Run("what its program did only a start undoes", func(t *testing.T) {
		s := newScene(t, running, health.ProcessRunning).goal(stopped()).run(500 * time.Millisecond).want("drain")
		s.Memory.Told = true
		s.goal(running).run(5 * time.Second).want("stop start")
	})
	t.Run("TERM cannot be taken back", func(t *testing.T) {
		s := newScene(t, running, health.ProcessRunning).goal(stopped())
		s.obeys = false
		s.run(3 * time.Second).want("drain stop")
		s.goal(running).run(12 * time.Second).want("kill start")
	})
}

func TestRestart(t *testing.T) {
	s := newScene(t, running, health.ProcessRunning)
	g := running
	g.Restart = 4
	s.goal(g).run(10 * time.Second).want("drain stop start")
	if s.Durable.Restarted != 4 {
		t.Fatalf("restart %d is on disk", s.Durable.Restarted)
	}
	// An agent that is started anew does not do it again.
	next := newScene(t, g, health.ProcessRunning)
	next.Durable = s.Durable
	next.run(10 * time.Second).want("")
	// An instance that ended in between is started once.
	ended := newScene(t, g, health.ProcessEnded)
	ended.run(10 * time.Second).want("start")
}

func TestPermit(t *testing.T) {
	g := running
	g.Permit, g.Primary = 5*time.Second, "feed-e1"
	s := newScene(t, g, health.ProcessRunning)
	s.PermitEnd, s.obeys, s.cut = now+3*time.Second, false, true
	s.run(3 * time.Second).want("")
	if s.Durable.Boot != boot || s.Durable.End != now+3*time.Second {
		t.Errorf("on disk: %+v", s.Durable)
	}
	if s.Closed() == "" {
		t.Error("it gets requests without a permit")
	}
	act := Next(s.Input)
	if act.Kind != Stop || !strings.Contains(act.Error, "its permit has ended") {
		t.Errorf("at its permit's end: %+v", act)
	}
	s.Memory.StopFrom = s.Now
	s.Now += lapsedStop - time.Millisecond
	if act := Next(s.Input); act.Kind != Nothing && act.Kind != Persist {
		t.Errorf("while TERM may take: %+v", act)
	}
	s.Now += time.Millisecond
	if act := Next(s.Input); act.Kind != Kill {
		t.Errorf("after that: %+v", act)
	}
	s.Memory.KilledAt = s.Now
	if act := Next(s.Input); act.Kind == Kill || act.Again != s.Now+killAgain {
		t.Errorf("just killed: %+v", act)
	}
	s.Now += killAgain
	if act := Next(s.Input); act.Kind != Kill {
		t.Errorf("killed a while ago, and it lives: %+v", act)
	}
	s.Seen.Process = health.ProcessEnded
	s.Memory = s.Memory.Looked(s.Seen, s.Now)
	if act := Next(s.Input); act.Kind == Start || !strings.Contains(act.Error, "its permit has ended") {
		t.Errorf("without a permit: %+v", act)
	}
	s.PermitEnd = s.Now + time.Second
	s.run(time.Second).want("start")
}

// TestAStartThatRunsWhenThePermitEnds: what was begun may run at any moment, on a disk that hangs long after.
func TestAStartThatRunsWhenThePermitEnds(t *testing.T) {
	g := running
	g.Permit, g.Primary = 5*time.Second, "feed-e1"
	s := newScene(t, g, health.ProcessEnded)
	s.Durable.Boot, s.Durable.End, s.PermitEnd = boot, now+time.Second, now+time.Second
	act := Next(s.Input)
	if act.Kind != Start || act.Again != s.PermitEnd {
		t.Fatalf("under its permit: %+v", act)
	}
	s.Memory = s.Memory.Starting()
	s.Now = s.PermitEnd
	if act = Next(s.Input); act.Kind != Stop || act.Again != s.Now+lapsedStop {
		t.Errorf("at its end the start continues: %+v", act)
	}
	blind := s.Input
	if blind.Seen = (Seen{}); Next(blind).Kind != Stop {
		t.Errorf("it keeps running where no look succeeds: %+v", Next(blind))
	}
	s.Memory.StopFrom = s.Now
	s.Now += lapsedStop
	if act = Next(s.Input); act.Kind != Kill {
		t.Errorf("after that: %+v", act)
	}
	late := s.Input
	late.Memory.KilledAt, late.Seen.Process = s.Now, health.ProcessRunning
	late.Memory = late.Memory.Looked(late.Seen, s.Now)
	if act = Next(late); act.Kind != Kill {
		t.Errorf("what was not there when it was killed: %+v", act)
	}
	s.Memory = s.Memory.Looked(s.Seen, s.Now)
	if act = Next(s.Input); act.Kind != Nothing && act.Kind != Persist || s.Memory.Starts != 0 {
		t.Errorf("it was called off: %+v %+v", act, s.Memory)
	}
}

func TestAPermitThatEndsDuringAStop(t *testing.T) {
	g := stopped()
	g.Permit = 5 * time.Second
	s := newScene(t, g, health.ProcessRunning)
	s.PermitEnd, s.Memory.StopFrom = now+2*time.Second, now-time.Second
	if act := Next(s.Input); act.Again > now+3*time.Second || act.Kind == Kill {
		t.Errorf("%+v", act)
	}
	s.Now = now + 3*time.Second
	if act := Next(s.Input); act.Kind != Kill {
		t.Errorf("%+v", act)
	}
}

func TestPermitAfter(t *testing.T) {
	d := Durable{Goal: platform.InstanceGoal{Permit: 5 * time.Second}, Boot: boot, End: now + 3*time.Second}
	for _, c := range []struct {
		boot        string
		begun, want time.Duration
	}{{boot, now, now + 3*time.Second}, {boot, now - 4*time.Second, now + time.Second}, {boot, now + time.Minute, now + 3*time.Second},
		{"another", now, 0}} {
		end, grace := PermitAfter(d, c.boot, c.begun)
		spares := time.Duration(0)
		if c.boot == boot && c.want <= c.begun {
			spares = c.begun + startGrace
		}
		if end != c.want || grace != spares {
			t.Errorf("boot %s, begun %s: %s and %s, want %s and %s", c.boot, c.begun, end, grace, c.want, spares)
		}
	}
	d.Boot = ""
	if end, grace := PermitAfter(d, "", now); end != 0 || grace != 0 {
		t.Error("boots that cannot be told apart count as the same")
	}
}

// TestWhatAnAgentFindsRunning: it may outlive its permit for a moment, in which nothing is started, unless its goal is to stop.
func TestWhatAnAgentFindsRunning(t *testing.T) {
	g := running
	g.Permit, g.Primary = 5*time.Second, "feed-e1"
	in := Input{Now: now, Boot: boot, Goal: g, PermitEnd: now - time.Minute, Grace: now + time.Second,
		Seen: Seen{Process: health.ProcessRunning}, Stop: stop}
	in.Durable = in.durable()
	if act := Next(in); act.Kind != Nothing || act.Again != in.Grace || in.Closed() != "" {
		t.Errorf("found running: %+v, %s", act, in.Closed())
	}
	for name, change := range map[string]func(*Input){
		"the moment is over":    func(in *Input) { in.Now = in.Grace },
		"it must stop":          func(in *Input) { in.Goal.Want = platform.WantStopped },
		"this run has begun it": func(in *Input) { in.Memory.Starts = 1 },
	} {
		next := in
		change(&next)
		if act := Next(next); act.Kind != Stop || next.Closed() == "" {
			t.Errorf("%s: %+v", name, act)
		}
	}
	in.Seen.Process = health.ProcessEnded
	if act := Next(in); act.Kind == Start {
		t.Errorf("found ended, and started without a permit: %+v", act)
	}
}

// TestRenewed: an ended permit may have been counted out, so an instance that must stop does not continue under a new one.
func TestRenewed(t *testing.T) {
	unlimited, permitted, bound := running, running, stopped()
	permitted.Permit, bound.Permit = 2*time.Second, 2*time.Second
	s := now - time.Second
	for _, c := range []struct {
		name      string
		old, next platform.InstanceGoal
		end, want time.Duration
	}{
		{"it runs on", permitted, permitted, now + 500*time.Millisecond, s + 2*time.Second},
		{"an earlier answer gave it longer", permitted, permitted, now + time.Minute, now + time.Minute},
		{"it may run again", permitted, permitted, now - time.Minute, s + 2*time.Second},
		{"it must stop, and drains", permitted, bound, now + 500*time.Millisecond, s + 2*time.Second},
		{"it must stop, and had none", permitted, bound, now, now},
		{"it must stop, and needed none", unlimited, bound, now - time.Minute, s + 2*time.Second},
	} {
		if got := Renewed(c.old, c.next, c.end, s, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The disk is written at most once a second for a permit that is renewed at every heartbeat.
func TestAPermitIsWrittenSeldom(t *testing.T) {
	g := running
	g.Permit = 5 * time.Second
	in := Input{Now: now, Boot: boot, Goal: g, PermitEnd: now + g.Permit, Seen: Seen{Process: health.ProcessRunning}, Stop: stop}
	written := 0
	for range 100 {
		if act := Next(in); act.Kind == Persist {
			in.Durable = act.Durable
			written++
		}
		in.Now += 100 * time.Millisecond
		in.PermitEnd = in.Now + g.Permit
	}
	if written < 9 || written > 11 {
		t.Errorf("written %d times in 10 s", written)
	}
}

func TestConfirm(t *testing.T) {
	permitted := running
	permitted.Permit = 2 * time.Second
	bound := permitted
	bound.Want = platform.WantStopped
	for _, c := range []struct {
		name      string
		old, next platform.InstanceGoal
		named     bool
		want      platform.InstanceGoal
	}{
		{"a goal", running, stopped(), true, stopped()},
		{"it drains, and is still bound", permitted, stopped(), true, bound},
		{"nothing is wanted any more", permitted, platform.InstanceGoal{App: "web"}, true, platform.InstanceGoal{App: "web"}},
		{"it left the platform", running, platform.InstanceGoal{}, false, platform.InstanceGoal{}},
		{"its permit is not renewed", permitted, platform.InstanceGoal{}, false, permitted},
		{"it stays stopped", stopped(), platform.InstanceGoal{}, false, stopped()},
	} {
		if got := Confirm(c.old, c.next, c.named); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Leaders that come and go for a while do not make an app server one that is given up.
func TestAPermitThatEndsIsNoFailedStart(t *testing.T) {
	g := running
	g.Permit, g.Primary = 5*time.Second, "feed-e1"
	s := newScene(t, g, health.ProcessRunning)
	for range startsMost + 2 {
		s.cut, s.PermitEnd = true, s.Now
		if s.run(2 * time.Second); s.Seen.Process != health.ProcessEnded {
			t.Fatalf("its permit has ended, and it is %s", s.Seen.Process)
		}
		s.cut, s.PermitEnd = false, s.Now+g.Permit
		s.run(2 * time.Second)
	}
	if s.Seen.Process != health.ProcessRunning {
		t.Errorf("it is %s: %+v", s.Seen.Process, Next(s.Input))
	}
}
