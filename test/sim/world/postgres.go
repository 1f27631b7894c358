package world

import (
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

// record is one piece of WAL. Two members hold the same record only if one received it from the other.
type record struct {
	lsn      platform.LSN // where it ends
	timeline platform.Timeline
	commit   uint64 // a client's write; 0 for anything else
	image    string // of a page that the primary's disk has lost a write of; "" for none
}

// postgres is one data directory and the instance on it.
type postgres struct {
	w *World
	m *supervisor

	// On disk.
	present          bool
	busy             bool   // a clone is being written: nothing can be told of it
	rotten           string // why it cannot be started, since rottenAt
	rottenAt         time.Duration
	restored         bool // its disk is older than the one it had once
	damage           damage
	frozen           frozen
	wal              []*record
	own              bool // no other server appends to the array behind wal
	asPrimary, clean bool
	shutdown         platform.LSN
	settings         string // the application name
	pointed          string // the member that primary_conninfo names; upstream is its instance
	upstream         *postgres
	set              platform.DurabilitySet // as a new connection shows it
	shown            string                 // synchronous_standby_names of it
	slots            []string

	// Of the running instance.
	life        int
	running     bool
	adoptable   bool
	stopping    bool
	primary     bool
	waiting     bool           // backends wait for the list: the checkpointer has told them to
	epoch       platform.Epoch // under which it takes writes: for the checker
	replayed    int            // records
	received    bool           // this instance ran a receiver
	known       bool           // the end of its WAL is known
	conflict    time.Duration  // until when a query blocks replay
	hung        time.Duration  // until when the postmaster answers no new connection; present sessions continue
	lag         time.Duration  // of WAL on its way here
	receiver    *connection
	senders     []*connection
	waits       []*commit
	lastStream  time.Duration
	pushed      time.Duration  // when a standby last sent on what it had received
	idle        int            // how often it has received nothing new in a row
	caughtUp    platform.Epoch // the attempt in which it was handed WAL after its seal: for the checker
	writeProbed time.Duration  // when the small local commit last finished
	onStop      func()         // what happens when it begins to stop
	onEnd       func()         // what happens to the statement of its agent that runs, when it ends
}

func (p *postgres) end() platform.LSN { return p.at(len(p.wal)) }

// at is where the first n records end.
func (p *postgres) at(n int) platform.LSN {
	if n == 0 {
		return 0
	}
	return p.wal[n-1].lsn
}

func (p *postgres) timeline() platform.Timeline {
	if len(p.wal) == 0 {
		return 0
	}
	return p.wal[len(p.wal)-1].timeline
}

// history lists the timelines the WAL went through before its last one.
func (p *postgres) history() platform.History {
	var h platform.History
	for i := 1; i < len(p.wal); i++ {
		if p.wal[i].timeline != p.wal[i-1].timeline {
			h = append(h, platform.Fork{Timeline: p.wal[i-1].timeline, End: p.wal[i-1].lsn})
		}
	}
	return h
}

func (p *postgres) append(timeline platform.Timeline, commit uint64) *record {
	r := &record{lsn: p.end() + platform.LSN(8+8*p.w.rand.IntN(20)), timeline: timeline, commit: commit}
	if !p.own {
		p.wal, p.own = slices.Clip(p.wal), true
	}
	p.wal = append(p.wal, r)
	p.replays(len(p.wal))
	return r
}

func (p *postgres) initialise() {
	p.wipe()
	p.present, p.asPrimary, p.clean = true, true, true
	p.wal = []*record{{lsn: 1000, timeline: 1}}
	p.shutdown = 900
}

func (p *postgres) wipe() {
	p.crash()
	*p = postgres{w: p.w, m: p.m, life: p.life + 1}
}

func (p *postgres) abortClone() {
	if p.busy {
		p.wipe()
	}
}

// replaysAgain is more than how many records a start replays again.
const replaysAgain = 40

// startStandby begins replay at the last restart point: until it waits for WAL at the end, its position understates. A wanted delay of
// replay is a conflict here, which no seal lifts: the real seal lifts a delay where the end is unknown.
func (p *postgres) startStandby(frozen bool) {
	p.life++
	p.running, p.primary, p.stopping, p.clean, p.asPrimary = true, false, false, false, false
	p.waiting = p.set.Acks > 0
	to := p.hold(frozen)
	p.replayed, p.received, p.known, p.lastStream = max(min(1, to), to-p.w.rand.IntN(replaysAgain)), false, false, p.w.now
	p.recover(p.life, p.w.span(50*time.Millisecond, 800*time.Millisecond))
	p.receive()
}

// recover replays to the end, once nothing blocks it.
func (p *postgres) recover(life int, d time.Duration) {
	p.w.after(d, func() {
		switch {
		case p.life != life || p.primary || p.frozen.paused:
		case p.conflict > p.w.now:
			p.recover(life, p.conflict-p.w.now)
		case p.frozen.held:
			p.replays(max(p.replayed, min(p.frozen.furthest, len(p.wal))))
			p.frozen.paused = true
		default:
			p.replays(len(p.wal))
			p.known = true
		}
	})
}

func (p *postgres) startPrimary(epoch platform.Epoch) {
	p.life++
	p.running, p.primary, p.stopping = true, true, false
	p.waiting = p.set.Acks > 0
	p.takeWrites(epoch)
	p.append(p.timeline(), 0) // the end of crash recovery
	p.writeProbed = p.w.now
	p.writeProbe()
}

// promote ends what blocks replay, replays to the end, and continues on the timeline.
func (p *postgres) promote(epoch platform.Epoch, timeline platform.Timeline) {
	p.replays(len(p.wal))
	p.frozen.paused = false
	p.primary, p.receiver, p.conflict, p.senders = true, nil, 0, nil // who streamed from the standby asks anew
	p.takeWrites(epoch)
	p.append(max(timeline, p.timeline()+1), 0)
	p.writeProbed = p.w.now
	p.m.cluster.check.NewTimeline(p.w.now, p.m.name, p.timeline())
	p.writeProbe()
}

func (p *postgres) takeWrites(epoch platform.Epoch) {
	p.asPrimary, p.clean, p.epoch = true, false, epoch
	p.w.trace("%s takes writes under %s", p.m.name, epoch)
	p.m.cluster.check.Began(p.w.now, p.m.name, epoch, p.commits())
}

// crash ends every process at once; what was flushed stays.
func (p *postgres) crash() {
	if !p.running {
		return
	}
	p.life++
	p.running, p.primary, p.stopping, p.adoptable, p.receiver = false, false, false, false, nil
	p.frozen.paused, p.frozen.held = false, false
	p.senders, p.waits, p.hung = nil, nil, 0
	p.damage.counted = false
	if p.onEnd != nil {
		p.onEnd()
	}
}

// stopClean ends a primary after its receivers had a moment to take the shutdown record. One that has crashed meanwhile is not clean for
// being told to stop.
func (p *postgres) stopClean(done func()) {
	if !p.running {
		done()
		return
	}
	life, clean := p.life, !p.m.host.full() // without room there is no shutdown checkpoint
	if p.primary && clean {
		p.stopping, p.waits = true, nil
		p.shutdown = p.end()
		if p.onStop != nil {
			p.onStop()
		}
		p.append(p.timeline(), 0)
		p.push()
	}
	p.w.after(p.w.span(30*time.Millisecond, 500*time.Millisecond), func() {
		if p.life == life {
			p.clean = clean
			p.crash()
		}
		done()
	})
}

// writeProbe is the agent's small local commit.
func (p *postgres) writeProbe() {
	if !p.running {
		return
	}
	if !p.stopping && p.m.host.stall() == 0 && !p.m.host.full() {
		p.writeProbed = p.w.now
		p.append(p.timeline(), 0)
		p.push()
	}
	p.lets(250*time.Millisecond, (*committing)(p))
}

// What an instance does again and again.
type (
	committing postgres
	receiving  postgres
)

func (p *committing) happen() { (*postgres)(p).writeProbe() }
func (p *receiving) happen()  { (*postgres)(p).receive() }

// lets something happen in this life of the instance.
func (p *postgres) lets(d time.Duration, what happening) {
	p.w.add(p.w.now+d, event{what: what, owner: &p.life, life: p.life, where: nowhere, from: nowhere})
}

// commits are the clients' writes that the data holds.
func (p *postgres) commits() map[uint64]bool {
	held := make(map[uint64]bool, len(p.wal))
	for _, r := range p.wal {
		if r.commit != 0 {
			held[r.commit] = true
		}
	}
	return held
}

// see is what an agent's look shows.
func (p *postgres) see() member.Seen {
	s := member.Seen{Data: health.DataEmpty, Process: health.ProcessEnded}
	if p.busy {
		s.Data = health.DataUnknown
	}
	if !p.present {
		return s
	}
	s.Data, s.SystemID, s.Timeline, s.Slots = health.DataPresent, systemID, p.timeline(), p.slots
	s.SyncNames, s.SyncOurs = p.shown, true
	if s.Corrupt = p.rotten; p.rotten != "" {
		s.SystemID, s.Timeline = "", 0
		return s
	}
	if !p.running {
		s.Clean, s.AsPrimary, s.Shutdown, s.End, s.Position = p.clean, p.asPrimary, p.shutdown, p.end(), p.end()
		return s
	}
	s.Process, s.Adoptable = health.ProcessRunning, p.adoptable
	if p.primary {
		s.Role, s.Position, s.Insert = health.RolePrimary, p.end(), p.end()
		if len(p.senders) > 0 {
			s.Senders = make([]health.Sender, 0, len(p.senders))
		}
		for _, c := range p.senders {
			s.Senders = append(s.Senders, health.Sender{Name: c.name, State: c.state(), Flush: c.flush, Sync: c.set.Has(c.name), Fresh: c.fresh})
		}
		return s
	}
	return p.seeStandby(s)
}

func (p *postgres) seeStandby(s member.Seen) member.Seen {
	s.Role, s.Position, s.Replayed = health.RoleStandby, p.at(p.replayed), p.at(p.replayed)
	if p.received {
		s.Position = p.end()
	}
	s.Upstream, s.Application = p.pointed, p.settings
	s.Paused, s.Held = p.frozen.paused, p.frozen.held
	s.Known, s.Receiver = p.known, p.receiver != nil
	s.Streaming = s.Receiver
	return s
}
