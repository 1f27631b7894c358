package appserver

import (
	"fmt"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

const (
	now  = time.Hour
	stop = 10 * time.Second
	boot = "this boot"
)

// everyInput calls f with every combination that matters.
func everyInput(f func(Input)) {
	moments := []time.Duration{0, now - time.Minute, now - 500*time.Millisecond}
	for _, want := range []platform.Wanting{platform.WantNothing, platform.WantRunning, platform.WantStopped} {
		for _, drain := range []time.Duration{0, 5 * time.Second} {
			for _, restart := range []uint64{0, 2} {
				for _, permit := range []time.Duration{0, 5 * time.Second} {
					g := platform.InstanceGoal{App: "web", Want: want, Drain: drain, Restart: restart, Permit: permit, Primary: "feed-e1"}
					for _, end := range []time.Duration{0, now - 2*time.Second, now, now + time.Second} {
						if permit == 0 && end != 0 {
							continue
						}
						kept := Durable{Goal: g, Restarted: restart}
						if permit > 0 {
							kept.Boot, kept.End = boot, end
						}
						late := kept
						late.Restarted = 0
						for _, d := range []Durable{{}, late, kept, {Goal: platform.InstanceGoal{Want: platform.WantRunning}, Restarted: 9}} {
							for _, s := range everySeen() {
								for _, m := range everyMemory(moments) {
									for _, grace := range []time.Duration{0, now + 500*time.Millisecond} {
										f(Input{Now: now, Boot: boot, Goal: g, PermitEnd: end, Grace: grace, Durable: d, Seen: s, Memory: m, Stop: stop,
											Output: "its log"})
									}
								}
							}
						}
					}
				}
			}
		}
	}
}

func everySeen() []Seen {
	return []Seen{{}, {Process: health.ProcessRunning}, {Process: health.ProcessRunning, Starting: true}, {Process: health.ProcessEnding},
		{Process: health.ProcessEnded}}
}

func everyMemory(moments []time.Duration) (all []Memory) {
	for _, ended := range []time.Duration{moments[0], moments[2]} {
		for _, drain := range moments {
			for _, stopped := range moments {
				for _, starts := range []int{0, 3, startsMost} {
					for _, told := range []bool{false, true} {
						m := Memory{EndedAt: ended, DrainFrom: drain, StopFrom: stopped, Starts: starts, Told: told, Drained: told && starts == 3}
						all = append(all, m)
						m.Begun = true
						all = append(all, m)
					}
				}
			}
		}
	}
	return all
}

// Whatever is seen and whatever is wanted, no act may break a rule.
func TestNoActBreaksARule(t *testing.T) {
	seen, broken := map[Kind]int{}, 0
	everyInput(func(in Input) {
		act := Next(in)
		seen[act.Kind]++
		if why := breaks(in, act); why != "" {
			if broken++; broken <= 3 {
				t.Errorf("%s\n act %+v\n input %+v", why, act, in)
			}
		}
	})
	for _, k := range []Kind{Nothing, Persist, Start, Drain, Readmit, Stop, Kill} {
		if seen[k] == 0 {
			t.Errorf("no input led to %q: this test tries too little", k)
		}
	}
}

// breaks names the rule that an act breaks, "" for none.
func breaks(in Input, act Act) string {
	g, s, m := in.Goal, in.Seen.Process, in.Memory
	lapsed := g.Permit > 0 && in.PermitEnd <= in.Now
	ends := act.Kind == Stop || act.Kind == Kill
	found := in.Now < in.Grace && s == health.ProcessRunning && g.Want == platform.WantRunning && m.Starts == 0
	switch {
	case s == health.ProcessUnknown && act.Kind != Nothing && act.Kind != Persist && !(lapsed && m.Begun):
		return "acted on what was not seen"
	case act.Again != 0 && act.Again <= in.Now:
		return "asks to be asked again in the past"
	case lapsed && (s == health.ProcessRunning || s == health.ProcessEnding) && !ends && act.Wait != "its processes to end" && !found:
		return "keeps running without its permit"
	case lapsed && found && (act.Kind != Nothing && act.Kind != Persist || act.Again > in.Grace):
		return "found running, and not left alone for a moment, or for longer"
	case lapsed && act.Wait == "its processes to end" && act.Again > max(in.PermitEnd, m.StopFrom)+platform.GuardKill:
		return "takes longer to end without its permit than is counted for"
	case g.Permit > 0 && !lapsed && (act.Again == 0 || act.Again > in.PermitEnd+platform.GuardKill):
		return "sleeps through the end of its permit"
	case act.Kind == Drain && lapsed:
		return "drains without its permit"
	case act.Kind == Start:
		return starts(in, lapsed)
	case ends && s == health.ProcessEnded && !m.Begun:
		return "stopped what had ended"
	case lapsed && (s == health.ProcessEnded || s == health.ProcessUnknown) && m.Begun && !ends && act.Wait != "its processes to end":
		return "lets a start continue without its permit"
	case act.Kind == Kill && (m.StopFrom == 0 || in.Now < m.StopFrom+time.Second && !lapsed):
		return "killed what was not asked, or a moment ago"
	case !lapsed && g.Want == platform.WantNothing && act.Kind != Nothing && act.Kind != Persist && act.Kind != Readmit:
		return "nothing is wanted, and it acted"
	case ends && !lapsed && g.Want == platform.WantRunning && s == health.ProcessRunning && m.StopFrom == 0 && !m.Told &&
		in.Durable.Restarted >= g.Restart:
		return "stopped an instance that must run"
	case ends && !lapsed && s == health.ProcessRunning && m.StopFrom == 0 && !m.Drained && g.Drain > 0 &&
		(m.DrainFrom == 0 || in.Now < m.DrainFrom+g.Drain):
		return "stopped without being drained"
	case act.Kind == Persist && act.Durable.Restarted > in.Durable.Restarted && s != health.ProcessEnded:
		return "took a restart for done that was not"
	case act.Kind == Persist && act.Durable.Restarted < in.Durable.Restarted:
		return "forgot a restart"
	}
	return ""
}

func starts(in Input, lapsed bool) string {
	switch d := in.Durable; {
	case in.Goal.Want != platform.WantRunning:
		return "started without a goal that wants it"
	case in.Seen.Process != health.ProcessEnded:
		return "started what has not ended"
	case in.Memory.Begun:
		return "started what may run by now"
	case lapsed:
		return "started without a permit"
	case d.Goal != in.Goal || d.Restarted < in.Goal.Restart || in.Goal.Permit > 0 && d.Boot != in.Boot:
		return "started before that was on disk"
	case in.Memory.Starts >= startsMost:
		return "started though it was given up"
	case in.Memory.EndedAt != 0 && in.Now < in.Memory.EndedAt+Backoff(in.Memory.Starts):
		return "started without a pause"
	}
	return ""
}

func TestWaitingSaysWhatFor(t *testing.T) {
	everyInput(func(in Input) {
		act, r := Next(in), in.Report("web-e1", false)
		settled := in.Goal.Want == platform.WantNothing || in.Goal.Want == platform.WantRunning && in.Seen.Process == health.ProcessRunning ||
			in.Goal.Want == platform.WantStopped && in.Seen.Process == health.ProcessEnded
		if act.Kind == Nothing && act.Wait == "" && act.Error == "" && !settled {
			t.Fatalf("waits without a word: %+v", in)
		}
		if r.Stopped && (act.Kind == Start || in.Seen.Process != health.ProcessEnded || in.Durable.Goal.Want != platform.WantStopped) {
			t.Fatalf("affirms that it is stopped: %+v", in)
		}
		if in.Closed() == "" && (!r.Running || r.Draining || act.Kind == Stop || act.Kind == Kill || act.Kind == Drain) {
			t.Fatalf("gets requests, %v: %+v", act, in)
		}
	})
}

// From every state a goal is reached, whether the process obeys TERM or not.
func TestEveryStateHasAWay(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		everyInput(func(in Input) {
			if in.Goal.Want == platform.WantNothing || in.Seen.Process == health.ProcessUnknown {
				return
			}
			if in.Memory.Starts == startsMost && in.Goal.Want == platform.WantRunning {
				return // given up: only a new goal continues
			}
			w := world{Input: in, obeys: obeys}
			for range 200 {
				if w.reached() {
					return
				}
				w.step()
			}
			t.Fatalf("%v is not reached, obeys TERM: %v\n now %+v\n act %+v\nfrom %+v", w.Goal, obeys, w.Input, Next(w.Input), in)
		})
	}
}

