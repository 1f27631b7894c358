package world

import "time"

// queue orders events by time, then by when they were asked for: a total order, so that a seed replays. Time is cut into
// slots. What comes soon hangs in the wheel by its slot, and is put in order only when that comes.
type queue struct {
	now   time.Duration   // true time, which no process can read
	slot  time.Duration   // the number of the one that has come
	due   []*event        // those of that slot and of slots before, the earliest last
	wheel [onWheel]*event // those of the next slots, linked, in no order
	far   []*event        // those that come later
	used  *event          // to be used again, linked
	count uint64
}

const (
	slotLength time.Duration = 1 << 22 // 4 ms
	onWheel                  = 256
)

// event is what happens at a moment, unless what it belongs to is over or out of reach by then.
type event struct {
	what  happening
	owner *int // counts the lives of what it belongs to; nil if that lives for ever
	life  int  // the one that it belongs to
	where node // whose processes must not be stopped, or nowhere
	from  node // where it was sent from, if it comes over the network, or nowhere

	at   time.Duration
	seq  uint64
	next *event // on the wheel, or among the used ones
}

type happening interface{ happen() }

// call is a function that is called when its event happens.
type call func()

func (f call) happen() { f() }

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

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
	p := q.used
	if p == nil {
		p = new(event)
	}
	q.used = p.next
	p.what, p.owner, p.life, p.where, p.from = e.what, e.owner, e.life, e.where, e.from // a copy of e costs more
	q.again(t, p)
}

func (q *queue) again(t time.Duration, e *event) {
	q.count++
	e.at, e.seq, e.next = max(t, q.now), q.count, nil
	q.place(e)
}

func (q *queue) place(e *event) {
	switch slot := e.at / slotLength; {
	case slot <= q.slot:
		q.insert(e)
	case slot < q.slot+onWheel:
		head := &q.wheel[slot%onWheel]
		e.next, *head = *head, e
	default:
		q.far = append(q.far, e)
	}
}

func (q *queue) insert(e *event) {
	q.due = append(q.due, e)
	i := len(q.due) - 1
	for ; i > 0 && q.due[i-1].before(e); i-- {
		q.due[i] = q.due[i-1]
	}
	q.due[i] = e
}

// turn advances to the next slot.
func (q *queue) turn() {
	q.slot++
	if q.slot%onWheel == 0 {
		far := q.far
		q.far = q.far[:0]
		for _, e := range far {
			q.place(e)
		}
	}
	head := &q.wheel[q.slot%onWheel]
	for e := *head; e != nil; {
		next := e.next
		q.insert(e)
		e = next
	}
	*head = nil
}

// next takes the earliest event off if it comes by end.
func (q *queue) next(end time.Duration) *event {
	for len(q.due) == 0 {
		if q.slot >= end/slotLength {
			return nil
		}
		q.turn()
	}
	last := len(q.due) - 1
	e := q.due[last]
	if e.at > end {
		return nil
	}
	q.due, q.now = q.due[:last], e.at
	return e
}

// runUntil lets events happen up to true time end, or until stop says so.
func (w *World) runUntil(end time.Duration, stop func() bool) {
	for e := w.next(end); e != nil; e = w.next(end) {
		w.happen(e)
		if stop() {
			return
		}
	}
	w.now = end
}

// happen runs an event where it belongs: not if it was lost on the way, later if no process is awake there.
func (w *World) happen(e *event) {
	lost := e.from != nowhere && !w.net.open(e.from, e.where) && w.rand.IntN(2) != 0 // else it was past the cut already
	e.from = nowhere
	switch {
	case !lost && e.where != nowhere && w.net.asleep(e.where):
		w.again(w.net.sleep[e.where], e)
		return
	case !lost && (e.owner == nil || *e.owner == e.life):
		e.what.happen()
	}
	e.what, e.next = nil, w.used
	w.used = e
}
