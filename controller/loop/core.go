package loop

import (
	"fmt"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

// Core is the leader's pure step. Each method takes in one event and returns what to do. It reads no clock: where time
// matters, now is an argument, read from CLOCK_BOOTTIME.
type Core struct {
	name  string
	site  string
	state *state.State
	goals map[string]*hostGoals // of state, for the hosts that have asked
	view  *health.View

	leading    bool
	ready      bool // an entry of this term has been committed, so all earlier ones are applied
	leases     *fencing.Leases
	conditions *decide.Conditions

	waiting      []waitingReport // arrived since the last barrier was proposed
	waits        time.Duration   // when the first of them arrived
	inBarrier    []waitingReport // served by the barrier in flight
	barrierSince time.Duration   // when the barrier in flight was proposed, plus the time in which this loop did not run
	proposed     time.Duration   // when the last barrier was proposed
	barrier      uint64          // number of the barrier in flight; 0: none
	barriers     uint64          // barriers numbered so far, in all terms
	term         uint64          // how often this controller has become the leader

	busy    map[string]bool           // subjects with a decided command in flight
	fenced  map[string]platform.Epoch // epochs whose fence has been proposed: no more grants (L3)
	holders map[held]holder           // the agent run that holds the grants of a member (L8)

	stalled     time.Duration // how long a write to this controller's own disk has not returned
	decided     time.Duration // when Decide was last called
	pause       time.Duration // when it must be called again at the latest
	transferred time.Duration // when leadership was last offered to another

	answered map[string]time.Duration // when an agent run was last answered in this term
	moved    time.Duration            // when a command was last proposed

	heardOf    uint64                   // the highest generation of the platform that an agent has reported
	otherGroup map[string]time.Duration // when an agent on that host last reported another group of the same generation

	voters   []string // names of the controllers that vote in the log
	lacks    string   // the programs that this controller's own file does not allow
	observed uint64   // numbers this process's own observations

	last        decide.Decision
	predictable map[string]decide.Input // input for predictions of quiet clusters, renewed once a second
}

// Out is the result of a step: work for the shell.
type Out struct {
	Barrier   uint64 // propose a barrier and return its result under this number; 0: none
	Proposals []Proposal
	Replies   []Reply
	Transfer  bool // hand leadership to another controller, if one takes it
	Fatal     error
}

// Proposal is a command to commit. Decided is false for an operator's command, whose result is the reply to ID.
type Proposal struct {
	Decided bool
	Term    uint64 // of the core: a result from an earlier term is ignored
	ID      uint64
	Command state.Command
}

// Reply answers a report or an operator's command.
type Reply struct {
	ID     uint64
	Answer *wire.ReportAnswer
	Err    error
}

// NewCore returns the core of a controller that does not lead.
func NewCore(name string, now time.Duration) *Core {
	return &Core{name: name, state: state.New(), goals: map[string]*hostGoals{}, view: health.NewView(now), conditions: decide.NewConditions()}
}

// At sets this controller's site. It is called before any other method.
func (c *Core) At(site string) { c.site = site }

// Applied takes over a newer state.
func (c *Core) Applied(s *state.State) {
	if !s.SameAs(c.state) {
		clear(c.goals)
	}
	c.state = s
}

// Lead begins a term as leader. now is read after the election was won (L4). No decision is made before the first barrier of
// the term is committed, because Raft signals leadership before earlier entries are applied.
func (c *Core) Lead(now time.Duration) Out {
	out := c.Follow() // leadership may have been lost and won again in between: work in flight belongs to the earlier term
	c.leading = true
	c.term++
	c.leases, c.conditions = fencing.NewLeases(now), decide.NewConditions()
	c.busy, c.fenced = map[string]bool{}, map[string]platform.Epoch{}
	c.answered, c.moved = map[string]time.Duration{}, now
	c.holders, c.predictable = map[held]holder{}, map[string]decide.Input{}
	c.view.Since = now
	out.Barrier = c.propose(now).Barrier
	return out
}

// Follow ends the term. Every waiting report is answered with ErrNotLeader.
func (c *Core) Follow() Out {
	var out Out
	for _, w := range append(c.inBarrier, c.waiting...) {
		out.Replies = append(out.Replies, Reply{ID: w.id, Err: ErrNotLeader})
	}
	c.leading, c.ready, c.barrier = false, false, 0
	c.inBarrier, c.waiting = nil, nil
	return out
}

// transferEvery is how often a leader whose view differs from all others offers leadership to another controller.
const transferEvery = 2 * time.Second

// Decide runs decide.Next and proposes its commands. It also watches the leader's own disk (L6).
func (c *Core) Decide(now time.Duration, wall time.Time) Out {
	var out Out
	if !c.leading {
		return out
	}
	c.distrustSelf(now)
	// A leader whose own disk works waits longer: then the other controllers or the CPUs are slow, and would be as slow for a new leader. Half
	// a lease leaves time for an election before any lease lapses.
	limit, waited := c.barrierLimit(), now-c.barrierSince
	if c.barrier != 0 && (waited > limit && c.stalled > limit || waited > limit*5/2) {
		out.Fatal = fmt.Errorf("%w (waited %s, of which %s for this controller's own disk; limit %s)", ErrDiskStalled, waited, c.stalled, limit)
		return out
	}
	if c.ready && c.givenUp() {
		out.Fatal = &GivenUpError{PlatformID: c.state.PlatformID, Generation: c.state.Generation, Obeyed: c.heardOf}
		return out
	}
	if !c.ready {
		return c.propose(now) // the first barrier of the term failed; without a report, no other barrier would be proposed
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
	if c.barrierDue(now) {
		out.Barrier = c.propose(now).Barrier
	}
	return out
}

func (c *Core) input(now time.Duration, wall time.Time) decide.Input {
	return decide.Input{State: c.state, View: c.view, Leases: c.leases, OtherGroup: c.otherGroup, Controllers: c.voters, Self: c.name,
		Site: c.site, Conditions: c.conditions, Now: now, Wall: wall}
}

// survey is the decision that this leader would make now, with every problem that it sees. in is a copy.
func (c *Core) survey(in decide.Input) decide.Decision {
	if !c.leading || !c.ready {
		return c.last
	}
	in.Survey = true
	return decide.Next(in)
}

// givenUp tells whether agents obey another group: a leader's state is the newest of its group, so a later generation is
// not of this group.
func (c *Core) givenUp() bool { return c.state.Generation != 0 && c.heardOf > c.state.Generation }

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
		return // of an earlier term, whose bookkeeping was dropped
	}
	if p.Decided {
		delete(c.busy, p.Command.Subject())
	}
	switch {
	case p.Command.Fence != nil:
		for _, name := range c.ledFrom(p.Command.Fence.Host) {
			delete(c.fenced, name) // the state now records the fence, or refused it
		}
	case refused:
		delete(c.fenced, p.Command.Cluster)
	}
}
