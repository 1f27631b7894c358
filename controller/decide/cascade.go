package decide

import (
	"mainstay/controller/state"
	"mainstay/health"
)

// reroute keeps one replica of each remote site streaming from the primary and the others of that site from it. A replica
// whose acknowledgements commits may wait for streams from the primary itself, and so does one that has no upstream.
func (v *clusterView) reroute() (*state.Command, Reason) {
	for _, name := range v.replicas() {
		upstream := v.upstreamOf(name)
		if upstream == v.c.Upstreams[name] || v.conf.Member(name).Leaving {
			continue
		}
		why := Reason{Rule: RuleUpkeep, Code: streamsFromUpstream, Member: name, Other: upstream}
		if upstream == "" {
			why.Code, why.Other = streamsFromPrimary, v.c.Primary
		}
		return &state.Command{Stream: &state.Stream{Member: name, From: upstream, Reason: why.String()}}, why
	}
	return nil, Reason{}
}

// upstreamOf is the member that a replica must stream from, "" for the primary.
func (v *clusterView) upstreamOf(name string) string {
	if v.mayBeAwaited(name) || v.site(name) == v.site(v.c.Primary) || !v.c.Members[name].HasStreamed || !v.hasStableData(name) {
		return ""
	}
	best, site := "", v.site(name)
	for _, other := range v.replicas() {
		if v.site(other) == site && v.mayBeUpstream(other) && (best == "" || v.betterUpstream(other, best)) {
			best = other
		}
	}
	if best == name {
		return ""
	}
	return best
}

// hasStableData: it streams from the primary, or has its data to continue streaming from its upstream. The primary is the source of what
// replaces data that is gone, or must be discarded.
func (v *clusterView) hasStableData(name string) bool {
	r := v.fresh(name)
	if v.c.Upstreams[name] == "" {
		return r != nil && r.Process == health.ProcessRunning && r.Streams()
	}
	return r == nil || r.Data != health.DataEmpty && r.Needs == "" && r.Corrupt == ""
}

// mayBeAwaited: commits may wait for the replica, so it streams from the primary (S2).
func (v *clusterView) mayBeAwaited(name string) bool {
	if v.conf.Durability.Acks > 0 && v.State.MayAck(v.conf, v.c.Primary, name) {
		return true
	}
	for _, set := range v.c.Sets {
		if set.Has(v.c.Members[name].Incarnation) {
			return true
		}
	}
	return false
}

// mayBeUpstream tells whether a replica can hand the stream on: it streams from the primary, or has until a moment ago.
func (v *clusterView) mayBeUpstream(name string) bool {
	r, m := v.fresh(name), v.conf.Member(name)
	if m.Leaving || v.c.Upstreams[name] != "" || !v.c.Members[name].HasStreamed || v.fenceOf(name) != nil {
		return false
	}
	if r != nil && r.Process == health.ProcessRunning && r.Streams() {
		return true
	}
	return v.inUse(name) && v.heldFor(upstreamAway, name) < leaveAfter
}

func (v *clusterView) inUse(upstream string) bool {
	for _, name := range v.replicas() {
		if v.c.Upstreams[name] == upstream {
			return true
		}
	}
	return false
}

// betterUpstream prefers one that streams from the primary anyway, then the one in use, then priority and name.
func (v *clusterView) betterUpstream(a, b string) bool {
	if x, y := v.mayBeAwaited(a), v.mayBeAwaited(b); x != y {
		return x
	}
	if x, y := v.inUse(a), v.inUse(b); x != y {
		return x
	}
	if x, y := v.conf.Member(a).Priority, v.conf.Member(b).Priority; x != y {
		return x > y
	}
	return a < b
}
