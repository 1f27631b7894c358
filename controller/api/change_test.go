package api

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

// subjectWith is a cluster of a primary and one replica, both well, which report what change makes of them.
func subjectWith(t *testing.T, change func(primary, replica *health.Member)) *subject {
	t.Helper()
	p := &platform.Platform{Name: "social", Sites: []platform.Site{{Name: "east"}},
		Hosts: []platform.Host{{Name: "h1", Site: "east"}, {Name: "h2", Site: "east"}},
		Clusters: []platform.Cluster{{Name: "feed", Lease: 5 * time.Second, Durability: platform.Durability{Acks: 1, From: "any"},
			Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"},
			Members:  []platform.Member{{Name: "m1", Host: "h1", Port: 5432, MayLead: true}, {Name: "m2", Host: "h2", Port: 5432, MayLead: true}}}}}
	s := state.New()
	for _, cmd := range []state.Command{
		{Init: &state.Init{PlatformID: "p"}}, {Platform: &state.SetPlatform{Platform: p}},
		{AgentRun: &state.AgentRun{Host: "h1", Run: "r"}}, {AgentRun: &state.AgentRun{Host: "h2", Run: "r"}},
		{Cluster: "feed", Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}},
		{Cluster: "feed", Opened: &state.Opened{Epoch: platform.Epoch{Generation: 1, Number: 1}, SystemID: "7", Timeline: 1}},
		{Cluster: "feed", Rejoined: &state.Rejoined{Member: "m2"}},
	} {
		next, err := state.Apply(s, s.Index+1, cmd)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	epoch := s.Clusters["feed"].Epoch
	m1 := health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RolePrimary, SystemID: "7",
		Epoch: epoch, Timeline: 1,
		Position: 1000, PositionKnown: true, Opened: true, Guard: health.Guard{Complete: true, Armed: epoch}}
	m2 := health.Member{Name: "m2", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7",
		Epoch: epoch, Timeline: 1,
		Position: 1000, PositionKnown: true, Replayed: 1000, Guard: health.Guard{Complete: true}, Receiver: &health.Receiver{Streaming: true}}
	change(&m1, &m2)
	view := health.NewView(time.Second)
	now := time.Minute
	view.Fold(&health.Report{Host: "h1", RunID: "r", Number: 1, Members: []health.Member{m1}}, "", 0, now)
	view.Fold(&health.Report{Host: "h2", RunID: "r", Number: 1, Members: []health.Member{m2}}, "", 0, now)
	in := decide.Input{State: s, View: view, Leases: fencing.NewLeases(time.Second), Conditions: decide.NewConditions(), Now: now}
	return &subject{snapshot: loop.Snapshot{Leading: true, Input: in}, c: s.Clusters["feed"], conf: s.ClusterConfig("feed"), by: "ann"}
}

func userSlots(primary, replica *health.Member) {
	cdc := health.Slot{Name: "cdc", Logical: true, Active: true, Held: 4096, Failover: true}
	primary.Slots = []health.Slot{cdc, {Name: "sub", Logical: true, Held: 8192}}
	cdc.Active, cdc.Synced = false, true
	replica.Slots = []health.Slot{cdc}
}

