package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// agent is the lease path and the reports of one host, as controller/agent's reporter is.
type agent struct {
	host   *host
	w      *World
	life   int
	up     bool
	run    string
	clocks *member.Clocks
	// answered is the number of the last report that a leader has answered without a relay; relay passes reports on.
	answered       uint64
	relay          *host
	heard          time.Duration // when a leader answered last, or the agent was started
	spoke          time.Duration // when it last had goals; 0: not yet
	since          time.Duration // true time of its start
	heartbeatEvery time.Duration // how often it reports, as a leader said last
}

func (a *agent) start() {
	h := a.host
	a.life++
	a.up, a.since, a.heartbeatEvery = true, a.w.now, platform.Heartbeat(platform.DefaultLease)
	a.run = fmt.Sprintf("%s-%d", a.w.net.names[h.node], h.boot) // one for all agents of a boot
	a.clocks, a.answered, a.relay, a.heard, a.spoke = member.NewClocks(a.run, uint64(h.now())), 0, nil, h.now(), 0
	if !slices.Contains(h.runs, a.run) {
		h.runs = append(slices.Clip(h.runs), a.run)
	}
	for _, m := range h.members { // nothing of the run before may be sent for one while another begins
		m.run = run{report: &[1]health.Member{{Name: m.name}}}
		m.kept.Pending = nil
	}
	for _, m := range h.members {
		m.begin()
	}
	for _, m := range h.apps {
		m.begin()
	}
	a.report()
}

func (a *agent) stop() {
	a.life++
	a.up = false
}

// on runs f in this life of the agent, once it is not stopped.
func (a *agent) on(d time.Duration, f func()) { a.lets(d, call(f)) }

// onDisk is on for what needs the disk, which may hang: then for as long as it hangs, however slow the agent is.
func (a *agent) onDisk(d time.Duration, f func()) { a.at(a.takes(d)+a.host.stall(), call(f)) }

func (a *agent) lets(d time.Duration, what happening) { a.at(a.takes(d), what) }

// takes is how long its agent needs for what others do in d.
func (a *agent) takes(d time.Duration) time.Duration { return d * time.Duration(max(1, a.host.slow)) }

func (a *agent) at(d time.Duration, what happening) {
	if a.up { // what happens to its host is nothing to an agent that does not run
		a.w.add(a.w.now+d, event{what: what, owner: &a.life, life: a.life, where: a.host.node, from: nowhere})
	}
}

// report reads the clock, then sends what is known to every controller.
func (a *agent) report() {
	a.send()
	a.lets(a.heartbeatEvery, (*reporting)(a))
}

type reporting agent

func (a *reporting) happen() { (*agent)(a).report() }

func (a *agent) send() {
	number := a.clocks.Send(a.host.now()) // s, before anything else (L1)
	mail := &mail{Report: health.Report{Host: a.host.name, BootID: a.host.bootID(), RunID: a.run, Number: number, Platform: "p1"}}
	r := &mail.Report
	if len(a.host.members) == 1 {
		r.Members = a.host.members[0].toSend()[:]
	} else {
		r.Members = make([]health.Member, 0, len(a.host.members))
		for _, m := range a.host.members {
			r.Members = append(r.Members, m.report[0])
		}
	}
	if a.w.apps != nil {
		r.Address = a.host.name
	}
	if a.host.bonded && (a.spoke == 0 || a.host.now()-a.spoke >= platform.DefaultLease/2) {
		r.Runs = a.host.runs
	}
	for _, m := range a.host.apps {
		r.Instances = append(r.Instances, m.snapshot())
	}
	posts := mail.posts[:0]
	for _, c := range a.w.controllers {
		posts = append(posts, post{a: a, life: a.life, boot: a.host.boot, to: c, report: r})
		if a.relay != nil {
			posts = append(posts, post{a: a, life: a.life, boot: a.host.boot, to: c, over: a.relay, report: r})
		}
	}
	for i := range posts {
		a.way(posts[i].to, posts[i].over, &posts[i])
	}
	for _, m := range a.host.members {
		m.askForPromises(number)
	}
}

// mail is a report, with room for its posts to three controllers: one piece of memory.
type mail struct {
	health.Report
	posts [3]post
}

// post is a report on its way to a controller, straight or over another host's agent, and its answer on the way back.
type post struct {
	a      *agent
	life   int
	boot   int
	to     *controller
	over   *host
	report *health.Report
}

func (p *post) happen() { p.to.report(p) }

// answered is an answer to a post, which may have arrived twice, on its way back.
type answered struct {
	*post
	answer *wire.ReportAnswer
}

func (p *answered) happen() {
	a := p.a
	if a.life != p.life {
		return
	}
	if p.over == nil {
		a.answered, a.relay = max(a.answered, p.answer.Number), nil
	}
	a.heard = a.host.now()
	if p.answer.Heartbeat > 0 {
		a.heartbeatEvery = p.answer.Heartbeat
	}
	if a.host.bonded = true; len(p.answer.Goals) > 0 {
		a.spoke = a.host.now()
	}
	a.obey(p.answer)
}

// obey takes grants, to the guards first, then goals; an older answer changes no goal.
func (a *agent) obey(answer *wire.ReportAnswer) {
	for _, g := range answer.Grants {
		end, ours := a.clocks.End(answer.RunID, answer.Number, g.Length)
		if m := a.host.member(g.Member); ours && m != nil && end > a.host.now() {
			m.promises.Grant(a.host.now(), g.Length)
			m.granted(g.Epoch, end, g.Length)
		}
	}
	for _, m := range a.host.members {
		if goal, ok := answer.Goals[m.name]; ok && !answer.Age().Before(m.goalFrom) {
			m.wants(goal, answer.Age())
			m.keepResume(answer.Version)
		}
	}
	if s, ours := a.clocks.End(answer.RunID, answer.Number, 0); ours {
		for _, m := range a.host.apps {
			m.obey(answer, s)
		}
	}
}

func (h *host) member(name string) *supervisor {
	for _, m := range h.members {
		if m.name == name {
			return m
		}
	}
	return nil
}
