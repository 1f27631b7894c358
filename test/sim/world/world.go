package world

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/test/invariant"
)

// Times of a scenario: faults happen up to trouble, then everything is healed and left alone until the end.
const (
	quiet   = 6 * time.Second
	trouble = 24 * time.Second
	finish  = 75 * time.Second
	settled = 4 // seconds in a row in which all is well, and no more will happen
)

// World is one scenario.
type World struct {
	queue
	seed  uint64
	rand  *rand.Rand
	out   io.Writer // of the trace; nil for silence
	hash  hash.Hash64
	check *invariant.Checker

	net         *network
	raft        *raft
	controllers []*controller
	hosts       []*host
	clients     []*client
	lastWrite   uint64

	acks      int
	lease     time.Duration
	conf      *platform.Platform
	destroyed string // member whose disk was lost; at most one a scenario
	counts    map[string]int
}

// Result is what came of a seed.
type Result struct {
	Seed       uint64
	Hash       uint64
	Violations []invariant.Violation
	Acked      int
	Counts     map[string]int // of what happened, so that a run can be seen to have tried something
}

// New prepares the scenario of a seed. With out, its trace is written there.
func New(seed uint64, out io.Writer) *World {
	w := &World{seed: seed, rand: rand.New(rand.NewPCG(seed, 0x6d61696e73746179)), out: out, hash: fnv.New64a(), counts: map[string]int{}}
	w.net, w.raft = newNetwork(w), newRaft(w)
	members := 2 + w.rand.IntN(4)
	w.acks = min([]int{1, 1, 1, 2, 0}[w.rand.IntN(5)], members-1)
	w.lease = time.Duration(1+w.rand.IntN(3)) * time.Second
	w.check = invariant.New(w.acks)
	for i := 1; i <= 3; i++ {
		w.controllers = append(w.controllers, &controller{w: w, name: fmt.Sprintf("c%d", i)})
	}
	w.conf = w.platform(members)
	for i := 1; i <= members; i++ {
		w.hosts = append(w.hosts, newHost(w, fmt.Sprintf("h%d", i), fmt.Sprintf("m%d", i)))
	}
	w.clients = []*client{{w: w, name: "k1"}, {w: w, name: "k2", target: 1}}
	return w
}

