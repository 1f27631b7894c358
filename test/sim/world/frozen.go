package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// frozen is what a data directory knows of a pause of its replay, and the checker of a freeze.
type frozen struct {
	paused bool // the instance does not replay
	held   bool // it was started with a position beyond which it does not
	// furthest is how many records the data has ever replayed, kept how many when PostgreSQL paused it first under the freeze of that name.
	furthest, kept int
	as             string
}

// planLostWrite lets the disk of a primary lose a write in one scenario in six, from a source of its own.
func (w *World) planLostWrite() {
	r := rand.New(rand.NewPCG(w.seed, 0x6c6f7374))
	if r.IntN(6) != 0 {
		return
	}
	at := quiet + time.Duration(r.Int64N(int64(trouble-quiet)/2))
	w.faults = append(w.faults, &fault{number: len(w.faults) + 1, at: at, run: (*World).loseWrite})
}

// loseWrite leaves an older page on a primary, which nothing but a comparison shows. Later changes of that block are logged with an image
// of it, which puts it in the place of the page of whoever replays them. An operator may release what was frozen, once he has seen to it.
func (w *World) loseWrite() string {
	c := w.anyCluster()
	m := c.primary()
	if !m.pg.running || !m.pg.primary || m.pg.damage.text != "" || m.pg.damage.lost != "" || !c.mayLose() {
		return ""
	}
	c.destroyed = append(c.destroyed, m.name)
	w.counts["lost write"]++
	m.pg.damage.lost = fmt.Sprintf("block %d of %s", w.now/time.Millisecond, m.name)
	w.later(w.span(100*time.Millisecond, 3*time.Second), func() { w.compareMembers(c, m) })
	m.pg.image(m.pg.damage.lost)
	if w.rand.IntN(3) == 0 {
		w.later(w.span(3*time.Second, 15*time.Second), func() { w.releaseFrozen(c) })
	}
	for range w.rand.IntN(4) {
		w.later(w.span(0, 15*time.Second), func() { w.repairPage(c) })
	}
	return "the disk of " + m.name + " has lost a write"
}

// image logs the primary's page, again and again.
func (p *postgres) image(lost string) {
	p.w.after(p.w.span(100*time.Millisecond, 2*time.Second), func() {
		if p.damage.lost != lost {
			return
		}
		if p.running && p.primary && !p.stopping && p.m.host.stall() == 0 && !p.m.host.full() {
			p.append(p.timeline(), 0).image = lost
			p.push()
		}
		p.image(lost)
	})
}

// compareMembers lets a member's agent compare the files of all. It finds what has been lost, and not whether the good page is still there.
func (w *World) compareMembers(c *cluster, lost *supervisor) { w.compareWith(c, lost, "lost write") }

func (w *World) compareWith(c *cluster, lost *supervisor, kind string) {
	by := c.anyMember()
	if lost.pg.damage.lost == "" || !by.host.up || !by.host.agent.up || !by.pg.running {
		return
	}
	found := &health.Comparison{By: by.name, Complete: true, Incarnations: map[string]string{}, Differ: 1,
		Damage: []health.DifferentBlock{{Path: "base/5/7", Block: 3, Kind: kind, Suspects: []string{lost.name}, Named: true,
			Settled: true}}}
	for _, m := range c.members {
		if m.pg.running {
			found.Members, found.Incarnations[m.name] = append(found.Members, m.name), m.durable.Incarnation
		}
	}
	by.compared, by.comparedOf = found, by.durable.Incarnation
	w.counts["compared"]++
}

// replays advances replay to so many records, with what they carry.
func (p *postgres) replays(to int) {
	for n := p.replayed; n < to; n++ {
		if p.wal[n].image != "" && !p.primary {
			p.damage.lost = p.wal[n].image
		}
	}
	if p.replayed = to; to > p.frozen.furthest {
		p.frozen.furthest = to
		p.m.cluster.replayed(p)
	}
}

// pauseReplay does so between two records.
func (p *postgres) pauseReplay() bool {
	if !p.running || p.primary {
		return false
	}
	p.frozen.paused = true
	if p.frozen.as != p.m.durable.Incarnation {
		p.frozen.kept, p.frozen.as = p.frozen.furthest, p.m.durable.Incarnation
	}
	p.w.counts["frozen"]++
	return true
}

// resumeReplay takes up what was received meanwhile.
func (p *postgres) resumeReplay() bool {
	if !p.running || p.primary || p.frozen.held {
		return false
	}
	p.frozen.paused = false
	p.recover(p.life, p.w.span(20*time.Millisecond, 200*time.Millisecond))
	return true
}

// hold is how far a start may replay: to where the data is consistent, which is no further than it ever was.
func (p *postgres) hold(frozen bool) int {
	p.frozen.paused, p.frozen.held = false, frozen
	if frozen {
		return min(p.frozen.furthest, len(p.wal))
	}
	return len(p.wal)
}

// replayed checks a replica that has replayed more than ever before.
func (c *cluster) replayed(p *postgres) {
	if as := c.freezes[p.m.name]; as != "" && as == p.frozen.as && !p.m.host.twin && p.frozen.furthest > p.frozen.kept && !c.chosen(p.m.name) {
		c.check.Replayed(c.w.now, p.m.name, p.frozen.furthest-p.frozen.kept)
	}
}

// chosen tells whether an operator has chosen a member to be promoted.
func (c *cluster) chosen(name string) bool {
	a := c.state().Attempt
	return a != nil && a.To == name && a.Accepted != nil && a.Accepted.By == "operator"
}

// froze follows the freezes in the log.
func (w *World) froze(c *cluster, f *state.FreezeMember) {
	if f.Member != "" {
		w.counts["freeze"]++
		c.freezes[f.Member] = f.Incarnation
		c.member(f.Member).pg.frozen.as = "" // it is yet to be paused
		c.last.damage = c.last.damage || c.last.at != 0
	}
	for _, name := range f.Release {
		w.counts["released"]++
		delete(c.freezes, name)
	}
}

// promotedFrozen checks who chose a frozen member.
func (w *World) promotedFrozen(c *cluster, was *state.Cluster, name string) {
	if as := c.freezes[name]; as == "" || as != was.Members[name].Incarnation {
		return
	}
	a := was.Attempt
	c.check.PromotedFrozen(w.now, name, a.To == name && a.Accepted != nil && a.Accepted.By == "operator")
	w.counts["frozen is promoted"]++
	delete(c.freezes, name)
}

// releaseFrozen is an operator who lets replicas replay again.
func (w *World) releaseFrozen(c *cluster) {
	if names := c.state().Frozen(); len(names) > 0 {
		w.ask(state.Command{Cluster: c.name, Freeze: &state.FreezeMember{Release: names, Reason: "seen"}})
	}
}

// mendFrozen is an operator, asked once a second after all else has healed, who compares again and then releases what is frozen.
func (w *World) mendFrozen(c *cluster) {
	const patience = 10
	if c.frozen++; len(c.state().Frozen()) == 0 {
		c.frozen = 0
	}
	if c.frozen == patience {
		c.frozen = 0
		w.releaseFrozen(c)
	}
}

// frozenGoal tells whether a goal keeps the present data from replaying.
func (m *supervisor) frozenGoal(g platform.Goal) bool {
	return (g.Kind == platform.GoalReplica || g.Kind == platform.GoalSealed) && g.Frozen(m.durable.Incarnation)
}
