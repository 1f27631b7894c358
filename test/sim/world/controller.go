package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/health"
)

// controller is the shell of loop.Core, as loop.Loop is: it feeds events in and carries out what comes back.
type controller struct {
	w        *World
	name     string
	node     node
	core     *loop.Core
	clock    clock
	alive    bool
	life     int
	began    string // tells one life from another
	term     int    // in which it believes to lead; 0 for none
	applied  int
	nextID   uint64
	posts    []waiting                     // that wait for an answer
	deciding bool                          // it is about to
	due      time.Duration                 // when it decides at the latest, by its own clock
	ready    bool                          // a barrier of its term is committed
	tries    map[state.Effect]*try         // effects under way
	probed   map[*supervisor]time.Duration // when the last probe that succeeded began
	failing  map[*supervisor]time.Duration // when the first probe since then began that had no answer
	checks   map[*appSupervisor]*check
	heard    []heard // from each node
	rounds   int     // of observations

	probes    []health.Observation         // the last, of which the core keeps none
	appProbes []health.InstanceObservation // the same
}

// waiting is a post that waits for the answer to the request of that number.
type waiting struct {
	id   uint64
	post *post
}

// heard is the last report of the last boot of a host: when it came, in true time.
type heard struct {
	boot int
	at   time.Duration
}

func (c *controller) start() {
	c.life++
	c.began = fmt.Sprintf("%s-%d", c.name, c.life)
	c.alive, c.term, c.applied, c.deciding, c.ready = true, 0, 0, false, false
	c.tries = map[state.Effect]*try{}
	c.clock = newClock(c.w.rand, c.w.now)
	c.core = loop.NewCore(c.name, c.now())
	c.posts, c.heard = nil, make([]heard, len(c.w.net.names))
	c.apply(c.w.raft.last())
	c.probed, c.failing, c.checks = map[*supervisor]time.Duration{}, map[*supervisor]time.Duration{}, map[*appSupervisor]*check{}
	if c.w.apps != nil {
		c.core.At(c.w.net.sites[c.node])
	}
	c.core.Voters(c.w.voters)
	c.poll()
	c.observe()
}

func (c *controller) crash() {
	c.alive = false
	c.life++
	if c.w.raft.leader == c {
		c.w.raft.leader = nil
	}
}

func (c *controller) now() time.Duration { return c.clock.read(c.w.now) }

func (c *controller) wall() time.Time { return time.Unix(1_700_000_000, 0).UTC().Add(c.w.now) }

func (c *controller) apply(index int) {
	if c.alive && index > c.applied {
		c.applied = index
		c.core.Applied(c.w.raft.states[index])
	}
}

// on lets something happen in this life of the controller, once it is not stopped.
func (c *controller) on(d time.Duration, what happening) {
	c.w.add(c.w.now+d, event{what: what, owner: &c.life, life: c.life, where: c.node, from: nowhere})
}

// What a controller does again and again.
type (
	polling   controller
	observing controller
	deciding  controller
)

func (c *polling) happen()   { (*controller)(c).poll() }
func (c *observing) happen() { (*controller)(c).observe() }
func (c *deciding) happen()  { (*controller)(c).decideNow() }

// poll is the loop's timer: it catches up with the log and decides.
func (c *controller) poll() {
	c.on(100*time.Millisecond, (*polling)(c))
	if leader := c.w.raft.leader; leader != nil && c.w.net.both(leader.node, c.node) {
		c.apply(c.w.raft.last())
	}
	if c.now() >= c.due {
		c.decide()
	}
	c.want()
}

func (c *controller) decide() {
	c.core.Stalled(time.Hour) // only disks hold a barrier up here for so long
	now := c.now()
	out := c.core.Decide(now, c.wall())
	c.due = now + c.core.Pause(now)
	if out.Fatal != nil {
		c.w.trace("%s exits: %v", c.name, out.Fatal)
		c.crash()
		c.w.after(c.w.span(200*time.Millisecond, time.Second), c.restart)
		return
	}
	c.act(out)
}

// decideSoon decides once for all results of the next moment: the loop would for each, which finds nothing more.
func (c *controller) decideSoon() {
	if c.deciding {
		return
	}
	c.deciding = true
	c.on(c.w.span(0, 40*time.Millisecond), (*deciding)(c))
}

func (c *controller) decideNow() {
	c.deciding = false
	c.decide()
}

func (c *controller) restart() {
	if !c.alive {
		c.start()
	}
}

func (c *controller) lead(life, term int) {
	if c.life != life || term < c.term {
		return
	}
	if c.term != 0 {
		c.act(c.core.Follow())
	}
	c.term, c.ready = term, false
	c.act(c.core.Lead(c.now()))
	c.decide()
}

// depose tells a controller that it no longer leads. Until then it continues as the leader.
func (c *controller) depose(life, newer int) {
	c.w.net.awake(c.node, func() {
		if c.life == life && c.term != 0 && c.term < newer {
			c.term, c.ready = 0, false
			c.act(c.core.Follow())
		}
	})
}

// act carries out what a step wants.
func (c *controller) act(out loop.Out) {
	for _, r := range out.Replies {
		if i := slices.IndexFunc(c.posts, func(w waiting) bool { return w.id == r.ID }); i >= 0 {
			p := c.posts[i].post
			c.posts = slices.Delete(c.posts, i, i+1)
			if r.Answer != nil {
				p.a.wayBack(p.to, p.over, &answered{p, r.Answer})
			}
		}
	}
	if out.Transfer {
		c.w.raft.transfer(c)
	}
	if out.Barrier != 0 {
		c.w.raft.proposeBarrier(c, out.Barrier)
	}
	for _, p := range out.Proposals {
		c.w.raft.propose(c, &p.Command, func(refused bool, err error) { c.core.Done(p, refused) })
	}
}

func (c *controller) barrierDone(number uint64, err error) {
	c.ready = c.ready || err == nil
	c.act(c.core.BarrierDone(number, err, c.now()))
}

// report takes in an agent's report.
func (c *controller) report(p *post) {
	if !c.alive {
		return
	}
	c.nextID++
	if h := &c.heard[p.a.host.node]; p.boot >= h.boot {
		*h = heard{p.boot, c.w.now}
	}
	out, err := c.core.Report(c.nextID, p.report, c.now())
	if err != nil {
		return // only a leader answers
	}
	c.posts = append(c.posts, waiting{c.nextID, p})
	c.act(out)
}

// submit sends an operator's command to the leader.
func (c *controller) submit(cmd state.Command) {
	c.nextID++
	if out, err := c.core.Submit(c.nextID, cmd); err == nil {
		c.act(out)
	}
}