func (w *World) platform(members int) *platform.Platform {
	p := &platform.Platform{Name: "sim", Sites: []platform.Site{{Name: "s1"}, {Name: "s2"}, {Name: "s3", Witness: true}}}
	cl := platform.Cluster{Name: "feed", Lease: w.lease, Durability: platform.Durability{Acks: w.acks, From: "any", WhenShort: "block"},
		Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"}}
	for i := 1; i <= members; i++ {
		name := fmt.Sprintf("h%d", i)
		p.Hosts = append(p.Hosts, platform.Host{Name: name, Site: fmt.Sprintf("s%d", 1+i%2), Address: name})
		cl.Members = append(cl.Members, platform.Member{Name: fmt.Sprintf("m%d", i), Host: name, Port: 5432, Priority: w.rand.IntN(3), MayLead: i < 4 || w.rand.IntN(3) > 0})
	}
	p.Clusters = []platform.Cluster{cl}
	return p
}

// Run plays the scenario to its end.
func (w *World) Run() Result {
	for _, c := range w.controllers {
		c.start()
	}
	for _, h := range w.hosts {
		h.start()
	}
	w.raft.watch()
	w.raft.elect()
	w.raft.commit(state.Command{Init: &state.Init{PlatformID: "p1"}})
	w.raft.commit(state.Command{Platform: &state.SetPlatform{Platform: w.conf}})
	for _, c := range w.clients {
		c.run()
	}
	w.plan()
	w.runUntil(trouble)
	for well := 0; well < settled && w.now < finish; {
		w.runUntil(w.now + time.Second)
		if well++; w.cluster().Primary == "" || w.ill(w.cluster(), w.host(w.cluster().Primary).pg) != "" {
			well = 0
		}
	}
	w.judge()
	w.trace("end: %d acknowledged", w.check.Acked())
	return Result{w.seed, w.hash.Sum64(), w.check.Violations(), w.check.Acked(), w.counts}
}

// judge checks what must hold once everything has healed.
func (w *World) judge() {
	c := w.cluster()
	if c.Primary == "" {
		w.check.Alive(w.now, "no primary was ever born")
		return
	}
	p := w.host(c.Primary).pg
	if why := w.ill(c, p); why != "" && !w.hopeless(c) {
		w.check.Alive(w.now, why)
		return
	}
	if c.Attempt == nil && p.running && p.primary {
		w.check.Survive(w.now, c.Primary, p.holds)
	}
}

// ill says what is not as it should be long after the heal.
func (w *World) ill(c *state.Cluster, p *postgres) string {
	switch {
	case c.Attempt != nil:
		return fmt.Sprintf("attempt %s (%s) is still under way: %s", c.Attempt.Number, c.Attempt.Phase, w.reason())
	case !p.running || !p.primary || p.epoch != c.Epoch && w.host(c.Primary).disk.durable.Ran != c.Epoch:
		return fmt.Sprintf("%s is no primary of epoch %s: %s", c.Primary, c.Epoch, w.host(c.Primary))
	case !c.Opened || p.timeline() != c.Timeline:
		return fmt.Sprintf("epoch %s is not opened on timeline %d: %s", c.Epoch, c.Timeline, w.host(c.Primary))
	case w.now-w.check.Last() > 3*time.Second:
		return "nothing is acknowledged: " + w.reason()
	case len(p.senders) != len(w.hosts)-1:
		return fmt.Sprintf("%d of %d replicas stream from %s", len(p.senders), len(w.hosts)-1, c.Primary)
	case len(c.Sets) != 1:
		return fmt.Sprintf("the durability sets %v have not settled", c.Sets)
	}
	return ""
}

// hopeless tells whether what was destroyed is needed to prove that nothing is lost: then waiting for an operator is right.
func (w *World) hopeless(c *state.Cluster) bool {
	if w.destroyed == "" || c.Attempt == nil {
		return false
	}
	if w.destroyed == c.Primary {
		w.counts["hopeless"]++
		return true
	}
	for _, s := range c.Sets {
		for _, n := range s.Names {
			if strings.HasPrefix(n, w.destroyed+"_") {
				w.counts["hopeless"]++
				return true
			}
		}
	}
	return false
}

// reason is every member's state, for a person.
func (w *World) reason() string {
	var parts []string
	for _, h := range w.hosts {
		parts = append(parts, h.String()+" (goal "+string(h.agent.goal.Kind)+" "+h.agent.goal.Epoch.String()+" needs "+h.agent.needs+")")
	}
	c := w.cluster()
	return fmt.Sprintf("epoch %s of %s, sets %v; %s", c.Epoch, c.Primary, c.Sets, strings.Join(parts, "; "))
}

func (w *World) cluster() *state.Cluster { return w.raft.states[w.raft.last()].Clusters["feed"] }

func (w *World) host(member string) *host {
	for _, h := range w.hosts {
		if h.member == member {
			return h
		}
	}
	return nil
}

func (w *World) controller(name string) *controller {
	for _, c := range w.controllers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// span is a random duration from a to b.
func (w *World) span(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(w.rand.Int64N(int64(b-a)))
}

// hiccup is a short delay that is sometimes long: a process that was not scheduled.
func (w *World) hiccup() time.Duration {
	if w.now < trouble && w.rand.IntN(300) == 0 {
		return w.span(0, 1500*time.Millisecond)
	}
	return w.span(0, 5*time.Millisecond)
}

// trace hashes one line of what happened, and writes it if asked.
func (w *World) trace(format string, args ...any) {
	fmt.Fprintf(w.hash, "%d ", w.now)
	fmt.Fprintf(w.hash, format, args...)
	if w.out != nil {
		fmt.Fprintf(w.out, "%9.3f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// committed watches the log (S3, S4).
func (w *World) committed(old, next *state.State, cmd state.Command, refused error) {
	if cmd.Tick != nil {
		return
	}
	b, _ := cmd.Encode()
	w.trace("log %d: %s refused=%v", next.Index, b, refused)
	c := next.Clusters["feed"]
	if refused != nil || c == nil {
		return
	}
	w.check.InForce(w.now, c.Epoch)
	if b := cmd.Begin; b != nil {
		w.counts["begin "+string(b.Kind)]++
	}
	if cmd.Abandon != nil {
		w.counts["abandon"]++
	}
	if p := cmd.Promote; p != nil {
		was := old.Clusters["feed"]
		w.counts["proof "+string(p.Proof.Kind)]++
		if p.Member == was.Primary {
			w.counts["restart in place"]++
		}
		h := w.host(was.Primary)
		kills := p.Proof.Kind == "stopped" || p.Proof.Kind == "lease-expired"
		w.check.Proven(w.now, string(p.Proof.Kind), was.Primary, was.Epoch, kills && h.pg.running && h.pg.primary)
	}
}
