package world

import (
	"errors"
	"time"

	"mainstay/controller/state"
)

var errUnknown = errors.New("leadership was lost; it is not known whether this was committed")

// raft is a model of the replicated log: one true leader a term, which may be deposed without knowing; what a deposed
// leader had under way may still be committed by the next, even entries that it could not send. test/conform holds it to
// controller/consensus; one difference is left: a leader without a majority believes to lead until another is elected, where
// a real one steps down once its own lease on leadership is over.
type raft struct {
	w      *World
	term   int
	leader *controller // nil for none
	states []*state.State
	under  []*proposal   // proposed in this term, not committed yet, in order
	lost   time.Duration // since when the leader has no majority
	late   time.Duration // until when results come late
}

type proposal struct {
	r          *raft
	by         *controller
	life, term int // of it
	cmd        *state.Command
	barrier    uint64 // the number of a barrier; then is for anything else
	then       func(refused bool, err error)
	done       bool
	index      int // of the log
	refused    bool
	err        error
}

func (p *proposal) happen() { p.r.replicate(p) }

func newRaft(w *World) *raft { return &raft{w: w, states: []*state.State{state.New()}} }

func (r *raft) last() int { return len(r.states) - 1 }

func (r *raft) top() *state.State { return r.states[len(r.states)-1] }

// propose is called by a controller that believes to lead a term.
func (r *raft) propose(c *controller, cmd *state.Command, then func(refused bool, err error)) {
	r.takes(&proposal{r: r, by: c, life: c.life, term: c.term, cmd: cmd, then: then})
}

var barrier = state.Command{Barrier: &state.Barrier{}}

// proposeBarrier is propose for what controllers propose most.
func (r *raft) proposeBarrier(c *controller, number uint64) {
	r.takes(&proposal{r: r, by: c, life: c.life, term: c.term, cmd: &barrier, barrier: number})
}

func (r *raft) takes(p *proposal) {
	if r.leads(p) {
		r.under = append(r.under, p)
	}
	r.w.lets(r.w.span(time.Millisecond, 12*time.Millisecond), p)
}

// leads tells whether who proposed it really leads, and still does.
func (r *raft) leads(p *proposal) bool { return p.term == r.term && p.by == r.leader }

func (r *raft) replicate(p *proposal) {
	switch c := p.by; {
	case p.done:
	case !r.leads(p):
		p.err = errUnknown
		r.answer(p, r.w.span(0, 300*time.Millisecond))
	case c.alive && !r.w.net.asleep(c.node) && r.majority(c):
		r.flush(p)
	default:
		r.w.lets(20*time.Millisecond, p)
	}
}

// answer brings the result back to the life of the controller that proposed it.
func (r *raft) answer(p *proposal, d time.Duration) {
	r.w.add(r.w.now+d, event{what: (*result)(p), owner: &p.by.life, life: p.life, where: p.by.node, from: nowhere})
}

// result is what has come of a proposal, on its way back.
type result proposal

func (p *result) happen() {
	p.by.apply(p.index)
	if p.barrier != 0 {
		p.by.barrierDone(p.barrier, p.err)
	} else {
		p.then(p.refused, p.err)
	}
	p.by.decideSoon()
}

// flush commits everything up to p: the log keeps its order.
func (r *raft) flush(p *proposal) {
	for len(r.under) > 0 && !p.done {
		first := r.under[0]
		r.under = r.under[1:]
		first.index, first.refused = r.commit(*first.cmd)
		first.done = true
		r.answer(first, r.hiccup())
	}
}

// commit applies a command. In every fourth scenario it is first encoded and decoded, as in a real log, and so is a platform always,
// whose defaults are filled in then; that takes long, and no trace has shown a difference in any other command.
func (r *raft) commit(cmd state.Command) (index int, refused bool) {
	var encoded []byte
	decodes := r.w.seed%4 == 0 || cmd.Platform != nil
	if cmd.Barrier == nil && (decodes || r.w.traced()) {
		encoded = encode(cmd)
	}
	if encoded != nil && decodes {
		cmd = decode(encoded)
	}
	old := r.top()
	next, err := state.Apply(old, uint64(r.last()+1), cmd)
	r.states = append(r.states, next)
	if cmd.Barrier == nil {
		r.w.committed(old, next, cmd, encoded, err)
		r.tell()
	}
	return r.last(), err != nil
}

func encode(cmd state.Command) []byte {
	b, err := cmd.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func decode(b []byte) state.Command {
	cmd, err := state.DecodeCommand(b)
	if err != nil {
		panic(err)
	}
	return cmd
}

// tell lets the others catch up at once; what does not reach them they get with their next beat.
func (r *raft) tell() {
	if r.leader == nil {
		return
	}
	for _, c := range r.w.controllers {
		if c != r.leader {
			r.w.net.stream(r.leader.node, c.node, func() { c.apply(r.last()) })
		}
	}
}

func (r *raft) majority(of *controller) bool {
	n := 0
	for _, c := range r.w.controllers {
		if c.alive && (c == of || r.w.net.both(of.node, c.node) && !r.w.net.asleep(c.node)) {
			n++
		}
	}
	return 2*n > len(r.w.controllers)
}

type watching raft

func (r *watching) happen() { (*raft)(r).watch() }

// watch holds elections: a leader that cannot reach a majority for a while is replaced.
func (r *raft) watch() {
	r.w.lets(50*time.Millisecond, (*watching)(r))
	if c := r.leader; c != nil && c.alive && !r.w.net.asleep(c.node) && r.majority(c) {
		r.lost = r.w.now
		return
	}
	if r.w.now-r.lost < r.w.span(300*time.Millisecond, 1200*time.Millisecond) {
		return
	}
	r.elect()
}

// elect lets one of the controllers that reach a majority win, perhaps the same again.
func (r *raft) elect() { r.electBut(nil) }

func (r *raft) electBut(not *controller) {
	var able []*controller
	for _, c := range r.w.controllers {
		if c != not && c.alive && !r.w.net.asleep(c.node) && r.majority(c) {
			able = append(able, c)
		}
	}
	if len(able) == 0 {
		return
	}
	old := r.leader
	winner := able[r.w.rand.IntN(len(able))]
	limbo := r.under
	r.term++
	r.leader, r.under, r.lost = winner, nil, r.w.now
	r.w.trace("raft: %s leads term %d", winner.name, r.term)
	if len(limbo) > 0 {
		for _, p := range limbo[:r.w.rand.IntN(len(limbo)+1)] {
			r.commit(*p.cmd)
		}
	}
	term := r.term
	if old != nil {
		life := old.life
		r.w.after(r.w.unaware(), func() { old.depose(life, term) })
	}
	life := winner.life
	r.w.after(r.w.span(0, 30*time.Millisecond), func() { r.w.net.awake(winner.node, func() { winner.lead(life, term) }) })
}

// unaware is how long a deposed leader does not know of it: until its own lease on leadership ends, and its loop runs.
func (w *World) unaware() time.Duration {
	if w.rand.IntN(4) == 0 {
		return w.span(0, 3*time.Second)
	}
	return w.span(0, 600*time.Millisecond)
}

// hiccup is how late a result comes: a process that was not scheduled.
func (r *raft) hiccup() time.Duration {
	if r.late > r.w.now && r.w.rand.IntN(3) == 0 {
		return r.w.span(0, 1500*time.Millisecond)
	}
	return r.w.hiccup()
}
