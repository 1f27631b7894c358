package world

import (
	"math/rand/v2"
	"time"
)

// fault is something bad that is planned: by number, so that it can be left out.
type fault struct {
	number int
	at     time.Duration
	run    func(*World) string
	did    string // what it was; "" if it was left out or had nothing to do
}

// single and multiStep faults (those of several steps, each aimed at one rule) are drawn by weight: a line is repeated to make
// it more likely.
var (
	single = []func(*World) string{
		(*World).crashPostgres, (*World).crashPostgres, (*World).crashPrimary, (*World).crashPrimary,
		(*World).crashAgent, (*World).crashHost, (*World).crashHost, (*World).destroyHost, (*World).loseState,
		(*World).isolate, (*World).isolate, (*World).cutOneWay, (*World).cutOneWay, (*World).cutBoth, (*World).cutSites, (*World).healNetwork,
		(*World).badNetwork, (*World).lateNetwork,
		(*World).crashController, (*World).freezeController, (*World).freezeController, (*World).reelect,
		(*World).freezeAgent, (*World).slowReplica, (*World).conflict, (*World).stallDisk, (*World).drift,
		(*World).fillDisk, (*World).rot, (*World).slowHost,
		(*World).switchover, (*World).switchover, (*World).pause, (*World).reconfigure, (*World).acceptLoss,
		(*World).fenceHost, (*World).fenceHost, (*World).unfenceHost, (*World).badPower, (*World).powerReturns, (*World).copyHost, (*World).hang,
	}
	multiStep = []func(*World) string{
		(*World).strand, (*World).strand, (*World).flicker, (*World).flicker, (*World).laggard, (*World).laggard, (*World).lateAnswers,
		(*World).lateAnswers,
		(*World).shorten, (*World).aftershock, (*World).aftershock, (*World).cutAtStop, (*World).cutAtStop, (*World).stubborn, (*World).stubborn,
		(*World).stutter, (*World).restartInSeal,
		(*World).sleeper, (*World).sleeper, (*World).ahead, (*World).ahead, (*World).ahead, (*World).darkness, (*World).darkness,
		(*World).refenced, (*World).refenced, (*World).pausedFence,
		(*World).half, (*World).half, (*World).unconfirmed, (*World).unconfirmed, (*World).unheld, (*World).unheld, (*World).beyond,
		(*World).beyond,
		(*World).raised, (*World).dimly, (*World).restoreHost,
	}
)

// plan draws the faults of the scenario: a mixture, or one of several steps over and over, with a few others.
func (w *World) plan() {
	theme := w.rand.IntN(5) < 2
	repeated := multiStep[w.rand.IntN(len(multiStep))]
	n := 1 + w.rand.IntN(7)
	for i := range n {
		f := &fault{number: i + 1, at: w.span(quiet, trouble)}
		switch draw := w.rand.IntN(3); {
		case theme && draw > 0:
			f.run = repeated
		case draw == 0:
			f.run = multiStep[w.rand.IntN(len(multiStep))]
		default:
			f.run = single[w.rand.IntN(len(single))]
		}
		w.faults = append(w.faults, f)
	}
	w.planApps()
	w.planDamage()
	w.planLostWrite()
	w.planMends()
	skip := map[int]bool{}
	for _, n := range w.options.Skip {
		skip[n] = true
	}
	for _, f := range w.faults {
		if !skip[f.number] && f.at < w.trouble {
			w.at(f.at, func() { w.strike(f) })
		}
	}
}

// strike draws from the fault's own source, so that it is the same whichever others are left out.
func (w *World) strike(f *fault) {
	ours := w.rand
	w.rand = rand.New(rand.NewPCG(w.seed, uint64(f.number)))
	f.did = f.run(w)
	w.rand = ours
	if f.did != "" {
		w.trace("FAULT %d %s", f.number, f.did)
	}
}

// later is a further step of a fault; what is still to come when everything heals does not happen.
func (w *World) later(d time.Duration, f func()) {
	w.after(d, func() {
		if w.now < w.trouble {
			f()
		}
	})
}

// heal ends all trouble at once.
func (w *World) heal() {
	w.trace("everything heals")
	w.net.heal()
	clear(w.net.sleep)
	w.raft.late = 0
	w.promoted, w.abandoned = nil, nil
	if w.apps != nil {
		w.apps.ready = nil
	}
	w.endCopy(w.twin)
	w.powerHeals()
	for _, h := range w.hosts {
		h.stalled, h.filled, h.slow = 0, 0, 0
		for _, m := range h.members {
			m.pg.lag, m.pg.conflict, m.pg.hung, m.pg.onStop = 0, min(m.pg.conflict, w.now), 0, nil
			m.dim, m.unseen = 0, 0
		}
		for _, m := range h.apps {
			m.server.sick = false
		}
		if !h.up {
			h.start()
		} else if !h.agent.up {
			h.agent.start()
		}
	}
	for _, c := range w.controllers {
		c.restart()
	}
	for _, c := range w.clusters {
		for _, k := range c.clients {
			k.idle = 0
		}
	}
	w.resumeAll()
}

// resumeAll is an operator who has finished, and asks until it is done. Where he insisted on a member that cannot be
// promoted he names another.
func (w *World) resumeAll() {
	for _, c := range w.clusters {
		w.resume(c)
		w.mendPages(c)
		w.mendFrozen(c)
		w.lookIntoOlder(c)
		if a := c.state().Attempt; a != nil && a.Accepted != nil && a.Accepted.By == "operator" {
			w.accept(c, c.anyMember().name)
		}
	}
	w.giveBack()
	w.after(time.Second, w.resumeAll)
}

func (w *World) anyHost() *host { return w.hosts[w.rand.IntN(len(w.hosts))] }

func (w *World) anyCluster() *cluster { return w.clusters[w.rand.IntN(len(w.clusters))] }

func (c *cluster) anyMember() *supervisor { return c.members[c.w.rand.IntN(len(c.members))] }

// someHost is a primary's, or any.
func (w *World) someHost() *host {
	if w.rand.IntN(2) == 0 {
		return w.anyCluster().primary().host
	}
	return w.anyHost()
}

func (w *World) someMember() *supervisor {
	c := w.anyCluster()
	if w.rand.IntN(2) == 0 {
		return c.primary()
	}
	return c.anyMember()
}

func (w *World) anyController() *controller {
	if c := w.raft.leader; c != nil && w.rand.IntN(2) == 0 {
		return c
	}
	return w.controllers[w.rand.IntN(len(w.controllers))]
}

func (w *World) anyNode() node { return node(w.rand.IntN(len(w.net.names))) }
