package render

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

const at = "2026-05-04T03:02:01Z"

func epoch3() platform.Epoch { return platform.Epoch{Generation: 1, Number: 3} }

func seenPrimary() *health.Member {
	return &health.Member{Name: "feed-e1", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RolePrimary, Opened: true,
		Timeline: 3, LeaseLeft: 4600, Guard: health.Guard{Complete: true, Armed: epoch3()}}
}

// protected is what a leader says of a member's protection.
func protected(seen *health.Member, devices ...string) wire.Protection {
	return wire.GuardOf(seen).On(&platform.Host{}, append([]string{}, devices...))
}

func seenReplica(name string) *health.Member {
	return &health.Member{Name: name, Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: 3,
		Receiver: &health.Receiver{Streaming: true, AgeMS: 200}, Guard: health.Guard{Complete: true}}
}

func healthy() wire.Status {
	return wire.Status{
		Platform: "social", Source: "controller c1", Leader: "c1", At: at,
		Sites: []wire.SiteStatus{{Name: "east", Hosts: []string{"db-e1", "db-e2"}}, {Name: "west", Hosts: []string{"db-w1"}},
			{Name: "north", Witness: true}},
		Hosts:       []wire.HostStatus{{Name: "db-e1", Heard: true}, {Name: "db-e2", Heard: true}, {Name: "db-w1", Heard: true}},
		Controllers: controllers("c1").Members[:2],
		Clusters: []wire.ClusterState{{
			Name: "feed", Tier: "critical", Primary: "feed-e1", Epoch: epoch3(), Timeline: 3, Acks: 1, Guarded: true, Opened: true,
			Sets: []platform.DurabilitySet{{ID: 4, Epoch: epoch3(), Acks: 1, Names: []string{"feed-e2_1", "feed-w1_1"}}},
			Members: []wire.MemberStatus{
				{Name: "feed-e1", Host: "db-e1", Site: "east", Goal: platform.GoalPrimary, Seen: seenPrimary(), Age: 400 * time.Millisecond,
					Protection: protected(seenPrimary(), "fence_ipmilan (level 1)")},
				{Name: "feed-e2", Host: "db-e2", Site: "east", Goal: platform.GoalReplica, Seen: seenReplica("feed-e2"), Age: 300 * time.Millisecond,
					Protection: protected(seenReplica("feed-e2"))},
				{Name: "feed-w1", Host: "db-w1", Site: "west", Goal: platform.GoalReplica, Seen: seenReplica("feed-w1"), Age: 200 * time.Millisecond,
					Lag:        2048,
					Protection: protected(seenReplica("feed-w1"))},
			},
		}},
	}
}

// trouble is a primary whose lease is over, a diverged replica, a host never heard, a member whose state is damaged, a pause and a
// running operation.
// catchingUp has a replica that gets its WAL from the archive, and one that is far behind its stream.
func catchingUp() wire.Status {
	st := healthy()
	members := st.Clusters[0].Members
	for n, from := range []string{"the archive", "its stream"} {
		m := &members[n+1]
		seen := *m.Seen
		seen.CatchUp = &health.CatchUp{From: from, LeftKnown: true, Left: 384 << 20, TakesMS: 36_000}
		if n == 0 {
			seen.Receiver, seen.Doing = nil, seen.CatchUp.String()
		}
		m.Seen, m.Lag = &seen, 384<<20
	}
	st.Problems = []health.Problem{{Kind: health.ReplicaNotStreaming, Cluster: "feed", Member: members[1].Name,
		Evidence: "it does not stream yet: " + members[1].Seen.Doing}}
	return st
}

