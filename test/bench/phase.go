package main

import (
	"strings"
	"time"

	"mainstay/test/bench/machine"
)

// boundary divides what came one by one between a change and the rejoin that follows it.
type boundary struct {
	begun        time.Time // the fault; what was before it is no part of either
	first        time.Time // the client's first write
	promoted     time.Time // when the new primary said that it is one: what is done on the old primary's host since then is its rejoin
	member, host string    // the old primary and its host
}

func (c boundary) split(r record) (change, rejoin record) {
	change.lack, rejoin.lack = r.lack, r.lack
	for _, s := range r.starts {
		if c.before(s.At) {
			continue
		}
		if c.after(s.At, strings.HasSuffix(s.Owner, " "+c.member) || strings.HasSuffix(s.Owner, " "+c.host)) {
			rejoin.starts = append(rejoin.starts, s)
		} else {
			change.starts = append(change.starts, s)
		}
	}
	for _, one := range r.connections {
		if c.before(one.at) {
			continue
		}
		if c.after(one.at, one.member == c.member) {
			rejoin.connections = append(rejoin.connections, one)
		} else {
			change.connections = append(change.connections, one)
		}
	}
	return change, rejoin
}

// before: logs have whole milliseconds.
func (c boundary) before(at time.Time) bool { return at.Before(c.begun.Truncate(time.Millisecond)) }

func (c boundary) after(at time.Time, there bool) bool {
	return at.After(c.first) || there && at.After(c.promoted)
}

// newPhase counts what lies between two readings.
func newPhase(name string, from, to reading, r record, blind error) phase {
	p := phase{Name: name, Seconds: to.at.Sub(from.at).Seconds(), CPU: map[string]float64{}}
	p.countStarts(r)
	p.countConnections(r.connections)
	p.countSyncs(from, to, blind)
	p = p.with(bytesItem, to.loopback-from.loopback)
	for label, d := range machine.Spent(from.procs, to.procs) {
		if kind := kindOf(label); kind == controllerKind || kind == agentKind || kind == guardKind {
			p.CPU[kind] += d.Seconds()
		}
	}
	p.CPU["the whole machine"] = (to.busy - from.busy).Seconds()
	return p
}

func (p phase) with(item string, value int64) phase {
	p.Figures = append(p.Figures, figure{Item: item, Value: value})
	return p
}

// rested adds what can be said of an idle platform alone, where no server ends: the servers' CPU time, and the memory.
func (p phase) rested(from, to reading) phase {
	for label, d := range machine.Spent(from.procs, to.procs) {
		if kind := kindOf(label); kind == postgresKind || kind == launcherKind {
			p.CPU[postgresKind] += d.Seconds()
		}
	}
	var guard, agent int64
	for label, rss := range to.procs.Memory() {
		switch kindOf(label) {
		case guardKind, launcherKind:
			guard = max(guard, rss)
		case agentKind:
			agent = max(agent, rss)
		}
	}
	return p.with(guardItem, guard).with(agentItem, agent)
}
