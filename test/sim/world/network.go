package world

import "time"

// network delivers between named nodes. A cut is one way; a message is lost if the way is cut when it is sent or when it
// would arrive, or by chance.
type network struct {
	w     *World
	cuts  map[way]bool
	loss  float64
	slow  time.Duration // added to every delay at most
	sleep map[string]time.Duration
}

type way struct{ from, to string }

func newNetwork(w *World) *network {
	return &network{w: w, cuts: map[way]bool{}, sleep: map[string]time.Duration{}}
}

func (n *network) open(from, to string) bool { return !n.cuts[way{from, to}] }

func (n *network) both(a, b string) bool { return n.open(a, b) && n.open(b, a) }

func (n *network) delay() time.Duration {
	d := time.Duration(500+n.w.rand.IntN(4000)) * time.Microsecond
	if n.slow > 0 {
		d += time.Duration(n.w.rand.Int64N(int64(n.slow)))
	}
	if n.w.now < trouble && n.w.rand.IntN(50) == 0 {
		d += time.Duration(n.w.rand.IntN(400)) * time.Millisecond
	}
	return d
}

// send delivers a request or an answer: it may be lost, and may overtake another.
func (n *network) send(from, to string, f func()) {
	if n.w.rand.Float64() < n.loss {
		return
	}
	n.stream(from, to, f)
}

// stream is send on an open connection, which repeats what was lost.
func (n *network) stream(from, to string, f func()) {
	if !n.open(from, to) {
		return
	}
	n.w.after(n.delay(), func() {
		if n.open(from, to) {
			n.awake(to, f)
		}
	})
}

// awake runs f once a node is not frozen any more.
func (n *network) awake(node string, f func()) {
	if until := n.sleep[node]; until > n.w.now {
		n.w.at(until, func() { n.awake(node, f) })
		return
	}
	f()
}

func (n *network) freeze(node string, d time.Duration) { n.sleep[node] = max(n.sleep[node], n.w.now+d) }

func (n *network) heal() { n.cuts, n.loss, n.slow = map[way]bool{}, 0, 0 }
