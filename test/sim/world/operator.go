package world

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// ask sends an operator's command to the leader.
func (w *World) ask(cmd state.Command) {
	c := w.raft.leader
	if c == nil || !c.alive {
		return
	}
	cmd.By = "operator"
	w.net.awake(c.node, func() { c.submit(cmd) })
}

func (w *World) switchover() string {
	c, to := w.anyCluster(), ""
	if w.rand.IntN(2) == 0 {
		to = c.anyMember().name
	}
	w.ask(state.Command{Cluster: c.name, Begin: &state.Begin{Kind: state.Switchover, Reason: "asked", To: to}})
	return "an operator asks for a switchover of " + c.name + " to " + to
}

// pause bars promotion for a while (L7).
func (w *World) pause() string {
	c := w.anyCluster()
	w.ask(state.Command{Cluster: c.name, Pause: &state.SetPause{Pause: &state.Pause{By: "operator", Reason: "work"}}})
	w.later(w.span(time.Second, 6*time.Second), func() { w.resume(c) })
	return c.name + " is paused"
}

func (w *World) resume(c *cluster) {
	if s := c.state(); s.Pause != nil && !s.Pause.Resuming {
		w.ask(state.Command{Cluster: c.name, Pause: &state.SetPause{Resume: true}})
	}
}

// acceptLoss is an operator who stands in for completeness, perhaps for the fence: whatever is lost is his choice.
func (w *World) acceptLoss() string {
	c := w.anyCluster()
	to := c.anyMember().name
	w.accept(c, to)
	return "an operator accepts a loss and asks for " + to
}

func (w *World) accept(c *cluster, to string) { w.acceptFor(c, to, w.rand.IntN(3) == 0) }

func (w *World) acceptFor(c *cluster, to string, fence bool) {
	accepted := &state.Acceptance{By: "operator", Reason: "now", Completeness: true, Fence: fence}
	if a := c.state().Attempt; a != nil {
		w.ask(state.Command{Cluster: c.name, Advance: &state.Advance{Attempt: a.Number, Phase: state.PhaseSeal, StopOld: true, Accepted: accepted,
			To: to, Note: "now"}})
	} else {
		w.ask(state.Command{Cluster: c.name, Begin: &state.Begin{Kind: state.Failover, Reason: "now", To: to, StopOld: true, Accepted: accepted}})
	}
}

// reconfigure applies the platform with another lease, or another number of acknowledgements. A longer lease counts at once,
// a shorter one when the longer is over (L4).
func (w *World) reconfigure() string {
	c := w.anyCluster()
	if w.rand.IntN(2) == 0 {
		w.change(c, func(conf *platform.Cluster) { conf.Lease = time.Duration(1+w.rand.IntN(3)) * time.Second })
		return c.name + " has another lease"
	}
	acks := min(w.rand.IntN(3), len(c.members)-1)
	if c.far { // as the platform file's rules say
		acks = min(max(acks, 1), len(c.members)/2)
	}
	w.change(c, func(conf *platform.Cluster) { conf.Durability.Acks = acks })
	return fmt.Sprintf("%s waits for %d replicas", c.name, acks)
}

// change applies the platform with one cluster changed.
func (w *World) change(c *cluster, f func(*platform.Cluster)) {
	if w.moving() {
		return // it would be refused
	}
	next := *w.raft.top().Platform
	next.Clusters = append([]platform.Cluster(nil), next.Clusters...)
	conf := next.Cluster(c.name)
	f(conf)
	c.lease, c.acks = conf.Lease, min(c.acks, conf.Durability.Acks)
	w.ask(state.Command{Platform: &state.SetPlatform{Platform: &next}})
}

// acknowledge lifts the block that an automatic failover leaves behind.
func (c *cluster) acknowledge() {
	if s := c.state(); s.Recovered != "" {
		c.w.ask(state.Command{Cluster: c.name, Ack: &state.Ack{}})
	}
}

// attend is an operator who reads his alarms: he lifts each block after a while. Some are away.
func (c *cluster) attend() {
	c.w.after(c.w.span(100*time.Millisecond, 2*time.Second), c.attend)
	if !c.unattended || c.w.now > c.w.trouble {
		c.acknowledge()
	}
}