func trouble() wire.Status {
	s := healthy()
	s.Controllers = controllers("c1").Members
	s.Hosts[2] = wire.HostStatus{Name: "db-w1"}
	c := &s.Clusters[0]
	c.Acks, c.Guarded = 2, false
	c.Sets = append(c.Sets, platform.DurabilitySet{ID: 5, Epoch: epoch3(), Acks: 1, Names: []string{"feed-e2_1"}})
	c.Now = "waiting for a fence proof of feed-e1"
	op := running()
	c.Operation = &op
	c.Members[0].Age = 5 * time.Second
	c.Members[0].Seen.Guard = health.Guard{Missing: []string{"real-time priority"}}
	c.Members[0].Protection = protected(c.Members[0].Seen)
	c.Members[1].Excluded = "diverged at 0/6000198 on timeline 2"
	c.Members[1].Seen.Receiver, c.Members[1].Lag = nil, -1
	c.Members[1].Seen.Error = "pg_rewind: no common ancestor; rebuild it"
	c.Members[1].Goal, c.Members[1].Seen.Promised = platform.GoalSealed, 3500
	c.Members[1].Seen.Doing = "waiting 3.5s more: it promised feed-e1 not to be sealed or promoted"
	c.Members[2].Seen, c.Members[2].Protection = nil, protected(nil)
	unmanaged := wire.MemberStatus{Name: "feed-w2", Host: "db-w2", Site: "west", Goal: platform.GoalReplica, Age: 200 * time.Millisecond,
		Lag: -1, Protection: protected(nil),
		Unmanaged: "/var/lib/mainstay/members/feed-w2.json is damaged; restore it"}
	c.Members = append(c.Members, unmanaged)
	second := healthy().Clusters[0]
	second.Name, second.Tier, second.Members = "tags", "", nil
	second.Pause = &state.Pause{By: "anna", Reason: "storage firmware", Since: at, Until: "2026-05-04T03:32:01Z"}
	s.Clusters = append(s.Clusters, second)
	s.Problems = []health.Problem{
		{Kind: health.ReplicaMissing, Cluster: "feed", Member: "feed-w1", Evidence: "its agent on db-w1 has not been heard for 40s"},
		{Kind: health.PrimaryUnreachable, Cluster: "feed", Member: "feed-e1", Evidence: "no replica receives from it either",
			Actionable: true},
		{Kind: health.ControllerSilent, Controller: "c3", Site: "north",
			Evidence: "the leader has heard nothing from it for 40s: 2 of 3 controllers answer, and a failover needs 2"},
		{Kind: health.ClusterPaused, Cluster: "tags",
			Evidence: "paused by anna since 2026-05-04T03:02:01Z: storage firmware. No failover begins"},
	}
	return s
}

func prediction() *state.Prediction {
	return &state.Prediction{Promote: "feed-e2", Why: "the most advanced member that may lead", Proof: fencing.Stopped,
		Loss: "no acknowledged commit", About: 500 * time.Millisecond, Others: map[string]string{"feed-w1": "192 bytes behind feed-e2"}}
}

func failover() state.Operation {
	return state.Operation{ID: "feed-3", Cluster: "feed", Kind: state.Failover, Reason: "PrimaryCrashed: the last process of feed-e1 ended",
		By: "mainstay", From: "feed-e1", To: "feed-e2", Epoch: platform.Epoch{Generation: 1, Number: 4}, Timeline: 4, Proof: proof(),
		Positions:  map[string]platform.LSN{"feed-w1": 0x60000D8, "feed-e2": 0x6000198},
		NotChosen:  map[string]string{"feed-w1": "192 bytes behind feed-e2", "feed-e3": "may-lead is false; set it to true to allow it"},
		Prediction: prediction(), Result: state.Done, Outcome: "feed-e2 is primary",
		Steps: []state.Step{{Name: "began", At: "2026-05-04T03:02:01.000Z", Note: "PrimaryCrashed"},
			{Name: "sealed", At: "2026-05-04T03:02:01.113Z"},
			{Name: "done", At: "2026-05-04T03:02:01.612Z", Note: "feed-e2 is primary"}}}
}

func running() state.Operation {
	return state.Operation{ID: "feed-4", Cluster: "feed", Kind: state.Switchover, Reason: "kernel update", By: "anna", From: "feed-e1",
		Epoch: platform.Epoch{Generation: 1, Number: 5}, Result: state.Running, Prediction: prediction(),
		Steps: []state.Step{{Name: "began", At: "2026-05-04T03:02:01.000Z"}, {Name: "checkpoint", At: "2026-05-04T03:02:01.250Z"}}}
}