// The plan of a change of primary names the slots that it leaves behind, and its record keeps them.
func TestChangesNameSlots(t *testing.T) {
	const warning, note = "logical slot sub (8192 bytes of WAL) on m1 stays behind: set up its consumer anew on m2",
		"; replication slots left behind on m1, their consumers to be set up anew: sub (not cdc)"
	s := subjectWith(t, userSlots)
	p, err := s.switchover(wire.SwitchoverRequest{Reason: "kernel"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.answer.Warnings, []string{warning}) || p.cmd.Begin.Reason != "asked by ann: kernel"+note {
		t.Errorf("warnings %q, reason %q", p.answer.Warnings, p.cmd.Begin.Reason)
	}
	if last := p.answer.Plan[len(
		p.answer.Plan)-1]; last != "failover slot cdc (active, 4096 bytes of WAL) goes along: it is synchronised to m2" {
		t.Errorf("plan ends with %q", last)
	}
	p, err = s.failover(wire.FailoverRequest{To: "m2", AcceptLoss: "disk"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(p.answer.Warnings, warning) || !strings.HasSuffix(p.cmd.Begin.Reason, note) {
		t.Errorf("warnings %q, reason %q", p.answer.Warnings, p.cmd.Begin.Reason)
	}
	p, err = s.failover(wire.FailoverRequest{To: "m1", AcceptLoss: "disk"})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(p.answer.Warnings, warning) || strings.Contains(p.cmd.Begin.Reason, "slots") {
		t.Errorf("restarted in place: warnings %q, reason %q", p.answer.Warnings, p.cmd.Begin.Reason)
	}
	p, err = subjectWith(t, func(_, _ *health.Member) {}).switchover(wire.SwitchoverRequest{})
	if err != nil || p.answer.Warnings != nil || p.cmd.Begin.Reason != "asked by ann" || len(p.answer.Plan) != 5 {
		t.Errorf("without slots: %+v, %v", p, err)
	}
}

func TestSwitchoverRefused(t *testing.T) {
	slots := func(primary, _ *health.Member) { primary.Slots = []health.Slot{{Name: "sub", Logical: true, Held: 1}} }
	for text, change := range map[string]func(primary, replica *health.Member){
		"pg_wal_replay_resume() on m2": func(_, replica *health.Member) { replica.ReplayPaused = true },
		"logical slot sub (1 bytes of WAL) on m1 stays behind: set up its consumer anew on m2 (slots-left-behind is refuse": slots,
	} {
		s := subjectWith(t, change)
		s.conf.SlotsLeft = platform.RefuseSlotsLeft
		if p, err := s.switchover(wire.SwitchoverRequest{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q: %+v, %v", text, p.answer, err)
		}
	}
}

// A base backup of the user's holds up a switchover where the platform file says so, and is named beforehand; a copy of ours does not.
func TestSwitchoverAwaitsBackups(t *testing.T) {
	for _, c := range []struct {
		policy  platform.BaseBackups
		sender  health.Sender
		refused bool
	}{
		{platform.AwaitBackups, health.Sender{Name: "pg_basebackup", State: "backup"}, true},
		{platform.AwaitBackups, health.Sender{Name: "pg_receivewal", State: "streaming"}, false},
		{platform.AwaitBackups, health.Sender{Name: "mainstay-clone", State: "backup"}, false},
		{"", health.Sender{Name: "pg_basebackup", State: "backup"}, false},
	} {
		s := subjectWith(t, func(primary, _ *health.Member) { primary.Senders = []health.Sender{c.sender} })
		s.conf.BaseBackups = c.policy
		_, err := s.switchover(wire.SwitchoverRequest{})
		var fault *faultError
		if refused := errors.As(err, &fault); refused != c.refused || refused && (fault.code != wire.CodeBackup || fault.status != 409) {
			t.Errorf("%+v: %v", c, err)
		}
		const says = `base-backups is wait, and a base backup is being taken from m1: "pg_basebackup"`
		p, err := s.switchover(wire.SwitchoverRequest{DryRun: true})
		const step = `wait for the base backups that are being taken from m1, now "pg_basebackup" (base-backups: wait); `
		if err != nil || strings.HasPrefix(p.answer.Plan[0], step) != c.refused {
			t.Errorf("%+v, a dry run: %v, %q", c, err, p.answer.Plan)
		}
		// what is awaited does not fail, what is not awaited does
		said := strings.Join(p.answer.Warnings, "; ")
		if fails := strings.Contains(said, "a base backup fails"); fails != (c.policy == "") || strings.Contains(said, says) ||
			strings.Contains(said, "pg_basebackup") != (c.policy == "") {
			t.Errorf("%+v, a dry run warns %q", c, said)
		}
		if target, blockers := s.couldSwitch(); target != "m2" || slices.Contains(blockers, says) != c.refused {
			t.Errorf("%+v, explain: %s, %q", c, target, blockers)
		}
	}
}

// The plan for a primary whose host came back with an older disk promises neither its commits nor a restart in place.
func TestFailoverToAnOlderDisk(t *testing.T) { // L8
	s := subjectWith(t, func(_, _ *health.Member) {})
	for _, older := range []bool{false, true} {
		s.c.Members["m1"].Older = older
		p, err := s.failover(wire.FailoverRequest{To: "m1", AcceptLoss: "restored"})
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(append(p.answer.Plan, p.answer.Warnings...), "; ")
		if strings.Contains(said, "restart m1 in place") == older || strings.Contains(said, "promote m1 on timeline 2") != older ||
			strings.Contains(said, "holds every commit") == older || strings.Contains(said, "older copy of its disk") != older {
			t.Errorf("older %v: %s", older, said)
		}
	}
}
