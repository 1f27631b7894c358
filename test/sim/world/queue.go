package world

import "time"

// queue orders events by time, then by when they were asked for: a total order, so that a seed replays.
type queue struct {
	line  []place       // a binary heap
	spare []*event      // used up
	now   time.Duration // true time, which no process can read
	count uint64
}

// place is an event's in the line.
type place struct {
	at  time.Duration
	seq uint64
	*event
}

// event is what happens at a moment, unless what it belongs to is over or out of reach by then.
type event struct {
	what  happening
	owner *int // counts the lives of what it belongs to; nil if that lives for ever
	life  int  // the one that it belongs to
	where node // whose processes must not be stopped, or nowhere
	from  node // where it was sent from, if it comes over the network, or nowhere
}

type happening interface{ happen() }

// call is a function that is called when its event happens.
type call func()

func (f call) happen() { f() }

func (p *place) before(o *place) bool { return p.at < o.at || p.at == o.at && p.seq < o.seq }

// at runs f at true time t, or now if that has passed.
func (q *queue) at(t time.Duration, f func()) {
	q.add(t, event{what: call(f), where: nowhere, from: nowhere})
}

func (q *queue) after(d time.Duration, f func()) { q.lets(d, call(f)) }

func (q *queue) lets(d time.Duration, what happening) {
	q.add(q.now+d, event{what: what, where: nowhere, from: nowhere})
}

// add lets e happen at true time t, or now if that has passed.
func (q *queue) add(t time.Duration, e event) {
	q.count++
	p := place{max(t, q.now), q.count, q.fresh()}
	*p.event = e
	q.line = append(q.line, p)
	h, i := q.line, len(q.line)-1
	for i > 0 {
		up := (i - 1) / 2
		if !p.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = p
}

// fresh is an event to fill in.
func (q *queue) fresh() *event {
	n := len(q.spare)
	if n == 0 {
		return new(event)
	}
	e := q.spare[n-1]
	q.spare = q.spare[:n-1]
	return e
}

// next takes the earliest event off the line.
func (q *queue) next() event {
	h, n := q.line, len(q.line)-1
	first, last := h[0], h[n]
	h[n] = place{}
	h = h[:n]
	i := 0
	for {
		low := 2*i + 1
		if low >= n {
			break
		}
		if low+1 < n && h[low+1].before(&h[low]) {
			low++
		}
		if !h[low].before(&last) {
			break
		}
		h[i] = h[low]
		i = low
	}
	if n > 0 {
		h[i] = last
	}
	q.line, q.now = h, first.at
	e := *first.event
	q.spare = append(q.spare, first.event)
	return e
}

// runUntil lets events happen up to true time end, or until stop says so.
func (w *World) runUntil(end time.Duration, stop func() bool) {
	for len(w.line) > 0 && w.line[0].at <= end {
		w.happen(w.next())
		if stop() {
			return
		}
	}
	w.now = end
}

// happen runs an event where it belongs: not if it was lost on the way, later if nobody is awake there.
func (w *World) happen(e event) {
	if e.from != nowhere && !w.net.open(e.from, e.where) && w.rand.IntN(2) != 0 { // else it was past the cut already
		return
	}
	e.from = nowhere
	if e.where != nowhere && w.net.asleep(e.where) {
		w.add(w.net.sleep[e.where], e)
		return
	}
	if e.owner == nil || *e.owner == e.life {
		e.what.happen()
	}
}
