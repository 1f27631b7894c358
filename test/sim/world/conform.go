package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/test/invariant"
)

// Servers are members without agents, controllers and faults: the models of PostgreSQL, of its streams and of the network, driven
// by hand. test/conform puts the same cases to them and to PostgreSQL. All of them begin as copies of the same stopped data.
type Servers struct {
	w       *World
	c       *cluster
	replies map[uint64]bool // of the writes: whether it was acknowledged
}

// Server is what can be seen of one: of a standby, End is what it has received and replayed, and stands for the end of its WAL only
// if Known.
type Server struct {
	Running, Primary  bool
	Clean, AsPrimary  bool // of one that is stopped
	Known, Receives   bool // of a standby
	Timeline          platform.Timeline
	History           platform.History
	End, Acknowledged platform.LSN // Acknowledged is the highest flush position that a sender has heard
	Holds, Shows      []uint64     // writes that its WAL has up to End, and those that a query on it shows
}

// bare is a world in which nothing happens.
func bare(seed uint64) *World {
	w := &World{seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), counts: map[string]int{}}
	w.net, w.raft = &network{w: w}, newRaft(w)
	return w
}

// bareMember has a host of its own, whose agent does not run.
func (w *World) bareMember(c *cluster, name string) *supervisor {
	h := &host{w: w, name: name, node: w.net.join(name, name), up: true, clock: newClock(w.rand, 0)}
	h.agent = &agent{host: h, w: w}
	m := &supervisor{w: w, host: h, cluster: c, name: name}
	m.pg, m.guard = &postgres{w: w, m: m}, newGuard(m)
	h.members, c.members, w.hosts = []*supervisor{m}, append(c.members, m), append(w.hosts, h)
	return m
}

// pass lets time go by.
func (w *World) pass(d time.Duration) { w.runUntil(w.now+d, func() bool { return false }) }

// NewServers makes them; a seed says how long things take.
func NewServers(seed uint64, names ...string) *Servers {
	w := bare(seed)
	s := &Servers{w: w, c: &cluster{w: w, name: "conform", check: invariant.New()}, replies: map[uint64]bool{}}
	first := &postgres{w: w}
	for _, name := range names {
		m := w.bareMember(s.c, name)
		if first.m == nil {
			first = m.pg
			first.initialise()
		}
		m.pg.present, m.pg.asPrimary, m.pg.clean, m.pg.wal, m.pg.shutdown = true, true, true, slices.Clip(first.wal), first.shutdown
	}
	return s
}

// Pass lets time go by.
func (s *Servers) Pass(d time.Duration) { s.w.pass(d) }

// Look is what can be seen of a member.
func (s *Servers) Look(name string) Server {
	p := s.c.member(name).pg
	seen := p.see()
	v := Server{Running: p.running, Primary: p.running && p.primary, Clean: seen.Clean, AsPrimary: seen.AsPrimary,
		Known: seen.Known, Receives: seen.Streaming, Timeline: p.timeline(), History: p.history(), End: seen.Position}
	waits := map[uint64]bool{}
	for _, c := range p.waits {
		waits[c.id] = true
	}
	for n, r := range p.wal {
		if r.commit != 0 && r.lsn <= v.End {
			v.Holds = append(v.Holds, r.commit)
		}
		if r.commit != 0 && p.running && (p.primary && !waits[r.commit] || !p.primary && n < p.replayed) {
			v.Shows = append(v.Shows, r.commit)
		}
	}
	return v
}

// StartPrimary starts stopped data as a primary whose commits wait for set.
func (s *Servers) StartPrimary(name string, set platform.DurabilitySet) error {
	p := s.c.member(name).pg
	if p.running {
		return fmt.Errorf("%s runs", name)
	}
	p.show(set)
	p.startPrimary(platform.Epoch{})
	return nil
}

