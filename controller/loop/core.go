// Package loop is the leader: the map of the program on one screen. Core is its pure step; Loop is the single select
// that feeds it: observe, decide, commit, act.
//
// One loop issues grants and collects proofs, so that neither can overtake the other (L3). It never blocks: everything
// slow is proposed or replied outside, and comes back as an event. Reports enter from controller/api, leadership and
// results from controller/consensus; answers leave to the agents, commands to the log.
package loop

import (
	"errors"
	"fmt"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

// ErrNotLeader is returned for what only the leader may answer.
var ErrNotLeader = errors.New("this controller is not the leader")

// ErrDiskStalled is returned by Step when a tick has not been committed in time: the leader must exit, because raft's
// heartbeats go on while its log write hangs, no election follows, and every lease would lapse (L6).
var ErrDiskStalled = errors.New("a tick has not been committed in time; is this controller's disk or its connection to the others hung?")

// ErrGivenUp is returned by Decide when agents obey a later generation of the platform than this leader's (S3).
var ErrGivenUp = errors.New("this controller was given up by `mainstay controllers recover`: stop it, empty its data folder, and add it anew under a new name")

// GivenUpError is ErrGivenUp with what agents obey.
type GivenUpError struct {
	PlatformID         string
	Generation, Obeyed uint64
}

func (e *GivenUpError) Error() string {
	return fmt.Sprintf("agents obey generation %d of platform %s, and this leader is of generation %d: %v", e.Obeyed, e.PlatformID, e.Generation, ErrGivenUp)
}

func (e *GivenUpError) Unwrap() error { return ErrGivenUp }

// decideEvery is how often Decide is called at least.
const decideEvery = 50 * time.Millisecond

// transferEvery is how often a leader whose view is the odd one out offers its place.
const transferEvery = 2 * time.Second

// Core is the leader's pure step. Every method takes the leader's clock (CLOCK_BOOTTIME) and returns what to do.
type Core struct {
	name  string
	site  string
	state *state.State
	view  *health.View

	leading bool
	ready   bool // an entry of this term has been committed: all earlier ones are applied
	leases  *fencing.Leases
	watch   *decide.Stopwatch

	waiting   []waitingReport // since the last tick was proposed
	waits     time.Duration   // since when the first of them waits
	inTick    []waitingReport // served by the tick in flight
	tickSince time.Duration   // when the tick in flight was proposed, later by what this loop itself has lost since
	proposed  time.Duration   // when the last tick was proposed
	tick      uint64          // number of the tick in flight, 0: none
	ticks     uint64          // numbered so far, in all terms
	term      uint64          // counts the times it began to lead

	busy    map[string]bool           // subjects with a decided command in flight
	fenced  map[string]platform.Epoch // epochs whose fence has been proposed: no more grants (L3)
	holders map[held]holder           // who holds the grants of a member (L8)

	stalled     time.Duration // of our own disk
	decided     time.Duration // when Decide was last called
	transferred time.Duration // when leadership was last offered to another

	answered map[string]time.Duration // when a run of an agent was answered last, in this term
	moved    time.Duration            // when a command was last proposed

	heardOf uint64                   // the highest generation of the platform that an agent has told of
	strange map[string]time.Duration // when an agent on that host last told of another group of this very generation

	voters []string // names of the controllers that vote in the log
	lacks  string   // what this controller's own file does not allow
	voted  uint64   // numbers this process's own votes

	last        decide.Decision
	predictable map[string]decide.Input // what predictions of quiet clusters rest on, renewed once a second
}

type waitingReport struct {
	id     uint64
	report *health.Report
}

type held struct{ cluster, member string }

type holder struct {
	run string
	end time.Duration
}

// Out is what a step wants done.
type Out struct {
	Tick      uint64 // propose a tick, and bring its result back under this number; 0: none
	Proposals []Proposal
	Replies   []Reply
	Transfer  bool // hand leadership to another controller, if one takes it
	Fatal     error
}

// Proposal is a command to commit. Decided is false for an operator's, whose result is replied to ID.
type Proposal struct {
	Decided bool
	Term    uint64 // of the core, so that a late result does not count in a later one
	ID      uint64
	Command state.Command
}

// Reply answers a report.
type Reply struct {
	ID     uint64
	Answer *wire.ReportAnswer
	Err    error
}

// NewCore returns a core that follows.
func NewCore(name string, now time.Duration) *Core {
	return &Core{name: name, state: state.New(), view: health.NewView(now), watch: decide.NewStopwatch()}
}

// At says on which site this controller is, before anything else is asked of the core.
func (c *Core) At(site string) { c.site = site }

// Applied takes over a newer state.
func (c *Core) Applied(s *state.State) { c.state = s }

// Lead begins a term as leader. now is read after the election was won (L4). Nothing is decided before the first tick of
// the term is committed, because Raft signals leadership before earlier entries are applied.
func (c *Core) Lead(now time.Duration) Out {
	out := c.Follow() // lost and won again unseen: what is in flight belongs to the term before
	c.leading = true
	c.term++
	c.leases, c.watch = fencing.NewLeases(now), decide.NewStopwatch()
	c.busy, c.fenced = map[string]bool{}, map[string]platform.Epoch{}
	c.answered, c.moved = map[string]time.Duration{}, now
	c.holders, c.predictable = map[held]holder{}, map[string]decide.Input{}
	c.view.Since = now
	out.Tick = c.propose(now).Tick
	return out
}

// Follow ends the term. Whoever waits is told.
func (c *Core) Follow() Out {
	var out Out
	for _, w := range append(c.inTick, c.waiting...) {
		out.Replies = append(out.Replies, Reply{ID: w.id, Err: ErrNotLeader})
	}
	c.leading, c.ready, c.tick = false, false, 0
	c.inTick, c.waiting = nil, nil
	return out
}

// Report takes in an agent's report. The leader answers it after the next tick; others fold it, so that their view is warm.
func (c *Core) Report(id uint64, r *health.Report, now time.Duration) Out {
	if r.Platform != "" && r.Platform == c.state.PlatformID {
		c.heardOf = max(c.heardOf, r.Generation)
		if r.Generation == c.state.Generation && r.Mark != c.state.Mark {
			return c.estranged(id, r, now)
		}
	}
	bound, hold := c.state.Runs[r.Host], time.Duration(0)
	if r.RunID != bound {
		hold = c.hold(r.Host)
	}
	speaks := c.view.Fold(r, bound, hold, now)
	switch {
	case !c.leading:
		return Out{Replies: []Reply{{ID: id, Err: ErrNotLeader}}}
	case !speaks:
		return Out{Replies: []Reply{{ID: id, Answer: c.turnAway(r)}}}
	}
	if len(c.waiting) == 0 {
		c.waits = now
	}
	fresh := now-c.answered[r.RunID] > platform.Suspect(c.shortestLease())
	c.waiting = append(c.waiting, waitingReport{id, r})
	if c.calm(now) && !fresh {
		return Out{} // Decide proposes, for all of them
	}
	return c.propose(now)
}

// estranged answers an agent that obeys another group of the same generation. What it reports is not taken in: it is bound to goals
// and leases that are not of this log, so that its silence and its words would prove what they do not (S1).
func (c *Core) estranged(id uint64, r *health.Report, now time.Duration) Out {
	if c.strange == nil {
		c.strange = map[string]time.Duration{}
	}
	c.strange[r.Host] = now
	if !c.leading {
		return Out{Replies: []Reply{{ID: id, Err: ErrNotLeader}}}
	}
	answer := c.turnAway(r)
	answer.Alarm = decide.TwoRecoveries
	return Out{Replies: []Reply{{ID: id, Answer: answer}}}
}

// gather is how long a report waits for others to be served by the same tick, while nothing is under way.
const gather = 20 * time.Millisecond

// calm tells whether no goal is about to change: then an answer only renews leases, and one tick a heartbeat serves all agents. It
// also brings them into step, since each sends its next report at the same time after an answer. A lease counts from
// when the report was sent, so to wait is safe, and costs at most a tenth of it, once.
func (c *Core) calm(now time.Duration) bool {
	if !c.ready || now-c.moved < settling || c.state.Change != nil {
		return false
	}
	for _, cl := range c.state.Clusters {
		if cl.Attempt != nil || !cl.Opened {
			return false
		}
	}
	return true
}

// settling is for how long after a change of the state goals may go to and fro.
const settling = 2 * time.Second

// tickDue tells whether the reports that wait are to be served now.
func (c *Core) tickDue(now time.Duration) bool {
	if len(c.waiting) == 0 || c.tick != 0 {
		return false
	}
	beat := platform.Heartbeat(c.shortestLease())
	return !c.calm(now) || now-c.waits >= gather && now-c.proposed >= beat*9/10
}

// propose proposes a tick that serves every report waiting so far, unless one is in flight.
func (c *Core) propose(now time.Duration) Out {
	if !c.leading || c.tick != 0 {
		return Out{}
	}
	c.inTick, c.waiting = c.waiting, nil
	c.ticks++
	c.tick, c.tickSince, c.proposed = c.ticks, now, now
	return Out{Tick: c.tick}
}

// Ticked is the result of a tick: the state is applied up to it. One of an earlier term serves nobody: it was committed
// before the reports of this one arrived (L1).
func (c *Core) Ticked(tick uint64, err error, now time.Duration) Out {
	if !c.leading || tick != c.tick {
		return Out{}
	}
	served := c.inTick
	c.inTick, c.tick = nil, 0
	out := Out{Replies: make([]Reply, 0, len(served))}
	if err == nil {
		c.ready = true
	}
	if err == nil && c.givenUp() {
		err = ErrNotLeader
	}
	for _, w := range served {
		reply := Reply{ID: w.id, Err: err}
		if err == nil {
			reply.Answer = c.answer(w.report, now)
			c.answered[w.report.RunID] = now
		}
		out.Replies = append(out.Replies, reply)
	}
	if c.tickDue(now) {
		out.Tick = c.propose(now).Tick
	}
	return out
}

// Decide looks at the platform and proposes what follows. It also watches the leader's own disk (L6).
func (c *Core) Decide(now time.Duration, wall time.Time) Out {
	var out Out
	if !c.leading {
		return out
	}
	c.distrustSelf(now)
	// A leader whose own disk writes is more patient: it is the others, or the processors, that are slow, and a new leader
	// would find them no faster. Half a lease leaves time for an election before any lease lapses.
	limit, waited := c.tickLimit(), now-c.tickSince
	if c.tick != 0 && (waited > limit && c.stalled > limit || waited > limit*5/2) {
		out.Fatal = fmt.Errorf("%w (waited %s, our own disk for %s, limit %s)", ErrDiskStalled, waited, c.stalled, limit)
		return out
	}
	if c.ready && c.givenUp() {
		out.Fatal = &GivenUpError{PlatformID: c.state.PlatformID, Generation: c.state.Generation, Obeyed: c.heardOf}
		return out
	}
	if !c.ready {
		return c.propose(now) // the first tick of the term has failed, and no report asks for another
	}
	c.last = decide.Next(c.input(now, wall))
	if c.last.Transfer && now-c.transferred > transferEvery {
		out.Transfer, c.transferred = true, now
	}
	for _, cmd := range c.last.Commands {
		if c.busy[cmd.Subject()] {
			continue
		}
		c.busy[cmd.Subject()], c.moved = true, now
		c.remember(&cmd)
		c.noteFence(cmd)
		out.Proposals = append(out.Proposals, Proposal{Decided: true, Term: c.term, Command: cmd})
	}
	c.keepPredictable(now, wall)
	if c.tickDue(now) {
		out.Tick = c.propose(now).Tick
	}
	return out
}

// survey is what a leader would decide now, with every problem that it sees, on a copy of what it knows.
func (c *Core) survey(in decide.Input) decide.Decision {
	if !c.leading || !c.ready {
		return c.last
	}
	in.Survey = true
	return decide.Next(in)
}

// givenUp: a leader's state is the newest that its group has, so agents that know a later generation obey another group.
func (c *Core) givenUp() bool { return c.state.Generation != 0 && c.heardOf > c.state.Generation }

// Stalled tells for how long a write of this controller's own disk has not returned, before each Decide.
func (c *Core) Stalled(d time.Duration) { c.stalled = d }

// distrustSelf takes out of the tick in flight the time in which this very loop did not run: a host without a free processor
// says nothing about the disk.
func (c *Core) distrustSelf(now time.Duration) {
	if late := now - c.decided - decideEvery; c.decided != 0 && late > decideEvery {
		c.tickSince = min(now, c.tickSince+late)
	}
	c.decided = now
}

func (c *Core) input(now time.Duration, wall time.Time) decide.Input {
	return decide.Input{State: c.state, View: c.view, Leases: c.leases, Strange: c.strange, Controllers: c.voters, Self: c.name, Site: c.site, Watch: c.watch, Now: now, Wall: wall}
}

// Submit proposes an operator's command.
func (c *Core) Submit(id uint64, cmd state.Command) (Out, error) {
	if !c.leading || !c.ready {
		return Out{}, ErrNotLeader
	}
	c.remember(&cmd)
	c.noteFence(cmd)
	c.moved = c.decided
	return Out{Proposals: []Proposal{{ID: id, Term: c.term, Command: cmd}}}, nil
}

// Done is the result of a decided or submitted command. A refused fence leaves the epoch as it was.
func (c *Core) Done(p Proposal, refused bool) {
	if p.Term != c.term {
		return // it belongs to an earlier term, whose bookkeeping is gone
	}
	if p.Decided {
		delete(c.busy, p.Command.Subject())
	}
	switch {
	case p.Command.Fence != nil:
		for _, name := range c.ledFrom(p.Command.Fence.Host) {
			delete(c.fenced, name) // the state says it now, or refused it
		}
	case refused:
		delete(c.fenced, p.Command.Cluster)
	}
}

// ledFrom names the clusters whose primary is on a host.
func (c *Core) ledFrom(host string) []string {
	var names []string
	for _, name := range c.state.ClusterNames() {
		if conf := c.state.ClusterConfig(name); conf != nil {
			if m := conf.Member(c.state.Clusters[name].Primary); m != nil && m.Host == host {
				names = append(names, name)
			}
		}
	}
	return names
}

// noteFence marks an epoch as being fenced before the command leaves: no grant of it is answered from here on (L3).
func (c *Core) noteFence(cmd state.Command) {
	if cmd.Fence != nil {
		for _, name := range c.ledFrom(cmd.Fence.Host) {
			c.fenced[name] = c.state.Clusters[name].Epoch
		}
		return
	}
	cl := c.state.Clusters[cmd.Cluster]
	if cl == nil {
		return
	}
	seals := cmd.Begin != nil && cmd.Begin.Kind != state.Switchover || cmd.Advance != nil && cmd.Advance.Phase == state.PhaseSeal
	if seals || cmd.Promote != nil {
		c.fenced[cmd.Cluster] = cl.Epoch
	}
}

// remember puts beside the failover that now happens what would have been predicted a moment ago.
func (c *Core) remember(cmd *state.Command) {
	if cmd.Begin == nil || cmd.Begin.Kind != state.Failover {
		return // a planned change is not what was predicted
	}
	in, ok := c.predictable[cmd.Cluster]
	if !ok {
		return
	}
	death := decide.HostLost
	switch {
	case cmd.Begin.StopOld:
		death = decide.Crash
	case c.last.Reasons.Of(cmd.Cluster).Kind == health.SiteLost:
		death = decide.SiteGone
	}
	begin, foretold := *cmd.Begin, decide.Predict(in, cmd.Cluster, death)
	begin.Prediction = &foretold
	cmd.Begin = &begin
}

// keepPredictable keeps what was known of quiet clusters, once a second: a prediction is made only when its failover comes, but
// from what was known before.
func (c *Core) keepPredictable(now time.Duration, wall time.Time) {
	for name, cl := range c.state.Clusters {
		if cl.Primary == "" || cl.Attempt != nil || !cl.Opened || c.last.Reasons.Of(name).Rule != decide.RuleHealthy {
			continue
		}
		if in, ok := c.predictable[name]; ok && now-in.Now < time.Second {
			continue
		}
		in := c.input(now, wall)
		in.View, in.Leases, in.Watch = in.View.Clone(), in.Leases.Clone(), in.Watch.Clone()
		c.predictable[name] = in
	}
}

// tickLimit is a fifth of the shortest lease (L6).
func (c *Core) tickLimit() time.Duration { return c.shortestLease() / 5 }

func (c *Core) shortestLease() time.Duration {
	limit := platform.DefaultLease
	if c.state.Platform != nil {
		for i := range c.state.Platform.Clusters {
			limit = min(limit, c.state.Platform.Clusters[i].Lease)
		}
	}
	return limit
}
