package main

import "fmt"

// Phases of -cost. A change ends with the client's first acknowledged write after the fault; its rejoin follows, and ends
// when every member is healthy again.
const (
	idlePhase       = "idle"
	failoverPhase   = "failover"
	rejoinPhase     = "rejoin after the failover"
	switchoverPhase = "switchover"
	returnPhase     = "rejoin after the switchover"
)

// The counts of each phase, in the words of the print-out.
const (
	startedItem     = "processes started by Mainstay"
	childrenItem    = "PostgreSQL's own children started"
	othersItem      = "other processes started on the machine"
	busiestItem     = "new connections of Mainstay, most on one member"
	connectionsItem = "new connections of Mainstay"
	replicationItem = "new connections of replication"
	rejoinItem      = "new connections of rewinds and clones"
	clientsItem     = "new connections of the client"
	bytesItem       = "bytes sent over loopback"
	walItem         = "WAL bytes"
	guardItem       = "memory of the largest guard but for the shared program, bytes"
	agentItem       = "memory of the largest agent but for the shared program, bytes"
)

// connectionsPerReplica is the number of new connections that a change needs on each replica; everything else goes over kept
// sessions. What each of them proves:
//  1. the seal's: primary_conninfo is loaded empty, no receiver is left, and where WAL ends
//  2. the promotion's: the durability list of the new epoch is loaded; or that of a replica that follows: its new upstream is
const connectionsPerReplica = 2

// connectionsBeside are those that a change needs beside: the opening's (timeline, accounts, CHECKPOINT), and one by which
// a new connection may happen to be proven on each of the three members.
const connectionsBeside = 4

// replicas of the platform that -cost measures.
const replicas = 2

// measuredIdle is how long the idle phase lasts, in seconds.
const measuredIdle = 60

// budget is the most that a count may be in a phase.
type budget struct {
	phase, item string
	most        int64
	why         string
}

// budgets hold for one cluster of three members and three controllers on loopback. Times have none: they are the machine's.
var budgets = []budget{
	{idlePhase, startedItem, 0, "to look is no reason to start a program"},
	{idlePhase, busiestItem, measuredIdle / 5, "0.2 a second and member: one in five seconds proves that new connections work"},
	{idlePhase, bytesItem, 195_000 * measuredIdle / 5, "a fifth of the 195,000 bytes a second at 7685b75"},
	{idlePhase, guardItem, 8 << 20, "8 MB: it waits for a timer and a socket, with its memory locked"},
	{idlePhase, agentItem, 30 << 20, "30 MB"},
	{failoverPhase, startedItem, 0, "no program lies on the way of a failover"},
	{failoverPhase, connectionsItem, connectionsPerReplica*replicas + connectionsBeside,
		"what seals, sets and the opening prove by new connections"},
	{switchoverPhase, startedItem, 0, "no program lies on the way of a switchover"},
	{switchoverPhase, connectionsItem, connectionsPerReplica*replicas + connectionsBeside,
		"what seals, sets and the opening prove by new connections"},
}

// figure is one count of a phase.
type figure struct {
	Item  string `json:"item"`
	Value int64  `json:"value"`
	Lack  string `json:"notCounted,omitempty"` // why it could not be counted; Value is 0 then
}

// phase is a part of -cost with all that was counted in it.
type phase struct {
	Name    string             `json:"phase"`
	Seconds float64            `json:"seconds"`
	Figures []figure           `json:"figures"`
	CPU     map[string]float64 `json:"cpuSeconds"` // by kind of process
	Details []string           `json:"details"`
}

// budgetOf finds the budget of a count; false if it has none.
func budgetOf(all []budget, phase, item string) (budget, bool) {
	for _, b := range all {
		if b.phase == phase && b.item == item {
			return b, true
		}
	}
	return budget{}, false
}

// exceeded lists the exceeded budgets. A budget without a count is exceeded: nothing shows that it holds.
func exceeded(all []budget, phases []phase) (found []string) {
	for _, b := range all {
		value, lack := int64(0), "the phase did not end"
		for _, p := range phases {
			for _, f := range p.Figures {
				if p.Name == b.phase && f.Item == b.item {
					value, lack = f.Value, f.Lack
				}
			}
		}
		switch {
		case lack != "":
			found = append(found, fmt.Sprintf("%s, %s: not counted: %s", b.phase, b.item, lack))
		case value > b.most:
			found = append(found, fmt.Sprintf("%s, %s: %d, budget %d (%s)", b.phase, b.item, value, b.most, b.why))
		}
	}
	return found
}