func explained() wire.ExplainAnswer {
	lost := *prediction()
	lost.Proof, lost.About = fencing.LeaseExpired, 6650*time.Millisecond
	lost.Others = map[string]string{"feed-w1": "192 bytes behind feed-e2", "feed-e3": "its agent on db-e3 has not been heard for 9s"}
	crashed := *prediction()
	site := state.Prediction{
		Why: "feed-w1 on site west could take over, which needs an operator: `mainstay approve feed`; no acknowledged commit would be lost"}
	return wire.ExplainAnswer{Cluster: "feed", Primary: "feed-e1", Rule: "detection", Now: "suspecting feed-e1 for 800ms",
		Problems: []health.Problem{{Kind: health.PrimaryAgentSilent, Cluster: "feed", Member: "feed-e1",
			Evidence: "not heard for 2s, but feed-e2 streams from it"}},
		IfHostLost: lost, IfCrashed: crashed, IfSiteLost: &site,
		Switchover: wire.SwitchoverView{Blockers: []string{"feed-e1: its agent has not been heard for 2s"}},
		Proofs: []wire.ProofView{{Kind: fencing.Stopped, Possible: true, About: 300 * time.Millisecond, Why: "its agent on db-e1 answers"},
			{Kind: fencing.QuorumSealed, Why: "impossible, acks is 0"},
			{Kind: fencing.Operator, Possible: true, Why: "after you have made sure that it is off"}},
		Protection: []wire.MemberProtection{{Member: "feed-e1", Protection: protected(seenPrimary())},
			{Member: "feed-e2", Protection: protected(nil)}},
		Slots: []wire.SlotView{{Slot: health.Slot{Name: "sub", Logical: true, Active: true, Held: 3 << 20, WALStatus: "reserved"}, Left: true,
			Text: "stays behind: set up its consumer anew on the new primary"},
			{Slot: health.Slot{Name: "cdc", Logical: true, Failover: true, Held: 1 << 30, WALStatus: "extended"},
				Text: "is there on feed-e2; stays behind if another member is promoted"},
			{Slot: health.Slot{Name: "old", Held: -1, WALStatus: "lost"}, Text: "is invalid already and cannot be used"},
			{Slot: health.Slot{Name: "unused", Held: -1}, Left: true, Text: "stays behind: set up its consumer anew on the new primary"}},
		MoreSlots: 2,
		Sets:      []platform.DurabilitySet{{Acks: 1, Names: []string{"feed-e2_1", "feed-w1_1"}}},
		Timings: []wire.Timing{{Name: "lease", Value: 5 * time.Second, From: "the platform file"},
			{Name: "fence by lease-expired", Value: 6250 * time.Millisecond, From: "lease + 20 % + 250ms"}}}
}

func controllers(leader string) wire.Controllers {
	c := wire.Controllers{Leader: leader, Members: []wire.Controller{
		{RaftID: "c1-8f", Name: "c1", Address: "10.0.1.5:7101", Leader: leader == "c1", Reached: true, Version: "1.0.0"},
		{RaftID: "c2-3a", Name: "c2", Address: "10.0.2.5:7101", Reached: leader != "", Version: "1.0.0", CertificateEnds: "2026-12-24T10:00:00Z"},
		{RaftID: "c3-77", Name: "c3", Address: "10.0.3.5:7101", Error: "connection refused"},
	}}
	return c
}

// leaderless is a primary to which one of its two replicas has promised, on three hosts of which one does not answer.
func leaderless() Leaderless {
	own, other := agentStatus("db-e1", 12*time.Second, 0), agentStatus("db-e2", 13*time.Second, 1)
	own.Clusters[0].Members[0].Seen.PromisedBy = []string{"feed-e2"}
	other.Clusters[0].Members[0].Seen.Promised = 6000
	return Leaderless{Why: "no controller knows a leader: 10.0.1.5:7101: controller c1 knows no leader", Cached: at, Agents: []AgentAnswer{
		{Address: "10.0.1.11:7201", Status: &own},
		{Address: "10.0.1.12:7201", Status: &other},
		{Address: "10.0.2.11:7201", Error: "connection refused"},
		{Address: "10.0.3.11:7201", Status: &wire.Status{Source: "agent db-n1", At: at}},
	}}
}

// agentStatus is what a host's own agent says: it knows nothing of sites and fence devices.
func agentStatus(host string, silence time.Duration, member int) wire.Status {
	s := healthy()
	m := s.Clusters[0].Members[member]
	m.Site, m.Protection = "", wire.GuardOf(m.Seen)
	s.Source, s.Leader, s.Clusters[0].Members = "agent "+host, "c1", []wire.MemberStatus{m}
	s.Hosts = []wire.HostStatus{{Name: host, Heard: true, Silence: silence}}
	return s
}

