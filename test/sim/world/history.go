package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/test/invariant"
)

// committed watches the log, and shows it to the checkers.
func (w *World) committed(old, next *state.State, cmd state.Command, encoded []byte, refused error) {
	if w.traced() {
		w.trace("log %d: %s refused=%v", next.Index, encoded, refused)
	}
	w.noteApps(old, next, cmd, refused)
	c := w.cluster(cmd.Cluster)
	if refused != nil || c == nil {
		w.counts["refused"]++
		c.inVain(cmd, refused)
		return
	}
	c.refused = 0
	s := next.Clusters[c.name]
	c.check.InForce(w.now, s.Epoch)
	switch {
	case cmd.Begin != nil:
		w.counts["begin "+string(cmd.Begin.Kind)]++
		if cmd.Begin.Kind == state.Switchover && cmd.By != "operator" {
			w.counts["leaves damage"]++
		}
		c.predicted(cmd.Begin)
	case cmd.Abandon != nil:
		w.counts["abandon"]++
		hooks := w.abandoned
		w.abandoned = nil
		for _, f := range hooks {
			f()
		}
	case cmd.Reincarnate != nil:
		w.counts["reincarnate"]++
	case cmd.Rejoined != nil:
		if m := c.member(cmd.Rejoined.Member); m.durable.Incarnation == s.Members[m.name].Incarnation {
			c.check.Rejoined(w.now, m.name, m.leftOut, cmd.Rejoined.Discard)
		}
	case cmd.Judge != nil:
		w.judged(c, cmd.Judge)
	case cmd.Freeze != nil:
		w.froze(c, cmd.Freeze)
	case cmd.Mend != nil && cmd.Mend.Ended != 0:
		w.mendEnded(c, old.Clusters[c.name], cmd.Mend)
	case cmd.Sets != nil:
		w.counts["sets"]++
	case cmd.Settled != nil && s.Set().Acks == 0 && c.conf().Durability.Acks == 0:
		c.check.Lapse()
	case cmd.Promote != nil:
		w.promotion(c, old.Clusters[c.name], cmd.Promote)
	}
}

// inVain notices a leader that keeps deciding what the log refuses: nothing changes, and the log fills.
func (c *cluster) inVain(cmd state.Command, refused error) {
	if c == nil || refused == nil || cmd.By != "mainstay" {
		return
	}
	if c.refused++; c.refused > 40 {
		c.check.Alive(c.w.now, fmt.Sprintf("the leader decides over and over what the log refuses: %v", refused))
	}
}

func (w *World) cluster(name string) *cluster {
	for _, c := range w.clusters {
		if c.name == name {
			return c
		}
	}
	return nil
}

// news is what a leader may not know yet of a member that it still hears: the longest silence, and the way of a command.
const news = 2 * time.Second

// promotion is the moment at which a proof is accepted and a member chosen (S4).
func (w *World) promotion(c *cluster, was *state.Cluster, p *state.Promote) {
	w.counts["proof "+string(p.Proof.Kind)]++
	c.unfenced = c.unfenced || p.Proof.Kind == fencing.Operator
	if p.Proof.Kind == fencing.Operator || was.Attempt.Accepted != nil {
		c.check.Excuse() // a person's word stands in for the fence or the completeness
	}
	old, chosen := c.member(was.Primary), c.member(p.Member)
	ended := p.Proof.Kind == fencing.Stopped || p.Proof.Kind == fencing.LeaseExpired || p.Proof.Kind == fencing.PoweredOff
	diverged := 0
	if was.Opened && chosen != old && old.pg.present && old.pg.rotten == "" && !old.pg.restored {
		diverged = missing(chosen.pg, old.pg)
	}
	corrupt := chosen.pg.rotten
	if w.now-chosen.pg.rottenAt < news {
		corrupt = ""
	}
	if chosen.pg.damage.known && chosen != old {
		corrupt = chosen.pg.damage.text + chosen.pg.damage.lost
	}
	if chosen.pg.damage.torn {
		corrupt = "a page was written in part"
	}
	c.check.Sound(w.now, chosen.name, corrupt, diverged)
	w.promotedFrozen(c, was, p.Member)
	c.check.Proven(w.now, string(p.Proof.Kind), was.Primary, was.Epoch, ended && old.pg.running && old.pg.primary)
	if !p.Clean && was.Attempt.To != chosen.name {
		c.check.Left(w.now, chosen.name, w.net.sites[chosen.host.node] == w.net.sites[old.host.node] || c.mayLeave(was.Attempt))
	}
	hooks := w.promoted
	w.promoted = nil
	for _, f := range hooks {
		f(chosen)
	}
	switch {
	case chosen == old:
		w.counts["restart in place"]++
	case p.Clean && chosen.pg.present && !chosen.replaced(): // its disk may be lost since it was heard
		c.check.HandedOver(w.now, old.name, chosen.name, missing(old.pg, chosen.pg))
	case was.Attempt.To == "" && !p.Clean && !c.check.Excused() && chosen.pg.present && !chosen.replaced():
		c.check.Chosen(w.now, c.candidate(chosen, was), c.passedOver(chosen, was, p))
	}
}

