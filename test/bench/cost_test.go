package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/test/bench/machine"
)

func TestLabelOf(t *testing.T) {
	const program = "/s/bin/mainstay"
	data := map[string]string{"feed-e1": "/s/agent-db-e1/members/feed-e1/data"}
	for _, c := range []struct{ program, args, want string }{
		{program, "/s/bin/mainstay controller -f /s/etc/controller-c2.yaml", "controller c2"},
		{program, "/s/bin/mainstay agent -f /s/etc/agent-db-e1.yaml", "agent db-e1"},
		{program, "lease-guard:feed-e1:a guard", "guard feed-e1"},
		{program, "lease-launcher:feed-e1 guard launcher", "launcher feed-e1"},
		{program, "watchdog-holder watchdog", "guard watchdog-holder"},
		{program, "/s/bin/mainstay switchover feed --yes", ""},
		{"/other/mainstay", "/other/mainstay agent -f /s/etc/agent-db-e1.yaml", ""},
		{"/usr/lib/postgresql/15/bin/postgres", "postgres -D /s/agent-db-e1/members/feed-e1/data -c x=y", "postgres feed-e1"},
		{"/usr/lib/postgresql/15/bin/postgres", "postgres -D /elsewhere", ""},
		{"/usr/lib/postgresql/15/bin/postgres", "postgres --single -D /s/agent-db-e1/members/feed-e1/data", ""},
		{"/usr/lib/postgresql/15/bin/postgres", "postgres: feed-e1: checkpointer ", ""},
		{"/bin/sh", "sh", ""},
		{"", "", ""},
	} {
		if got := labelOf(c.program, strings.Fields(c.args), program, data); got != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
}

const serverLog = `2026-11-28 10:00:00.100 UTC [100] LOG:  checkpoint starting: time
2026-11-28 10:00:01.000 UTC [201] user=[unknown] LOG:  connection received: host=[local]
2026-11-28 10:00:01.010 UTC [201] user=postgres LOG:  connection authenticated: identity="postgres" method=peer (/c/pg_hba.conf:3)
2026-11-28 10:00:01.011 UTC [201] user=postgres LOG:  connection authorized: user=postgres database=postgres application_name=mainstay-agent
2026-11-28 10:00:02.000 UTC [202] user=[unknown] LOG:  connection received: host=127.0.0.1 port=4711
2026-11-28 10:00:02.020 UTC [202] user=feed LOG:  connection authorized: user=feed database=feed application_name=loadclient SSL enabled (protocol=TLSv1.3)
2026-11-28 10:00:03.000 UTC [203] user=[unknown] LOG:  connection received: host=127.0.0.1 port=4712
2026-11-28 10:00:03.020 UTC [203] user=mainstay_replication LOG:  replication connection authorized: user=mainstay_replication application_name=feed-w1_3 SSL enabled (x)
2026-11-28 10:00:04.000 UTC [204] user=[unknown] LOG:  connection received: host=127.0.0.1 port=4713
2026-11-28 10:00:04.001 UTC [204] user=mainstay_probe FATAL:  the database system is starting up
2026-11-28 10:00:05.000 UTC [205] user=[unknown] LOG:  connection received: host=127.0.0.1 port=4714
2026-11-28 10:00:06.000 UTC [201] user=[unknown] LOG:  connection received: host=[local]
2026-11-28 10:00:06.001 UTC [201] user=postgres LOG:  connection authorized: user=postgres database=postgres application_name=psql
2026-11-28 10:00:07.000 UTC [206] user=[unknown] LOG:  connection received: host=127.0.0.1 port=4715
2026-11-28 10:00:07.001 UTC [206] user=mainstay_replication LOG:  connection authorized: user=mainstay_replication database=postgres application_name=mainstay-clone
2026-11-28 10:00:07.002 UTC [206] user=mainstay_replication STATEMENT:  SELECT
	'connection authorized: user=x'
2026-11-28 10:00:08.000 UTC [207] user=nobody LOG:  connection authorized: user=nobody database=postgres
`

func TestConnections(t *testing.T) {
	all := connections("feed-e1", serverLog)
	var items, who []string
	for _, c := range all {
		items, who = append(items, c.item()), append(who, c.who())
	}
	wantItems := []string{connectionsItem, clientsItem, replicationItem, connectionsItem, connectionsItem, "", rejoinItem}
	wantWho := []string{
		"mainstay-agent", "loadclient", "feed-w1_3", "mainstay_probe (refused)", "no name given (refused)", "psql", "mainstay-clone",
	}
	if !slices.Equal(items, wantItems) {
		t.Errorf("items %q, want %q", items, wantItems)
	}
	if !slices.Equal(who, wantWho) {
		t.Errorf("who %q, want %q", who, wantWho)
	}
	if want := time.Date(2026, 11, 28, 10, 0, 6, 0, time.UTC); !all[5].at.Equal(want) || all[5].member != "feed-e1" {
		t.Errorf("%+v, want it at %s", all[5], want)
	}
}

func TestSplit(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	cut := boundary{begun: at(0), promoted: at(100), first: at(150), member: "feed-e1", host: "db-e1"}
	r := record{lack: errors.New("why")}
	for ms, owner := range map[int]string{
		-5: "agent db-e2", 50: "agent db-e1", 120: "agent db-e1", 121: "agent db-e2", 122: "launcher feed-e1", 151: "controller c1",
	} {
		r.starts = append(r.starts, machine.Start{At: at(ms), Owner: owner})
	}
	for ms, member := range map[int]string{-3: "feed-e2", 40: "feed-e1", 130: "feed-e1", 140: "feed-e2", 150: "feed-e2", 152: "feed-e2"} {
		r.connections = append(r.connections, connection{at: at(ms), member: member})
	}
	change, rejoin := cut.split(r)
	var owners []string
	for _, s := range change.starts {
		owners = append(owners, s.Owner)
	}
	slices.Sort(owners)
	if want := []string{"agent db-e1", "agent db-e2"}; !slices.Equal(owners, want) || len(rejoin.starts) != 3 {
		t.Errorf("the change started %q, the rejoin %+v; want %q", owners, rejoin.starts, want)
	}
	if len(change.connections) != 3 || len(rejoin.connections) != 2 {
		t.Errorf("the change connected %+v, the rejoin %+v", change.connections, rejoin.connections)
	}
	if change.lack == nil || rejoin.lack == nil {
		t.Error("it is forgotten that starts were not counted")
	}
}

func value(t *testing.T, p phase, item string) figure {
	t.Helper()
	for _, f := range p.Figures {
		if f.Item == item {
			return f
		}
	}
	t.Fatalf("%s counts no %q", p.Name, item)
	return figure{}
}

// counted is a phase of known figures.
func counted(name string) phase {
	from := reading{at: time.Unix(0, 0), syncs: map[string]int64{controllerKind: 100}, procs: machine.Snapshot{
		1: {PID: 1, Started: 1, CPU: time.Second, Label: "agent db-e1"},
	}}
	to := reading{at: time.Unix(60, 0), busy: 3 * time.Second, loopback: 5000, syncs: map[string]int64{controllerKind: 130}}
	to.procs = machine.Snapshot{
		1: {PID: 1, Started: 1, CPU: 3 * time.Second, Own: 40 << 20, Label: "agent db-e1"},
		2: {PID: 2, Started: 2, CPU: time.Second, Own: 5 << 20, Label: "guard feed-e1"},
		3: {PID: 3, Started: 3, Own: 6 << 20, Label: "launcher feed-e1"},
		4: {PID: 4, Started: 4, CPU: 2 * time.Second, Own: 90 << 20, Label: "postgres feed-e1"},
	}
	r := record{
		starts: []machine.Start{
			{Owner: "agent db-e1", Program: "pg_controldata"}, {Owner: "agent db-e1", Program: "pg_controldata"},
			{Owner: "launcher feed-e1", Program: "postgres"}, {Owner: "guard feed-e1"},
			{Owner: "postgres feed-e1"}, {Owner: "postgres feed-e1", Program: "sh"}, {Owner: "bench", Program: "psql"}, {Program: "cron"},
		},
		connections: append(connections("feed-e1", serverLog), connection{member: "feed-e2", role: "postgres", name: "mainstay-agent"}),
	}
	return newPhase(name, from, to, r, nil).with(walItem, 77).rested(from, to)
}

func TestNewPhase(t *testing.T) {
	p := counted(idlePhase)
	for item, want := range map[string]int64{
		startedItem: 4, childrenItem: 1, othersItem: 3, connectionsItem: 4, busiestItem: 3, replicationItem: 1, rejoinItem: 1, clientsItem: 1,
		bytesItem: 5000, walItem: 77, guardItem: 6 << 20, agentItem: 40 << 20, "fsync and fdatasync calls, controllers": 30,
	} {
		if got := value(t, p, item); got.Value != want || got.Lack != "" {
			t.Errorf("%s: %+v, want %d", item, got, want)
		}
	}
	if p.Seconds != 60 || p.CPU[agentKind] != 2 || p.CPU[guardKind] != 1 || p.CPU[postgresKind] != 2 || p.CPU["the whole machine"] != 3 {
		t.Errorf("%.1f s, CPU %v", p.Seconds, p.CPU)
	}
	for _, want := range []string{
		"started by agent db-e1: pg_controldata 2", "started by guard feed-e1: (no program) 1", "new connections on feed-e2: mainstay-agent 1",
	} {
		if !slices.Contains(p.Details, want) {
			t.Errorf("missing %q in %q", want, p.Details)
		}
	}
}

func TestNotCounted(t *testing.T) {
	p := newPhase(idlePhase, reading{}, reading{}, record{lack: machine.ErrNotCounted}, machine.ErrNoTracepoints)
	if f := value(t, p, startedItem); f.Lack == "" {
		t.Errorf("%+v", f)
	}
	if f := value(t, p, "fsync and fdatasync calls, agents"); f.Lack == "" {
		t.Errorf("%+v", f)
	}
	over := exceeded([]budget{{idlePhase, startedItem, 0, "why"}}, []phase{p})
	if len(over) != 1 || !strings.Contains(over[0], "not counted") {
		t.Errorf("%q", over)
	}
}

func TestExceeded(t *testing.T) {
	all := []budget{{"a", "x", 5, "because"}, {"a", "y", 0, "because"}, {"b", "x", 7, "because"}}
	phases := []phase{{Name: "a", Figures: []figure{{Item: "x", Value: 5}, {Item: "y", Value: 1}, {Item: "z", Value: 100}}}}
	want := []string{"a, y: 1, budget 0 (because)", "b, x: not counted: the phase did not end"}
	if got := exceeded(all, phases); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBudgets: each is of something that is counted in its phase, and says why.
func TestBudgets(t *testing.T) {
	names := []string{idlePhase, failoverPhase, rejoinPhase, switchoverPhase, returnPhase}
	seen := map[[2]string]bool{}
	for _, b := range budgets {
		key := [2]string{b.phase, b.item}
		if !slices.Contains(names, b.phase) || seen[key] || b.why == "" || b.most < 0 {
			t.Errorf("%+v", b)
		}
		seen[key] = true
		p := counted(b.phase)
		if b.phase != idlePhase {
			p = newPhase(b.phase, reading{}, reading{}, record{}, nil)
		}
		value(t, p, b.item)
	}
}

func TestPrintPhases(t *testing.T) {
	var out bytes.Buffer
	p := counted(idlePhase)
	p.Figures = append(p.Figures, figure{Item: "what could not be counted", Lack: "no right"})
	printPhases(&out, []phase{p}, budgets)
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"idle, 60.00 s counted budget", startedItem + " 4 0 EXCEEDED", "WAL bytes 77 memory", guardItem + " 6291456 8388608 memory",
		"what could not be counted not counted: no right", "CPU seconds: agents 2.00, guards 1.00, PostgreSQL 2.00, the whole machine 3.00",
		"started by agent db-e1: pg_controldata 2", "Budgets:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in:\n%s", want, out.String())
		}
	}
}

func TestFaultNamed(t *testing.T) {
	for _, name := range []string{"postmaster-killed", "switchover"} {
		if faultNamed(name).on != loopback {
			t.Errorf("%s is not of the platform that -cost starts", name)
		}
	}
}
