package world

import "time"

// node is one end of the network: a controller, a host or a client.
type node int

const nowhere node = -1

// network delivers between nodes. A cut is one way; a message is lost if the way is cut when it is sent, perhaps if it is
// when it would arrive, or by chance.
type network struct {
	w     *World
	names []string
	sites []string
	cuts  [][]bool
	late  [][]time.Duration // added to every delay of one way
	sleep []time.Duration   // until when a node's processes are stopped
	slept []time.Duration   // until when they were last
	loss  float64
	twice float64
	slow  time.Duration // added to every delay at most
}

// join adds a node. All must have joined before the first message.
func (n *network) join(name, site string) node {
	n.names, n.sites = append(n.names, name), append(n.sites, site)
	n.sleep, n.slept = append(n.sleep, 0), append(n.slept, 0)
	n.cuts, n.late = nil, nil
	for range n.names {
		n.cuts, n.late = append(n.cuts, make([]bool, len(n.names))), append(n.late, make([]time.Duration, len(n.names)))
	}
	return node(len(n.names) - 1)
}

func (n *network) open(from, to node) bool { return !n.cuts[from][to] }

func (n *network) both(a, b node) bool { return n.open(a, b) && n.open(b, a) }

func (n *network) asleep(a node) bool { return n.sleep[a] > n.w.now }

func (n *network) delay(from, to node) time.Duration {
	d := time.Duration(500+n.w.rand.IntN(4000))*time.Microsecond + n.late[from][to]
	if n.slow > 0 {
		d += time.Duration(n.w.rand.Int64N(int64(n.slow)))
	}
	if n.w.now < n.w.trouble && n.w.rand.IntN(50) == 0 {
		d += time.Duration(n.w.rand.IntN(400)) * time.Millisecond
	}
	return d
}

// send delivers a request or an answer: it may be lost or repeated, and may overtake another.
func (n *network) send(from, to node, f func()) { n.sends(from, to, call(f)) }

func (n *network) sends(from, to node, what happening) {
	if n.loss > 0 && n.w.rand.Float64() < n.loss {
		return
	}
	n.streams(from, to, what)
	if n.twice > 0 && n.w.rand.Float64() < n.twice {
		n.streams(from, to, what)
	}
}

// stream is send on an open connection, which repeats what was lost.
func (n *network) stream(from, to node, f func()) { n.streams(from, to, call(f)) }

func (n *network) streams(from, to node, what happening) {
	if !n.open(from, to) {
		return
	}
	n.w.add(n.w.now+n.delay(from, to), event{what: what, where: to, from: from})
}

// awake runs f once a node is not stopped any more.
func (n *network) awake(a node, f func()) {
	n.w.happen(&event{what: call(f), where: a, from: nowhere})
}

// freeze stops a node's processes for a while, at most until everything heals.
func (n *network) freeze(a node, d time.Duration) {
	n.sleep[a] = max(n.sleep[a], min(n.w.now+d, n.w.trouble))
	n.slept[a] = n.sleep[a]
}

func (n *network) cut(from, to node) { n.cuts[from][to] = true }

// heal opens every way and ends every delay.
func (n *network) heal() {
	n.loss, n.twice, n.slow = 0, 0, 0
	for i := range n.cuts {
		clear(n.cuts[i])
		clear(n.late[i])
	}
}

// mend opens every way, and leaves the rest.
func (n *network) mend() {
	for i := range n.cuts {
		clear(n.cuts[i])
	}
}
