package member

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

const (
	// paceWindow is how far back a standby's pace is measured, at most; a segment of its archive may take many seconds.
	paceWindow = time.Minute
	// paceKnown is for how long its progress must have been seen before a pace is known.
	paceKnown = 15 * time.Second
	// streamBehind is how much WAL, in bytes, a standby that streams may have yet to replay before it counts as catching up.
	streamBehind = 64 << 20
)

// sample is how far a standby and its upstream were; upstream is 0 if unknown.
type sample struct {
	at                 time.Duration
	replayed, upstream platform.LSN
}

// pace is a standby's progress: from begins the window, mid begins the next one.
type pace struct {
	from, mid, last sample
	fetchedAt       time.Duration // when it was last seen to call its restore_command since it last streamed; 0 for never
}

// looked adds a sample. Another replay, as after a rewind, begins anew.
func (p pace) looked(s sample) pace {
	switch {
	case p.from.at == 0 || s.replayed < p.last.replayed || p.from.upstream == 0:
		p.from, p.mid = s, s
	case s.at-p.mid.at >= paceWindow/2:
		p.from, p.mid = p.mid, s
	}
	p.last = s
	return p
}

// takes is how long the standby needs for what is left, at the pace at which it has come nearer; 0 if no such pace is known.
func (p pace) takes(left platform.LSN) time.Duration {
	took := p.last.at - p.from.at
	nearer := float64(p.last.replayed-p.from.replayed) - float64(p.last.upstream-p.from.upstream)
	if took < paceKnown || p.from.upstream == 0 || p.last.upstream < p.from.upstream || nearer <= 0 {
		return 0
	}
	const most = 1000 * time.Hour
	return time.Duration(min(float64(left)/nearer*float64(took), float64(most)))
}

// keepPace is the part of Looked about a standby's pace.
func (m Memory) keepPace(s Seen, streams bool, now time.Duration) Memory {
	at := s.Replayed
	switch {
	case s.starting():
		at = max(s.Reached, m.pace.last.replayed) // it goes back to the segment before, again and again
	case s.Process != health.ProcessRunning || s.Role != health.RoleStandby:
		m.pace = pace{}
		return m
	}
	if at != 0 {
		m.pace = m.pace.looked(sample{now, at, s.UpstreamAt})
	}
	switch {
	case streams:
		m.pace.fetchedAt = 0
	case s.Recovery == Fetching:
		m.pace.fetchedAt = now
	}
	return m
}

// fetching tells whether the standby's restore_command runs, or has run a moment ago: then the replay of what it fetched may not show yet.
func (m Memory) fetching(s Seen, now time.Duration) bool {
	return s.Recovery == Fetching || m.pace.fetchedAt != 0 && now-m.pace.fetchedAt < lasting
}

// CatchUp says how far a replica is behind while it gets its WAL from elsewhere than its stream, or is far behind its stream; nil if it
// does neither.
func (m Memory) CatchUp(g platform.Goal, s Seen, now time.Duration) *health.CatchUp {
	p := &m.pace
	standby := s.Process == health.ProcessRunning && s.Role == health.RoleStandby
	if g.Kind != platform.GoalReplica || !g.Opened || !standby && !s.starting() || s.Recovery != "" && s.Recovery != Fetching {
		return nil
	}
	c := &health.CatchUp{From: "local WAL or the archive"}
	if p.last.upstream != 0 && p.last.replayed != 0 {
		left := p.last.upstream - min(p.last.upstream, p.last.replayed)
		c.LeftKnown, c.Left, c.TakesMS = true, int64(left), p.takes(left).Milliseconds()
	}
	switch {
	case s.Streaming:
		if c.From = "its stream"; c.Left <= streamBehind {
			return nil
		}
	case !m.fetching(s, now) && now-m.MovedAt >= time.Second:
		return nil
	case p.fetchedAt != 0:
		c.From = "the archive"
	}
	return c
}
