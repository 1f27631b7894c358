package world

import "time"

// queue orders events by time, then by when they were asked for: a total order, so that a seed replays.
type queue struct {
	events []event       // a binary heap
	now    time.Duration // true time, which no process can read
	count  uint64
}

type event struct {
	at  time.Duration
	seq uint64
	run func()
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// at runs f at true time t, or now if that has passed.
func (q *queue) at(t time.Duration, f func()) {
	q.count++
	q.events = append(q.events, event{max(t, q.now), q.count, f})
	h := q.events
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *queue) after(d time.Duration, f func()) { q.at(q.now+d, f) }

// next takes the earliest event off.
func (q *queue) next() event {
	h := q.events
	first, n := h[0], len(h)-1
	h[0], h[n] = h[n], event{}
	h = h[:n]
	for i := 0; ; {
		low := 2*i + 1
		if low >= n {
			break
		}
		if low+1 < n && h[low+1].before(&h[low]) {
			low++
		}
		if !h[low].before(&h[i]) {
			break
		}
		h[i], h[low] = h[low], h[i]
		i = low
	}
	q.events = h
	return first
}

// runUntil handles events up to true time end, or until stop says so.
func (q *queue) runUntil(end time.Duration, stop func() bool) {
	for len(q.events) > 0 && q.events[0].at <= end {
		e := q.next()
		q.now = e.at
		e.run()
		if stop() {
			return
		}
	}
	q.now = end
}
