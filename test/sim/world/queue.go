package world

import (
	"container/heap"
	"time"
)

// queue orders events by time, then by when they were asked for: a total order, so that a seed replays.
type queue struct {
	events eventHeap
	now    time.Duration // true time, which no process can read
	count  uint64
}

type event struct {
	at  time.Duration
	seq uint64
	run func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// at runs f at true time t, or now if that has passed.
func (q *queue) at(t time.Duration, f func()) {
	q.count++
	heap.Push(&q.events, event{max(t, q.now), q.count, f})
}

func (q *queue) after(d time.Duration, f func()) { q.at(q.now+d, f) }

// runUntil handles events up to true time end.
func (q *queue) runUntil(end time.Duration) {
	for len(q.events) > 0 && q.events[0].at <= end {
		e := heap.Pop(&q.events).(event)
		q.now = e.at
		e.run()
	}
	q.now = end
}