func seenInstance(name string, permit int64) *health.Instance {
	return &health.Instance{Name: name, Running: true, PermitLeft: permit}
}

// sited is a platform with an upstream on the other site and two pools, one of which lives with its primary.
func sited() wire.Status {
	s := healthy()
	s.Sites[1].Hosts = []string{"db-w1", "db-w2"}
	s.Hosts = append(s.Hosts, wire.HostStatus{Name: "db-w2", Heard: true})
	relayed := s.Clusters[0].Members[2]
	relayed.Name, relayed.Host, relayed.Seen, relayed.Upstream = "feed-w2", "db-w2", seenReplica("feed-w2"), "feed-w1"
	s.Clusters[0].Members = append(s.Clusters[0].Members, relayed)
	instance := func(name, site string, i wire.InstanceStatus) wire.InstanceStatus {
		i.Name, i.Site, i.Host, i.Age = name, site, "app-"+name, 100*time.Millisecond
		return i
	}
	s.Apps = []wire.AppState{
		{Name: "web", Run: platform.RunWithPrimary, Needs: []string{"feed"}, Minimum: 2, Site: "east", Instances: []wire.InstanceStatus{
			instance("web-e1", "east", wire.InstanceStatus{Goal: platform.WantRunning, Serves: true, Health: health.Well,
				Seen: seenInstance("web-e1", 1900), Restart: 1}),
			instance("web-e2", "east", wire.InstanceStatus{Goal: platform.WantRunning, Serves: true, Health: health.Well, Reaches: health.Down,
				Seen: seenInstance("web-e2", 2000)}),
			instance("web-w1", "west", wire.InstanceStatus{Goal: platform.WantStopped, Health: health.Down, Error: "connection refused",
				Seen: &health.Instance{Name: "web-w1", Stopped: true}}),
		}},
		{Name: "cache", Run: platform.RunEverywhere, Minimum: 1, Instances: []wire.InstanceStatus{
			{Name: "cache-w1", Site: "west", Goal: platform.WantRunning, Serves: true, Health: health.Well},
		}},
	}
	return s
}

// lostSite is site east lost: its failover waits for an approval, and its app servers cannot be asked.
func lostSite() wire.Status {
	s := sited()
	evidence := "no agent of site east has been heard for 4s, nor its controllers c1; so say c2, c3"
	s.Sites[0].Lost = evidence
	s.Hosts[0].Silence, s.Hosts[1].Silence = 4*time.Second, 4*time.Second
	op := running()
	op.Kind = state.Failover
	s.Clusters[0].Operation = &op
	web := &s.Apps[0]
	web.Site, web.Moving, web.Now = "west", true, "waiting for web-e1 to stop, before site west starts its instances"
	web.Instances[0] = wire.InstanceStatus{Name: "web-e1", Site: "east", Host: "app-web-e1", Goal: platform.WantStopped, Health: health.Down,
		Error: "connection refused"}
	web.Instances[1].Goal, web.Instances[1].Serves = platform.WantStopped, false
	web.Instances[1].Seen.PermitLeft, web.Instances[1].Seen.ByPrimary, web.Instances[1].Seen.Draining = 800, true, true
	cache := &s.Apps[1].Instances[0]
	cache.Host, cache.Health, cache.Serves, cache.Out, cache.Error = "app-cache-w1", health.Down, false, "cache-w1 is down: status 500",
		"status 500"
	cache.Seen = &health.Instance{Name: "cache-w1", Restarts: 4, Error: "given up: in 5 starts in a row it never ran for a minute"}
	s.Problems = []health.Problem{
		{Kind: health.AppDown, App: "cache", Site: "west", Instance: "cache-w1", Evidence: "cache-w1 is down: status 500"},
		{Kind: health.SiteLost, Site: "east", Evidence: evidence, Actionable: true},
		{Kind: health.AppPoolShort, App: "cache", Site: "west", Evidence: "0 of 1 instances on site west are well, fewer than the minimum of 1"},
		{Kind: health.ApprovalNeeded, Cluster: "feed",
			Evidence: "feed-w1 on site west could take over, which needs an operator: `mainstay approve feed-4`; no " +
				"acknowledged commit would be lost"},
	}
	return s
}

