package decide

import (
	"mainstay/controller/state"
	"mainstay/health"
)

// reroute keeps one replica of each remote site streaming from the primary and the others of that site from it. A replica
// whose acknowledgements commits may wait for streams from the primary itself, and so does one that has no relay.
func (l *look) reroute() (*state.Command, Reason) {
	for _, name := range l.replicas() {
		relay := l.relayOf(name)
		if relay == l.c.Upstreams[name] || l.conf.Member(name).Leaving {
			continue
		}
		why := Reason{Rule: RuleUpkeep, Code: streamsFromRelay, Member: name, Other: relay}
		if relay == "" {
			why.Code, why.Other = streamsFromPrimary, l.c.Primary
		}
		return &state.Command{Stream: &state.Stream{Member: name, From: relay, Reason: why.String()}}, why
	}
	return nil, Reason{}
}

// relayOf is whom a replica is to stream from, "" for the primary.
func (l *look) relayOf(name string) string {
	if l.bound(name) || l.site(name) == l.site(l.c.Primary) || !l.c.Members[name].Joined || !l.settled(name) {
		return ""
	}
	best, site := "", l.site(name)
	for _, other := range l.replicas() {
		if l.site(other) == site && l.relays(other) && (best == "" || l.betterRelay(other, best)) {
			best = other
		}
	}
	if best == name {
		return ""
	}
	return best
}

// settled: it streams from the primary, or has its data to go on streaming from its relay. The primary is the source of what
// replaces data that is gone, or must be discarded.
func (l *look) settled(name string) bool {
	r := l.fresh(name)
	if l.c.Upstreams[name] == "" {
		return r != nil && r.Process == health.ProcessRunning && r.Streams()
	}
	return r == nil || r.Data != health.DataEmpty && r.Needs == "" && r.Corrupt == ""
}

// bound: commits may wait for the replica, so it streams from the primary (S2).
func (l *look) bound(name string) bool {
	if l.conf.Durability.Acks > 0 && l.State.MayAck(l.conf, l.c.Primary, name) {
		return true
	}
	for _, set := range l.c.Sets {
		if set.Has(l.c.Members[name].Incarnation) {
			return true
		}
	}
	return false
}

// relays tells whether a replica can hand the stream on: it streams from the primary, or has until a moment ago.
func (l *look) relays(name string) bool {
	r, m := l.fresh(name), l.conf.Member(name)
	if m.Leaving || l.c.Upstreams[name] != "" || !l.c.Members[name].Joined || l.fenceOf(name) != nil {
		return false
	}
	if r != nil && r.Process == health.ProcessRunning && r.Streams() {
		return true
	}
	return l.inUse(name) && l.Watch.held(l.c.Name+"/relay/"+name) < leaveAfter
}

func (l *look) inUse(relay string) bool {
	for _, name := range l.replicas() {
		if l.c.Upstreams[name] == relay {
			return true
		}
	}
	return false
}

// betterRelay prefers one that streams from the primary anyway, then the one in use, then priority and name.
func (l *look) betterRelay(a, b string) bool {
	if x, y := l.bound(a), l.bound(b); x != y {
		return x
	}
	if x, y := l.inUse(a), l.inUse(b); x != y {
		return x
	}
	if x, y := l.conf.Member(a).Priority, l.conf.Member(b).Priority; x != y {
		return x > y
	}
	return a < b
}
