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
}

// postgres is one data directory and the instance on it.
type postgres struct {
	w    *World
	host *host

	// On disk.
	present            bool
	busy               bool // a clone is being written: nothing can be told of it
	wal                []*record
	own                bool // nobody else appends to the array behind wal
	asPrimary, clean   bool
	shutdown           platform.LSN
	settings, upstream string // settings: the application name
	set                platform.Set
	slots              []string

	// Of the running instance.
	life       int
	running    bool
	stopping   bool
	primary    bool
	epoch      platform.Epoch // under which it began to take writes: for the checker
	replayed   int
	known      bool // the end of its WAL is known
	receiver   *connection
	senders    []*connection
	waits      []*write
	lastStream time.Duration
}

// connection is a replication stream, from both ends.
type connection struct {
	from, to *postgres
	life     int // of the receiving instance
	name     string
	flush    platform.LSN
	sent     time.Duration // when the receiver last heard, true time
	heard    time.Duration // when the sender last heard
}

type write struct {
	id    uint64
	lsn   platform.LSN
	reply func()
}

func (p *postgres) end() platform.LSN {
	if len(p.wal) == 0 {
		return 0
	}
	return p.wal[len(p.wal)-1].lsn
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
	r := &record{p.end() + platform.LSN(8+8*p.w.rand.IntN(20)), timeline, commit}
	if !p.own {
		p.wal, p.own = slices.Clip(p.wal), true
	}
	p.wal = append(p.wal, r)
	p.replayed = len(p.wal)
	return r
}

func (p *postgres) startStandby() {
	p.life++
	p.running, p.primary, p.stopping, p.clean, p.asPrimary = true, false, false, false, false
	p.replayed, p.known, p.lastStream = len(p.wal), false, p.w.now
	life := p.life
	p.w.after(p.w.span(50*time.Millisecond, 800*time.Millisecond), func() {
		if p.life == life && p.running {
			p.known = true
		}
	})
	p.receive(life)
}

func (p *postgres) startPrimary(epoch platform.Epoch) {
	p.life++
	p.running, p.primary, p.stopping = true, true, false
	p.takeWrites(epoch)
	p.append(p.timeline(), 0) // the end of crash recovery
	p.beat(p.life)
}

func (p *postgres) promote(epoch platform.Epoch, timeline platform.Timeline) {
	p.primary, p.receiver = true, nil
	p.takeWrites(epoch)
	p.append(max(timeline, p.timeline()+1), 0)
	p.w.check.NewTimeline(p.w.now, p.host.member, p.timeline())
	p.beat(p.life)
}

func (p *postgres) takeWrites(epoch platform.Epoch) {
	p.asPrimary, p.clean, p.epoch = true, false, epoch
	p.w.check.Began(p.w.now, p.host.member, epoch)
	p.w.trace("%s takes writes under %s", p.host.member, epoch)
}

// crash ends every process at once; what was flushed stays.
func (p *postgres) crash() {
	if !p.running {
		return
	}
	p.life++
	p.running, p.primary, p.stopping, p.receiver = false, false, false, nil
	p.senders, p.waits = nil, nil
}

// stopClean ends a primary after its receivers had a moment to take the shutdown record.
func (p *postgres) stopClean(done func()) {
	life := p.life
	if p.primary {
		p.stopping, p.waits = true, nil
		p.shutdown = p.end()
		p.append(p.timeline(), 0)
		p.push()
	}
	p.w.after(p.w.span(30*time.Millisecond, 500*time.Millisecond), func() {
		if p.life == life {
			p.clean = true
			p.crash()
		}
		done()
	})
}

// beat is the agent's small local commit.
func (p *postgres) beat(life int) {
	if p.life != life || !p.running {
		return
	}
	if !p.stopping {
		p.append(p.timeline(), 0)
		p.push()
	}
	p.w.after(250*time.Millisecond, func() { p.beat(life) })
}

// write is a client's commit: it is answered once enough of the loaded set hold it.
func (p *postgres) write(id uint64, reply func()) {
	if !p.running || !p.primary || p.stopping {
		return
	}
	r := p.append(p.timeline(), id)
	p.waits = append(p.waits, &write{id, r.lsn, reply})
	p.release()
	p.push()
}

// release answers every commit that waits for nothing more.
func (p *postgres) release() {
	if !p.running || !p.primary {
		return
	}
	kept := p.waits[:0:0]
	for _, c := range p.waits {
		if p.holders(c.lsn) < p.set.Acks {
			kept = append(kept, c)
			continue
		}
		p.w.check.Acknowledged(c.id, p.w.now, p.host.member, p.epoch)
		c.reply()
	}
	p.waits = kept
}

func (p *postgres) holders(lsn platform.LSN) int {
	n := 0
	for _, s := range p.senders {
		if p.set.Has(s.name) && s.flush >= lsn {
			n++
		}
	}
	return n
}

func (p *postgres) holds(id uint64) bool {
	for _, r := range p.wal {
		if r.commit == id {
			return true
		}
	}
	return false
}

// see is what an agent's look shows.
func (p *postgres) see() member.Seen {
	s := member.Seen{Data: health.DataEmpty, Process: health.ProcessEnded}
	if !p.present {
		return s
	}
	s.Data, s.SystemID, s.Timeline, s.Slots = health.DataPresent, systemID, p.timeline(), p.slots
	s.Clean, s.AsPrimary, s.Shutdown, s.End = p.clean, p.asPrimary, p.shutdown, p.end()
	s.SyncNames, s.SyncOurs = member.SyncNames(p.set), true
	if !p.running {
		return s
	}
	s.Process, s.Role, s.Position, s.Insert = health.ProcessRunning, health.RoleStandby, p.end(), p.end()
	if p.primary {
		s.Role = health.RolePrimary
		for _, c := range p.senders {
			s.Senders = append(s.Senders, health.Sender{Name: c.name, State: "streaming", Flush: c.flush, Sync: p.set.Has(c.name)})
		}
		return s
	}
	s.Upstream, s.Application = p.upstream, p.settings
	s.Receiver = p.receiver != nil
	s.Streaming = s.Receiver
	return s
}