// StartStandby starts stopped data as a standby of whatever it was pointed at.
func (s *Servers) StartStandby(name string) error {
	p := s.c.member(name).pg
	if p.running {
		return fmt.Errorf("%s runs", name)
	}
	p.startStandby(false)
	return nil
}

// Point writes a standby's settings, and loads them if it runs; "" is no upstream.
func (s *Servers) Point(name, upstream string) {
	m := s.c.member(name)
	m.point(goalOf(name, upstream))
}

func goalOf(name, upstream string) platform.Goal {
	g := platform.Goal{Kind: platform.GoalReplica, Incarnation: name}
	if upstream != "" {
		g.Upstream = &platform.Upstream{Member: upstream}
	}
	return g
}

// Write begins a client's commit.
func (s *Servers) Write(name string, id uint64) {
	p := s.c.member(name).pg
	p.write(&commit{by: s, on: p, id: id})
}

func (s *Servers) reply(w *commit) { s.replies[w.id] = true }

// Pad is 100 kB of WAL that is no commit.
func (s *Servers) Pad(name string) {
	p := s.c.member(name).pg
	p.append(p.timeline(), 0).lsn += 100_000
	p.push()
}

// Acknowledged tells whether a commit was; waits whether a backend still waits for that.
func (s *Servers) Acknowledged(id uint64) (yes, waits bool) {
	for _, m := range s.c.members {
		waits = waits || slices.ContainsFunc(m.pg.waits, func(c *commit) bool { return c.id == id })
	}
	return s.replies[id], waits
}

// Leave ends the wait of a client, as a cancel or its death does: the commit stays.
func (s *Servers) Leave(id uint64) {
	for _, m := range s.c.members {
		m.pg.waits = slices.DeleteFunc(m.pg.waits, func(c *commit) bool { return c.id == id })
	}
}

// Load puts another list in force on a primary.
func (s *Servers) Load(name string, set platform.DurabilitySet) { s.c.member(name).pg.load(set) }

// Crash ends every process of a member.
func (s *Servers) Crash(name string) { s.c.member(name).pg.crash() }

// Stop is a clean stop, and returns when it is done.
func (s *Servers) Stop(name string) {
	done := false
	s.c.member(name).pg.stopClean(func() { done = true })
	for !done {
		s.Pass(10 * time.Millisecond)
	}
}

// EndReceiver ends the process, and nothing else.
func (s *Servers) EndReceiver(name string) { s.c.member(name).pg.receiver = nil }

// Seal is what the act does, less what the agent keeps of it.
func (s *Servers) Seal(name string) error {
	if !s.c.member(name).receiveNothing() {
		return fmt.Errorf("%s is no running standby", name)
	}
	return nil
}

// Promote makes a running standby primary.
func (s *Servers) Promote(name string, to platform.Timeline, set platform.DurabilitySet) error {
	p := s.c.member(name).pg
	if !p.running || p.primary {
		return fmt.Errorf("%s is no running standby", name)
	}
	p.list(set)
	p.promote(platform.Epoch{}, to)
	return nil
}

// Rewind tries until it is not by chance that the source does not answer.
func (s *Servers) Rewind(name, from string) error {
	m := s.c.member(name)
	m.goal = goalOf(name, from)
	for range 20 {
		if m.rewind(member.Act{}) {
			return nil
		}
	}
	return fmt.Errorf("%s cannot be rewound", name)
}

// Cut severs the network between two, or mends it.
func (s *Servers) Cut(a, b string, severed bool) {
	from, to := s.c.member(a).host.node, s.c.member(b).host.node
	s.w.net.cuts[from][to], s.w.net.cuts[to][from] = severed, severed
}

// Block lets a query hold replay up, or ends it.
func (s *Servers) Block(name string, blocked bool) {
	p := s.c.member(name).pg
	if blocked {
		p.block(24 * time.Hour)
		return
	}
	p.conflict = 0
	p.recover(p.life, 0)
}