// world does what Next says, as the agent would.
type world struct {
	Input
	obeys bool
	cut   bool // no leader answers
}

func (w *world) reached() bool {
	r := w.Report("web-e1", false)
	if w.Goal.Want == platform.WantStopped {
		return r.Stopped
	}
	if w.lapsed() {
		return w.Seen.Process == health.ProcessEnded
	}
	return w.Closed() == "" && r.Restarted >= w.Goal.Restart
}

func (w *world) step() {
	switch act := Next(w.Input); act.Kind {
	case Persist:
		w.Durable = act.Durable
	case Start:
		w.Memory, w.Seen = w.Memory.Starting(), Seen{Process: health.ProcessRunning}
	case Drain:
		w.Memory.DrainFrom = w.Now
	case Readmit:
		w.Memory = w.Memory.Readmitted()
	case Stop:
		if w.Memory.StopFrom = w.Now; w.obeys {
			w.Seen = Seen{Process: health.ProcessEnded}
		}
	case Kill:
		w.Memory.KilledAt = w.Now
		w.Seen = Seen{Process: health.ProcessEnded}
	}
	if w.Seen.Starting && w.Memory.StopFrom == 0 {
		w.Seen.Starting = false
	}
	w.Now += 500 * time.Millisecond
	if !w.cut && w.Goal.Permit > 0 && w.PermitEnd > now {
		w.PermitEnd = w.Now + w.Goal.Permit // a leader keeps answering
	}
	w.Memory = w.Memory.Looked(w.Seen, w.Now)
}

func ExampleBackoff() {
	for n := range 8 {
		fmt.Print(Backoff(n), " ")
	}
	// Output: 0s 1s 2s 4s 8s 16s 30s 30s
}
