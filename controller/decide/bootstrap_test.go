package decide

import (
	"slices"
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestBootstrap(t *testing.T) {
	st := beforeBootstrap(t, 1, func(p *platform.Platform) {
		p.Clusters[0].Members[1].Priority = 9
		p.Clusters[0].Members[2].Priority, p.Clusters[0].Members[2].MayLead = 99, false
	})
	third := st.members["m3"]
	st.members["m3"] = nil
	st.report()
	if why := st.waits(agentsAwaited); !slices.Equal(why.Names, []string{"m3"}) {
		t.Errorf("it waits for %v", why.Names)
	}
	st.members["m3"] = third
	st.later(0)
	if b := st.commits().Bootstrap; b == nil || b.Member != "m2" || b.Adopt || !b.Guarded {
		t.Errorf("want m2, of the highest priority that may lead, initialised under guard; got %+v", b)
	}
}

func runs(role health.Role, id string, adoptable bool) *health.Member {
	return &health.Member{Data: health.DataPresent, Process: health.ProcessRunning, Role: role, SystemID: id, Timeline: 4,
		Adoptable: adoptable, Refusals: []string{"wal_level is minimal"}}
}

func TestAdoption(t *testing.T) {
	for _, c := range []struct {
		name    string
		members map[string]*health.Member
		adopted bool
		why     Code
		says    string // by the agent
	}{
		{"primary and replica", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": runs(health.RoleStandby, "7", true)}, true, none, ""},
		{"two primaries", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": runs(health.RolePrimary, "7", true)}, false, severalPrimaries, ""},
		{"another database", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": runs(health.RoleStandby, "8", true)}, false, otherDatabase, ""},
		{"not adoptable", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", false)}, false, notAdoptable, "wal_level is minimal"},
		{"its replica is not", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": runs(health.RoleStandby, "7", false)}, false, notAdoptable, ""},
		{"no primary", map[string]*health.Member{"m2": runs(health.RoleStandby, "7", true)}, false, onlyStandbyRuns, ""},
		{"stopped data", map[string]*health.Member{"m2": {Data: health.DataPresent, Process: health.ProcessEnded}}, false, dataDoesNotRun, ""},
		{"its replica does not answer", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": {Data: health.DataPresent, Process: health.ProcessRunning, Refusals: []string{"no such socket"}}}, false, notAdoptable,
			"no such socket"},
		{"nobody answers", map[string]*health.Member{"m2": {Data: health.DataPresent, Process: health.ProcessRunning,
			Refusals: []string{"no such socket"}}}, false, agentRefuses, "no such socket"},
		{"nothing to adopt beside", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": {Data: health.DataEmpty, Process: health.ProcessEnded, Refusals: []string{"there is nothing to adopt"}}}, false,
			agentRefuses, "there is nothing to adopt"},
		{"nothing to adopt anywhere", map[string]*health.Member{"m2": {Data: health.DataEmpty, Process: health.ProcessEnded,
			Refusals: []string{"there is nothing to adopt"}}}, false, agentRefuses, "there is nothing to adopt"},
		{"a folder that cannot be read", map[string]*health.Member{"m2": {Error: "permission denied"}}, false, dataUnclear, ""},
		{"stopped data of another database", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": {Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "8"}}, false, otherDatabase, ""},
		{"its replica is stopped: it may lack something", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": {Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7"}}, false, dataDoesNotRun, ""},
		{"foreign data beside", map[string]*health.Member{"m1": runs(health.RolePrimary, "7", true),
			"m2": {Data: health.DataForeign, Process: health.ProcessEnded}}, false, foreignData, ""},
	} {
		st := beforeBootstrap(t, 1, nil)
		for n, m := range c.members {
			m.Name = n
			st.members[n] = m
		}
		st.report()
		if !c.adopted {
			if why := st.waits(c.why); !strings.Contains(why.Detail, c.says) {
				t.Errorf("%s: %s", c.name, why)
			}
			if !st.problem(health.NotAdoptable) {
				t.Errorf("%s: no problem named", c.name)
			}
			continue
		}
		cmd := st.commits()
		if b := cmd.Bootstrap; b == nil || !b.Adopt || b.Member != "m1" || b.SystemID != "7" || b.Timeline != 4 || b.Guarded {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
	}
}

// An adopted cluster's clients go on as they did until replicas stream under their new names.
func TestAdoptedStaysAsynchronousUntilReplicasStream(t *testing.T) {
	st := beforeBootstrap(t, 1, nil)
	st.apply(onFeed(state.Command{Bootstrap: &state.BootstrapCluster{Member: "m1", Adopt: true, SystemID: "7", Timeline: 4}}))
	m1 := runs(health.RolePrimary, "7", true)
	m1.Name, m1.Epoch, m1.Opened = "m1", ep(1), true
	st.members["m1"] = m1
	st.report()
	if o := st.commits().Opened; o == nil {
		t.Fatalf("its agent has brought it under our settings, and it has not opened: %+v", o)
	}
	st.waits(acksCannotRise)
	m1.Senders = []health.Sender{{Name: "walreceiver", State: "streaming"}}
	st.later(0)
	st.waits(acksCannotRise)
	m1.Senders = append(m1.Senders, health.Sender{Name: st.c().Members["m2"].Incarnation, State: "streaming", Flush: m1.Position})
	st.members["m2"].Incarnation = st.c().Members["m2"].Incarnation
	st.later(0)
	if r := st.commits().Rejoined; r == nil || r.Member != "m2" {
		t.Errorf("m2 streams: %+v", r)
	}
	if c := st.commits().Sets; c == nil || c.Acks != 1 || len(c.Names) != 1 || len(st.c().Sets) != 2 {
		t.Errorf("sets %+v, in force %+v", c, st.c().Sets)
	}
}

// TestRejoinedByItsOwnWord: what the repair left out stands in the report of the new data, not in the one before (S9).
func TestRejoinedByItsOwnWord(t *testing.T) {
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Reincarnate: &state.Reincarnate{Member: "m3", Reason: "test"}}))
	name := st.c().Members["m3"].Incarnation
	st.members["m1"].Senders[1].Name, st.members["m1"].MembersVersion = name, st.s.PlatformVersion
	st.later(0)
	if cmd, _, _ := st.next(); cmd != nil && cmd.Rejoined != nil {
		t.Errorf("its own report is of the data before: %s", body(cmd))
	}
	st.members["m3"].Incarnation, st.members["m3"].Discarded = name, &health.Discard{Transactions: 7}
	st.later(0)
	if r := st.commits().Rejoined; r == nil || !strings.Contains(r.Discard, "7 transactions") {
		t.Errorf("rejoined %+v", r)
	}
}

func TestBootstrapWithoutReplicasIsWaitedFor(t *testing.T) { // S7
	st := beforeBootstrap(t, 1, nil)
	st.apply(onFeed(state.Command{Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}}))
	st.report()
	st.vanish()
	st.waits(onlyItHasData)
}