// replaced tells whether the member's disk is an older one than when its agent was last heard: what that has reported is true no more.
func (m *supervisor) replaced() bool {
	return m.pg.restored && (!m.host.agent.up || m.host.agent.spoke == 0)
}

// missing is how many records of one are not in the other.
func missing(of, in *postgres) int {
	n := len(of.wal)
	for n > 0 && (n > len(in.wal) || in.wal[n-1] != of.wal[n-1]) {
		n--
	}
	return len(of.wal) - n
}

func (c *cluster) candidate(m *supervisor, was *state.Cluster) invariant.Candidate {
	conf := c.conf().Member(m.name)
	home := c.conf().Member(was.Primary).Host
	p := c.w.raft.top().Platform
	return invariant.Candidate{Name: m.name, Timeline: m.pg.timeline(), Position: m.pg.end(), Home: p.SiteOf(conf.Host) == p.SiteOf(home),
		Priority: conf.Priority, Doubted: c.accused(m, was), Clean: m.scanned != ""}
}

// accused tells whether a comparison that some member's agent has made speaks against a member's data.
func (c *cluster) accused(m *supervisor, was *state.Cluster) bool {
	return slices.ContainsFunc(c.members, func(by *supervisor) bool {
		_, why := by.compared.Accuses(m.name, was.Members[m.name].Incarnation)
		return why != ""
	})
}

// passedOver are the members that might have been chosen: sealed, with a known position on the old primary's timeline.
func (c *cluster) passedOver(chosen *supervisor, was *state.Cluster, p *state.Promote) []invariant.Candidate {
	var others []invariant.Candidate
	for _, m := range c.members {
		if _, known := p.Positions[m.name]; !known || m == chosen || m.name == was.Primary || !c.conf().Member(m.name).MayLead ||
			m.pg.damage.text != "" || c.freezes[m.name] != "" && c.freezes[m.name] == was.Members[m.name].Incarnation {
			continue
		}
		if !c.candidate(m, was).Home && !c.mayLeave(was.Attempt) {
			continue
		}
		if m.durable.Sealed == p.Attempt && m.pg.timeline() == was.Timeline && was.Members[m.name].Excluded == "" &&
			c.w.raft.top().FenceOf(c.name, m.name) == nil {
			o := c.candidate(m, was)
			if m.pg.caughtUp == p.Attempt { // it was handed WAL since it was sealed, and may not have told of all
				o.Position = min(o.Position, p.Positions[m.name])
			}
			others = append(others, o)
		}
	}
	return others
}

// predicted remembers what explain said, for the failover that follows the last failure.
func (c *cluster) predicted(b *state.Begin) {
	if c.last.at != 0 && !c.last.damage && c.last.bound == 0 && b.Prediction != nil && b.Prediction.Promote != "" {
		c.last.bound = b.Prediction.About
	}
}
