package world

import (
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// agent is the shell of member.Next, as controller/agent is: it looks, asks, acts, and reports.
type agent struct {
	host *host
	w    *World
	life int
	up   bool

	clocks   *member.Clocks
	run      string
	goal     platform.Goal
	goalFrom uint64
	lease    member.Lease
	memory   member.Memory
	needs    string
	cancel   bool // the act under way is not wanted any more
	acting   bool
	waitTill time.Duration // after a failed act
}

func (a *agent) start() {
	h := a.host
	life := a.life + 1
	*a = agent{host: h, w: h.w, life: life, up: true}
	a.run = fmt.Sprintf("%s-%d-%d", h.name, h.boot, life)
	a.clocks = member.NewClocks(a.run, h.disk.number)
	if h.pg.busy {
		h.pg.abortClone()
	}
	a.step(life)
	a.report(life)
}

func (a *agent) stop() {
	a.life++
	a.up = false
}

// on runs f in this life of the agent, once it is not frozen.
func (a *agent) on(d time.Duration, f func()) {
	life := a.life
	a.w.after(d, func() {
		a.w.net.awake(a.host.name, func() {
			if a.life == life {
				f()
			}
		})
	})
}

// step is the agent's loop: look, remember, ask, act.
func (a *agent) step(life int) {
	if a.life != life {
		return
	}
	a.think()
	a.on(100*time.Millisecond, func() { a.step(life) })
}

// soon thinks again at once: something happened.
func (a *agent) soon() { a.on(2*time.Millisecond, a.think) }

func (a *agent) think() {
	if a.acting {
		return
	}
	seen := a.look()
	h := a.host
	act := member.Next(member.Input{Now: h.now(), Goal: a.goal, Durable: h.disk.durable, Seen: seen, Lease: a.lease, Memory: a.memory,
		GuardComplete: true, Name: h.member})
	a.needs = act.Needs
	if act.Kind != member.Nothing && h.now() >= a.waitTill {
		a.begin(act)
	}
}

// look also advances what the run remembers.
func (a *agent) look() member.Seen {
	h, m := a.host, &a.memory
	seen := h.pg.see()
	if h.pg.busy {
		seen.Data = health.DataUnknown
	}
	if seen.Streaming || m.StreamedAt == 0 || a.goal.Kind != platform.GoalReplica || !a.goal.Opened {
		m.StreamedAt = h.now()
	}
	if seen.Streaming {
		m.Restarted, m.RewindFailures = false, 0
	}
	if seen.Role == health.RolePrimary && a.goal.Kind == platform.GoalPrimary && m.Opened == a.goal.Epoch {
		m.Settling = member.Settle(m.Settling, a.goal, seen, m.SetCheckpoint)
	}
	return seen
}

// report reads the clock, then sends what is known to every controller.
func (a *agent) report(life int) {
	if a.life != life {
		return
	}
	a.sendReport()
	a.on(platform.Heartbeat(a.w.lease), func() { a.report(life) })
}

func (a *agent) sendReport() {
	number := a.clocks.Send(a.host.now()) // s, before anything else (L1)
	a.host.disk.number = number
	r := health.Report{Host: a.host.name, BootID: fmt.Sprint(a.host.boot), RunID: a.run, Number: number, Platform: "p1", Members: []health.Member{a.describe()}}
	life := a.life
	for _, c := range a.w.controllers {
		a.w.net.send(a.host.name, c.name, func() {
			c.report(r, func(answer *wire.ReportAnswer, err error) {
				if err != nil || answer == nil {
					return
				}
				a.w.net.send(c.name, a.host.name, func() {
					if a.life == life {
						a.obey(answer)
					}
				})
			})
		})
	}
}

// obey takes grants, to the guard first, then goals; an older answer changes no goal.
func (a *agent) obey(answer *wire.ReportAnswer) {
	for _, g := range answer.Grants {
		end, ours := a.clocks.End(answer.RunID, answer.Number, g.Length)
		if ours && end > a.host.now() {
			a.host.guard.extend(g.Epoch, end)
			a.lease = a.lease.Extend(g.Epoch, end)
		}
	}
	goal, ok := answer.Goals[a.host.member]
	if !ok || answer.Number < a.goalFrom {
		return
	}
	if goal.Kind != a.goal.Kind || goal.Epoch != a.goal.Epoch || goal.Clean != a.goal.Clean {
		a.cancel = true
		a.waitTill = 0
	}
	a.goal, a.goalFrom = goal, answer.Number
	a.soon()
}

// describe is the member's part of a report.
func (a *agent) describe() health.Member {
	h, d, seen := a.host, a.host.disk.durable, a.look()
	r := health.Member{Name: h.member, Data: seen.Data, Process: seen.Process, Role: seen.Role, SystemID: seen.SystemID, Epoch: d.Epoch, Closed: d.Closed,
		Timeline: seen.Timeline, Position: seen.Position, Incarnation: d.Incarnation, Senders: seen.Senders, Needs: a.needs,
		Guard: health.Guard{Complete: true, Armed: h.guard.epoch}}
	if seen.Process == health.ProcessEnded {
		r.Position, r.PositionKnown = seen.End, seen.End != 0
		if seen.Clean && seen.AsPrimary {
			r.Clean, r.Shutdown = true, seen.Shutdown
		}
		return r
	}
	if seen.Role == health.RoleStandby {
		r.PositionKnown = h.pg.known
		if h.pg.replayed > 0 {
			r.Replayed = h.pg.wal[h.pg.replayed-1].lsn
		}
		if seen.Receiver {
			r.Receiver = &health.Receiver{Streaming: seen.Streaming, AgeMS: (a.w.now - h.pg.lastStream).Milliseconds()}
		}
		if d.Sealed == a.memory.SealConfirmed && !d.Sealed.IsZero() && !seen.Receiver && a.goal.Kind == platform.GoalSealed {
			r.Sealed = d.Sealed
		}
		return r
	}
	a.describePrimary(&r, seen)
	return r
}

func (a *agent) describePrimary(r *health.Member, seen member.Seen) {
	d := a.host.disk.durable
	if seen.Role != health.RolePrimary || a.goal.Kind == platform.GoalReplica {
		return
	}
	r.Checkpointed = a.memory.Checkpointed
	r.Opened = a.memory.Opened == d.Epoch && d.Ran == d.Epoch
	if r.Opened {
		r.History = a.host.pg.history()
	}
	if n := len(a.goal.Sets); n > 0 && seen.SyncNames == member.SyncNames(a.goal.Sets[n-1]) {
		r.Loaded = a.goal.Sets[n-1].ID
		if a.memory.Settling.Done && a.memory.Settling.ID == r.Loaded {
			r.Settled = r.Loaded
		}
	}
}
