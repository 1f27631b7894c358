package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mainstay/test/bench/machine"
)

// tally counts things by name.
type tally map[string]int

// String lists them, most first: `pg_controldata 12, pg_waldump 1`.
func (t tally) String() string {
	names := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		if d := t[b] - t[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, t[name])
	}
	return strings.Join(names, ", ")
}

// tallies has a tally for each of several.
type tallies map[string]tally

func (t tallies) add(of, name string) {
	if t[of] == nil {
		t[of] = tally{}
	}
	t[of][name]++
}

// lines has one line for each, in order of their names.
func (t tallies) lines(what string) (all []string) {
	for _, of := range slices.Sorted(maps.Keys(t)) {
		all = append(all, fmt.Sprintf("%s %s: %s", what, of, t[of]))
	}
	return all
}

// countStarts counts processes by their parent. A process that PostgreSQL starts to run another program is not its own child.
func (p *phase) countStarts(r record) {
	lack := ""
	if r.lack != nil {
		lack = r.lack.Error()
	}
	count := map[string]int64{}
	by := tallies{}
	for _, s := range r.starts {
		item := itemOf(s)
		count[item]++
		if item == startedItem {
			program := s.Program
			if program == "" {
				program = "(no program)"
			}
			by.add(s.Owner, program)
		}
	}
	for _, item := range []string{startedItem, childrenItem, othersItem} {
		p.Figures = append(p.Figures, figure{Item: item, Value: count[item], Lack: lack})
	}
	p.Details = append(p.Details, by.lines("started by")...)
}

func itemOf(s machine.Start) string {
	switch kind := kindOf(s.Owner); {
	case slices.Contains(mainstays, kind):
		return startedItem
	case kind == postgresKind && s.Program == "":
		return childrenItem
	}
	return othersItem
}

// countConnections counts them by whose they are; Mainstay's also on the member that has most of them.
func (p *phase) countConnections(all []connection) {
	count, own, by := map[string]int64{}, tally{}, tallies{}
	for _, c := range all {
		item := c.item()
		if item == "" {
			continue
		}
		count[item]++
		by.add(c.member, c.who())
		if item == connectionsItem {
			own[c.member]++
		}
	}
	most := 0
	for _, n := range own {
		most = max(most, n)
	}
	*p = p.with(connectionsItem, count[connectionsItem]).with(busiestItem, int64(most))
	for _, item := range []string{replicationItem, rejoinItem, clientsItem} {
		*p = p.with(item, count[item])
	}
	p.Details = append(p.Details, by.lines("new connections on")...)
}

func (p *phase) countSyncs(from, to reading, blind error) {
	for _, kind := range []string{controllerKind, agentKind, guardKind, postgresKind} {
		f := figure{Item: "fsync and fdatasync calls, " + plural[kind]}
		if blind != nil {
			f.Lack = blind.Error()
		} else {
			f.Value = to.syncs[kind] - from.syncs[kind]
		}
		p.Figures = append(p.Figures, f)
	}
}

var plural = map[string]string{controllerKind: "controllers", agentKind: "agents", guardKind: "guards", postgresKind: "PostgreSQL"}