// moving is a running site switchover; halted one that waits for a word.
func moving() wire.Status {
	s := sited()
	s.Change = &wire.SiteChange{SiteChange: state.SiteChange{ID: "site-1", To: "west", By: "alice", Reason: "asked by alice: power work",
		Step:   platform.StepQuiesce,
		Former: map[string]string{"feed": "feed-e1", "tags": "tags-e1"}}, Now: "waiting for web-e1 to stop"}
	return s
}

func halted(step string) wire.Status {
	s := moving()
	s.Change.Step, s.Change.Halted, s.Change.Now = step, "cluster feed: feed-9 abandoned: feed-w1 did not catch up", ""
	s.Problems = []health.Problem{{Kind: health.SiteChangeHalted, Site: "west", Evidence: "site switchover site-1 to west halted at step " +
		step}}
	return s
}

// siteMoves is a record with all that a record can have: hooks, a halt, a retry, one step left out.
func siteMoves() state.Operation {
	op := state.Operation{ID: "site-1", Kind: state.SiteSwitchover, Reason: "asked by alice: power work", By: "alice", To: "west",
		Result:  state.Done,
		Outcome: "the platform runs on site west; alice skipped step verify"}
	for _, s := range [][3]string{{"began", "01.000", "asked by alice: power work"}, {"quiesce", "01.010", "all checks passed"},
		{"hook 0", "01.100", "done: 200 OK"},
		{"clusters", "03.200", "the apps are quiet"}, {"cluster feed", "03.210", "operation feed-9"},
		{"halted at clusters", "05.000", "cluster feed: feed-9 abandoned"},
		{"retry", "35.000", "asked by alice at step clusters"}, {"cluster feed", "35.010", "operation feed-10"},
		{"apps", "36.000", "every cluster's primary is where it should be"},
		{"routing", "38.500", "the apps are well"}, {"verify", "38.510", "the topology is published"}, {"verify web-w1", "38.600", "failed: 500"},
		{"halted at verify", "48.510", "waiting for web-w1 to verify: 500: not within 30s"},
		{"continue", "50.000", "asked by alice at step verify"}, {"done", "50.000", ""}} {
		op.Steps = append(op.Steps, state.Step{Name: s[0], At: "2026-05-04T03:02:" + s[1] + "Z", Note: s[2]})
	}
	return op
}

// undone is a record of a site switchover that was taken back.
func undone() state.Operation {
	op := siteMoves()
	op.ID, op.Result, op.Outcome = "site-2", state.Abandoned, "undone: clusters and apps are back where they were"
	op.Steps = append(op.Steps[:6:6], state.Step{Name: "undo", At: "2026-05-04T03:02:30.000Z", Note: "asked by alice at step clusters"},
		state.Step{Name: "apps", At: "2026-05-04T03:02:31.000Z"}, state.Step{Name: "routing", At: "2026-05-04T03:02:33.000Z"},
		state.Step{Name: "abandoned", At: "2026-05-04T03:02:33.010Z"})
	return op
}

// appHost is what the agent of a host of app servers says that hears no leader.
func appHost() *wire.Status {
	seen := func(i health.Instance) *health.Instance { return &i }
	return &wire.Status{Source: "agent app-e1", At: at, Hosts: []wire.HostStatus{{Name: "app-e1", Heard: true, Silence: 3 * time.Second}},
		Apps: []wire.AppState{
			{Name: "", Instances: []wire.InstanceStatus{{Name: "old-e1", Out: "not wanted",
				Seen: seen(health.Instance{Name: "old-e1", Running: true})}}},
			{Name: "web", Instances: []wire.InstanceStatus{
				{Name: "web-e1", Goal: platform.WantRunning, Serves: true,
					Seen: seen(health.Instance{Name: "web-e1", Running: true, PermitLeft: 1600, ByPrimary: true})},
				{Name: "web-e2", Goal: platform.WantRunning, Out: "not running",
					Seen: seen(health.Instance{Name: "web-e2", Restarts: 9, Error: "given up: in 10 starts in a row"})},
				{Name: "web-e3", Goal: platform.WantStopped, Out: "not wanted",
					Seen: seen(health.Instance{Name: "web-e3", Running: true, Draining: true})},
				{Name: "web-e4", Goal: platform.WantStopped, Out: "not wanted", Seen: seen(health.Instance{Name: "web-e4", Stopped: true})},
			}},
		}}
}
