package world

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/test/invariant"
)

// Times of a scenario: faults happen up to trouble, then everything is healed and left alone until the end.
const (
	quiet   = 3 * time.Second
	trouble = 16 * time.Second
	finish  = 60 * time.Second // after the heal
	patient = 8 * finish       // where a site switchover is under way, which may wait for minutes before it halts
	settled = 2                // seconds in a row in which all is well, and no more will happen
)

// World is one scenario.
type World struct {
	queue
	seed    uint64
	rand    *rand.Rand
	options Options
	hash    hash.Hash64 // of the trace; nil where no one asked for it
	counts  map[string]int

	net         *network
	raft        *raft
	controllers []*controller
	voters      []string
	hosts       []*host
	clusters    []*cluster
	lastWrite   uint64
	spare       node  // where a copy of a machine would be
	twin        *host // that copy, or nil

	trouble    time.Duration       // when everything heals
	checkpoint time.Duration       // how long a CHECKPOINT may take
	promoted   []func(*supervisor) // what waits for the next promotion
	abandoned  []func()            // what waits for the next attempt to be abandoned
	faults     []*fault
	apps       *scenarioApps // nil for a scenario without apps
}

// Options change a scenario, to find the smallest that still fails.
type Options struct {
	Trace io.Writer     // nil for silence
	Hash  bool          // of the trace, as Result.Hash
	Skip  []int         // faults left out, by their number
	Heal  time.Duration // when everything heals; 0 for the usual time
}

// Result is what came of a seed.
type Result struct {
	Seed       uint64
	Hash       uint64                // of the trace, if asked for
	Violations []invariant.Violation // the first ends a scenario
	Acked      int
	Faults     []string       // what was planned, by number
	LastFault  time.Duration  // when the last one not left out began
	Counts     map[string]int // of what happened, so that a run can be seen to have tried something
}

// New prepares the scenario of a seed.
func New(seed uint64, o Options) *World {
	w := &World{seed: seed, rand: rand.New(rand.NewPCG(seed, 0x6d61696e73746179)), options: o, counts: map[string]int{}, trouble: trouble}
	if o.Hash {
		w.hash = fnv.New64a()
	}
	if o.Heal != 0 {
		w.trouble = o.Heal
	}
	w.net, w.raft = &network{w: w}, newRaft(w)
	if w.rand.IntN(3) == 0 {
		w.checkpoint = w.span(0, 4*time.Second)
	}
	w.build()
	w.plan()
	return w
}

// Run plays the scenario to its end, or to the first violation.
func (w *World) Run() Result {
	for _, c := range w.controllers {
		c.start()
	}
	for _, c := range w.clusters {
		if c.old {
			c.grown()
		}
	}
	for _, h := range w.hosts {
		h.start()
	}
	w.raft.watch()
	w.raft.elect()
	w.raft.commit(state.Command{Init: &state.Init{PlatformID: "p1"}})
	w.raft.commit(state.Command{Platform: &state.SetPlatform{Platform: w.platform()}})
	if w.apps != nil {
		w.attendSites()
		w.watchPools()
	}
	for _, c := range w.clusters {
		c.attend()
		for _, k := range c.clients {
			k.run()
		}
	}
	w.runUntil(w.trouble, w.broken)
	w.heal()
	w.untilWell()
	if !w.broken() && w.blackout() {
		w.untilWell()
	}
	if !w.broken() && w.fails() {
		w.untilWell()
	}
	if !w.broken() {
		for _, c := range w.clusters {
			c.judge()
		}
		w.judgeApps()
	}
	return w.result()
}

// untilWell continues until all has been well for some seconds.
func (w *World) untilWell() {
	latest := w.now + patient
	for well, end := 0, w.now+finish; well < settled && w.now < end && !w.broken(); {
		w.runUntil(w.now+time.Second, w.broken)
		if well++; w.ill() {
			well = 0
		}
		if w.moving() {
			end = min(w.now+finish, latest)
		}
	}
}

func (w *World) ill() bool {
	for _, c := range w.clusters {
		if c.ill() != nil {
			return true
		}
	}
	return w.illApps() != ""
}

func (w *World) broken() bool {
	for _, c := range w.clusters {
		if len(c.check.Violations()) > 0 {
			return true
		}
	}
	return false
}

func (w *World) result() Result {
	r := Result{Seed: w.seed, Counts: w.counts}
	for _, c := range w.clusters {
		for _, v := range c.check.Violations() {
			v.Text = c.name + ": " + v.Text
			r.Violations = append(r.Violations, v)
		}
		r.Acked += c.check.Acked()
	}
	for _, f := range w.faults {
		r.Faults = append(r.Faults, fmt.Sprintf("%d at %s: %s", f.number, f.at, f.did))
		if f.did != "" {
			r.LastFault = max(r.LastFault, f.at)
		}
	}
	if w.traced() {
		w.trace("end: %d acknowledged, next random number %016x", r.Acked, w.rand.Uint64()) // one draw more or less changes it
	}
	if w.hash != nil {
		r.Hash = w.hash.Sum64()
	}
	return r
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
	if w.now < w.trouble && w.rand.IntN(300) == 0 {
		return w.span(0, 1500*time.Millisecond)
	}
	return w.span(0, 5*time.Millisecond)
}

// traced tells whether a trace is hashed or written.
func (w *World) traced() bool { return w.hash != nil || w.options.Trace != nil }

// trace hashes one line of what happened, and writes it, if asked.
func (w *World) trace(format string, args ...any) {
	if w.hash != nil {
		fmt.Fprintf(w.hash, "%d ", w.now)
		fmt.Fprintf(w.hash, format, args...)
	}
	if w.options.Trace != nil {
		fmt.Fprintf(w.options.Trace, "%9.3f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// config is what the operator wants of a cluster.
func (c *cluster) config() platform.Cluster {
	cl := platform.Cluster{Name: c.name, Lease: c.lease,
		Durability: platform.Durability{Acks: c.acks, From: platform.FromAny, WhenShort: platform.BlockWhenShort},
		Failover:   platform.Failover{AcrossSites: platform.AcrossAutomatic, WhenIncomplete: platform.WaitWhenIncomplete}}
	if e := c.w.apps; e != nil && e.across != "" {
		cl.Failover.AcrossSites = e.across
	}
	if c.far {
		cl.Durability.From = platform.FromOtherSite
	}
	if c.leaves {
		cl.Failover.OnCorruption = platform.AutomaticOnCorruption
	}
	if c.degrades {
		cl.Durability.WhenShort = platform.DegradeWhenShort
	}
	for i, m := range c.members {
		cl.Members = append(cl.Members, platform.Member{Name: m.name, Host: m.host.name, Port: 5432, Priority: c.w.rand.IntN(3), MayLead: i < 3 ||
			c.w.rand.IntN(3) > 0})
	}
	return cl
}
