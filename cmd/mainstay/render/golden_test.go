package render

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

var update = flag.Bool("update", false, "write the golden files again")

func TestGolden(t *testing.T) {
	cases := map[string]string{
		"status-healthy":  Status(healthy(), Options{}),
		"status-trouble":  Status(trouble(), Options{}),
		"status-colour":   Status(trouble(), Options{Color: true}),
		"status-no-apply": Status(wire.Status{Leader: "c1", Source: "controller c1"}, Options{}),
		"explain":         Explain(explained(), Options{}),
		"explain-nothing": Explain(wire.ExplainAnswer{Cluster: "feed", IfHostLost: state.Prediction{Why: "the cluster has no primary yet"}},
			Options{}),
		"history": History([]state.Operation{failover(), running(), {ID: "feed-5", Kind: state.Rejoin, Result: state.Failed}},
			Options{}),
		"history-empty": History(nil, Options{}),
		"outcome":       Outcome(failover(), Options{}) + Step(failover(), 2, Options{}),
		"plan": Plan(wire.OperationAnswer{Target: "feed-e2", Plan: []string{"checkpoint feed-e1", "stop feed-e1"},
			Warnings: []string{"db-w1 is silent"}}, Options{}),
		"no-leader": WithoutLeader(leaderless(), "", Options{}),
		"no-leader-here": WithoutLeader(Leaderless{Why: "no route", Agents: []AgentAnswer{{Address: "10.0.1.11:7201", Status: heard()}}}, "",
			Options{}),
		"local":             Agent(leaderless().Agents[1], Options{}),
		"local-led":         Agent(AgentAnswer{Address: "10.0.1.11:7201", Status: heard()}, Options{}),
		"local-instances":   Agent(AgentAnswer{Address: "10.0.1.21:7201", Status: appHost()}, Options{}),
		"no-leader-unknown": WithoutLeader(Leaderless{Why: "no address answers"}, "", Options{}),
		"status-catch-up":   Status(catchingUp(), Options{}),
		"status-sites":      Status(sited(), Options{}),
		"status-lost":       Status(lostSite(), Options{}),
		"status-moving":     Status(moving(), Options{}),
		"status-halted":     Status(halted(platform.StepVerify), Options{}),
		"halted":            Halted("site-1", "west", *wire.HaltedAt(&halted(platform.StepClusters).Change.SiteChange), Options{}),
		"word": Decision(state.DecisionUndo, *halted(platform.StepClusters).Change, Options{}) + Decision(state.DecisionContinue,
			*halted(platform.StepVerify).Change, Options{}),
		"site-history":     History([]state.Operation{siteMoves(), undone()}, Options{}),
		"controllers":      Controllers(controllers("c1"), Options{}),
		"controllers-none": Controllers(controllers(""), Options{}),
		"kept":             Kept(kept(), Options{}),
		"quarantine":       Pieces(pieces(), Options{}),
		"quarantine-empty": Pieces(Quarantine{Agents: []AgentPieces{{Address: "10.0.1.11:7201", Quarantine: &wire.Quarantine{}}}}, Options{}),
		"verdicts":         Verdicts(verdicts(), Options{}),
		"quarantine-piece": Piece(wire.PieceAnswer{Host: "db-e1", Piece: piece(), List: transactions(), Note: "the first 2 of 7"}, Options{}),
	}
	for name, got := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; got:\n%s", path, got)
			}
		})
	}
}

// The screen must be readable: no line ends in blanks, and the columns of coloured lines stand under those of plain ones.
func TestColoursDoNotMoveColumns(t *testing.T) {
	for _, s := range []wire.Status{trouble(), lostSite(), halted(platform.StepClusters)} {
		stripped := strip(Status(s, Options{Color: true}))
		if plain := Status(s, Options{}); stripped != plain {
			t.Errorf("without its colours the screen differs:\n%s\nfrom\n%s", stripped, plain)
		}
		for _, line := range strings.Split(stripped, "\n") {
			if strings.TrimRight(line, " ") != line {
				t.Errorf("line ends in blanks: %q", line)
			}
		}
	}
}

func strip(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if strings.HasPrefix(s, "\x1b[") {
			s = s[strings.IndexByte(s, 'm')+1:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 340 * time.Millisecond: "340ms", 4230 * time.Millisecond: "4.2s", 190 * time.Second: "3m10s", 3 * time.Minute: "3m",
		125*time.Minute + 20*time.Second: "2h5m", 2 * time.Hour: "2h0m", -time.Second: "-1s",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 kB", 16 << 20: "16.0 MB", 5 << 40: "5.0 TB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestWorstFirst(t *testing.T) {
	in := []health.Problem{{Kind: health.PendingRestart}, {Kind: "NewKind"}, {Kind: health.AgentError, Member: "a"},
		{Kind: health.AgentError, Member: "b"},
		{Kind: health.TwoPrimaries}}
	var got []string
	for _, p := range WorstFirst(in) {
		got = append(got, string(p.Kind)+p.Member)
	}
	if want := "TwoPrimaries NewKind AgentErrora AgentErrorb PendingRestart"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestNextCommand: every kind of problem leads to a command with the platform's own names in it, or to none.
func TestNextCommand(t *testing.T) {
	s := trouble()
	s.Apps = []wire.AppState{{Name: "web", Instances: []wire.InstanceStatus{{Name: "web-w1", Site: "west", Host: "app-w1",
		Health: health.Down}}}}
	op := running()
	s.Clusters[0].Operation = &op
	problems := map[health.Subject]health.Problem{
		"cluster": {Cluster: "feed"}, "member": {Cluster: "feed", Member: "feed-e2"}, "host": {Cluster: "feed", Member: "feed-e2"},
		"site": {Site: "east"}, "app": {App: "web", Site: "west"}, "instance": {App: "web", Instance: "web-w1", Site: "west"},
		"controller": {Cluster: "feed"}, "backups": {Cluster: "feed"},
	}
	places := regexp.MustCompile(`CLUSTER|HOST|OPERATION`)
	for _, d := range health.Descriptions() {
		p := problems[d.About]
		p.Kind = d.Kind
		got := nextFor(s, p)
		host := "db-e2"
		if p.App != "" {
			host = "app-w1"
		}
		want := strings.NewReplacer("CLUSTER", "feed", "OPERATION", "feed-4", "HOST", host).Replace(d.Next)
		if got != want || places.MatchString(got) {
			t.Errorf("%s: next %q, want %q", d.Kind, got, want)
		}
	}
	for _, c := range []struct {
		problem health.Problem
		want    string
	}{
		{health.Problem{Kind: health.ReplicaMissing, Cluster: "feed", Member: "feed-x9"}, "mainstay explain feed"}, // of no host that is known
		{health.Problem{Kind: health.ApprovalNeeded, Cluster: "tags"}, "mainstay explain tags"},
		{health.Problem{Kind: health.SiteLost, Site: "north"}, "mainstay controllers list"},
		{health.Problem{Kind: health.ClonedMachine}, "mainstay controllers list"},
		{health.Problem{Kind: health.AppDown, App: "web", Instance: "web-e9"}, ""},
		{health.Problem{Kind: "NewKind", Cluster: "feed"}, "mainstay explain feed"},
	} {
		if got := nextFor(s, c.problem); got != c.want {
			t.Errorf("%+v: next %q, want %q", c.problem, got, c.want)
		}
	}
	text := Status(s, Options{})
	if strings.Count(text, "mainstay help ") != 1 || !strings.Contains(text, "\nhelp: mainstay help PrimaryUnreachable\nnext: ") {
		t.Errorf("want the help of the worst problem named once; got\n%s", text)
	}
	if topic := helpTopic([]health.Problem{{Kind: "NewKind"}}); topic != "" {
		t.Errorf("%s is explained by no help of this version", topic)
	}
}

func TestRole(t *testing.T) {
	up := func(r health.Role) *health.Member {
		return &health.Member{Data: health.DataPresent, Process: health.ProcessRunning, Role: r}
	}
	sealed := up(health.RoleStandby)
	sealed.Sealed = platform.Epoch{Generation: 1, Number: 2}
	for _, c := range []struct {
		name string
		goal platform.GoalKind
		seen *health.Member
		want string
	}{
		{"never heard", platform.GoalReplica, nil, "unknown"},
		{"primary", platform.GoalPrimary, up(health.RolePrimary), "primary"},
		{"observed", platform.GoalObserve, up(health.RolePrimary), "primary"},
		{"unwanted", platform.GoalReplica, up(health.RolePrimary), "primary, not wanted"},
		{"replica", platform.GoalReplica, up(health.RoleStandby), "replica"},
		{"sealed", platform.GoalSealed, sealed, "sealed"},
		{"not sealed yet", platform.GoalSealed, up(health.RoleStandby), "replica"},
		{"stopped", platform.GoalStopped, &health.Member{Data: health.DataPresent, Process: health.ProcessEnded}, "stopped"},
		{"stopping", platform.GoalStopped, &health.Member{Process: health.ProcessEnding}, "stopping"},
		{"empty", platform.GoalReplica, &health.Member{Data: health.DataEmpty, Process: health.ProcessEnded}, "empty"},
		{"foreign", platform.GoalReplica, &health.Member{Data: health.DataForeign}, "foreign data"},
		{"hung", platform.GoalPrimary, up(health.RoleUnknown), "unknown"},
	} {
		if got := role(wire.MemberStatus{Goal: c.goal, Seen: c.seen}); got.text != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got.text, c.want)
		}
	}
}

func TestPausedReplayIsShown(t *testing.T) {
	m := wire.MemberStatus{Goal: platform.GoalReplica, Seen: seenReplica("feed-e2")}
	m.Seen.ReplayPaused = true
	if got := condition(m); got.text != "replay paused" {
		t.Errorf("%+v", got)
	}
	m.Seen.Receiver = nil
	if got := condition(m); got.text != "not streaming" {
		t.Errorf("what is worse comes first: %+v", got)
	}
}

// TestReplayLag: a replica that has received everything is not up to date while its replay is held back.
func TestReplayLag(t *testing.T) {
	for _, c := range []struct {
		lag, unreplayed, ageMS int64
		want                   string
	}{
		{0, 0, 0, "0 B"},
		{0, 0, 3_600_000, "0 B"},
		{2048, 100 << 10, 900, "2.0 kB"},
		{0, 96, 2000, "0 B, replay 96 B and 2s behind"},
		{0, 12 << 20, 598_000, "0 B, replay 12.0 MB and 9m58s behind"},
		{0, 1 << 20, 100, "0 B, replay 1.0 MB behind"},
		{-1, 1 << 20, 0, "unknown, replay 1.0 MB behind"},
	} {
		seen := seenReplica("feed-e2")
		seen.Replayed = seen.Position - platform.LSN(c.unreplayed)
		seen.ReplayAgeMS = c.ageMS
		if got := lag(wire.MemberStatus{Goal: platform.GoalReplica, Seen: seen, Lag: c.lag}); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func kept() []KeptMember {
	e := func(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }
	return []KeptMember{
		{Name: "feed-e1", Durable: member.Durable{Epoch: e(4), Ran: e(3), Closed: e(3), Incarnation: "feed-e1_2",
			Discarded: &health.Discard{From: 0x6000000, To: 0x60000D8, Timeline: 3, Bytes: 216, Kept: "/var/lib/mainstay/quarantine/1"}}},
		{Name: "tags-e1", Error: "tags-e1.json: unexpected end of JSON input"},
	}
}

func piece() wire.Piece {
	return wire.Piece{ID: "feed-e1_5-rewind", Cluster: "feed", Member: "feed-e1", When: "2026-11-22T20:58:22Z", How: wire.Rewound,
		Was:   "primary",
		Epoch: epoch3(), Incarnation: "feed-e1_1", Successor: "feed-e1_5", Timeline: 1, From: 0x3000148, To: 0x3004D58, Bytes: 0x4C10,
		Transactions: 7,
		Place:        "/var/lib/mainstay/members/feed-e1/quarantine/feed-e1_5-rewind", Size: 16 << 20}
}

func transactions() []wire.Transaction {
	return []wire.Transaction{{XID: 735, Committed: "2026-11-22 20:58:01.123456 UTC", LSN: 0x3000248, Relations: 2, Changes: 11},
		{XID: 736, Committed: "2026-11-22 20:58:01.2 UTC", LSN: 0x3000348, Relations: 1, Changes: 1}}
}

func pieces() Quarantine {
	whole := piece()
	whole.ID, whole.How, whole.Size, whole.Place = "feed-e1_7-rebuild", wire.Rebuilt, 5<<30, "/data.mainstay-aside-feed-e1_7-rebuild"
	whole.Uncounted = "no valid WAL from 0/3000148 on timeline 1"
	going := piece()
	going.ID, going.Dropped = "feed-e1_3-rewind", &wire.Drop{By: "alice", Reason: "restored by hand", When: "2026-11-23T08:00:00Z"}
	gone := piece()
	gone.ID, gone.Problem = "feed-e1_8-rebuild", "its files are gone, or were never set aside"
	return Quarantine{Agents: []AgentPieces{{Address: "10.0.1.11:7201",
		Quarantine: &wire.Quarantine{Host: "db-e1", Pieces: []wire.Piece{going, piece(), whole, gone}}},
		{Address: "10.0.1.12:7201", Error: "connection refused"}}}
}

func proof() *fencing.Proof {
	return &fencing.Proof{Kind: fencing.Stopped, Epoch: platform.Epoch{Generation: 1, Number: 3}, Detail: "its last process ended"}
}

// heard is an agent that a leader answers.
func heard() *wire.Status {
	s := agentStatus("db-e1", 300*time.Millisecond, 0)
	return &s
}

func TestStands(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.ClusterState)
		want   string
	}{
		"promised to": {func(c *wire.ClusterState) { c.Members[0].Seen.PromisedBy = []string{"feed-e2"} },
			"keeps running without a leader: feed-e2 promises not to replace it; its lease ends in 4.2s"},
		"not yet": {func(*wire.ClusterState) {}, "keeps running for 4.2s under a lease from a leader"},
		"lapsed": {func(c *wire.ClusterState) { c.Members[0].Seen.LeaseLeft = 0 },
			"has no lease: its guards kill it unless the lease was just renewed"},
		"unguarded": {func(c *wire.ClusterState) { c.Members[0].Seen.LeaseLeft, c.Members[0].Seen.Guard = 0, health.Guard{} },
			"no armed guard"},
		"stopped": {func(c *wire.ClusterState) {
			c.Members[0].Seen.Process, c.Members[0].Seen.LeaseLeft = health.ProcessEnded, 0
		}, "does not run, and waits"},
		"silent": {func(c *wire.ClusterState) { c.Members = c.Members[1:] }, "the agent of its primary feed-e1 is not among those that answer"},
		"acks 0": {func(c *wire.ClusterState) { c.Sets[0].Acks = 0 }, "to keep running it needs a promise of every other member"},
		"acks 1": {func(*wire.ClusterState) {}, "a promise of 1 of (feed-e2, feed-w1)"},
		"promised": {func(c *wire.ClusterState) { c.Members[1].Seen.Promised, c.Members[2].Seen.Promised = 5300, 100 },
			"must not be sealed or promoted: feed-e2 for 5s"},
	} {
		s := healthy().Clusters[0]
		c.change(&s)
		var got []string
		for _, line := range stands(s) {
			got = append(got, line.text)
		}
		if text := strings.Join(got, "\n"); !strings.Contains(text, c.want) {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}

// The screen without a leader believes the highest epoch, and of its sets those that the primary itself knows.
func TestMerged(t *testing.T) {
	old := wire.ClusterState{Name: "feed", Primary: "feed-w1", Epoch: platform.Epoch{Generation: 1, Number: 2},
		Members: []wire.MemberStatus{{Name: "feed-w1"}}}
	replica := wire.ClusterState{Name: "feed", Primary: "feed-e1", Epoch: epoch3(), Sets: []platform.DurabilitySet{{ID: 3}},
		Members: []wire.MemberStatus{{Name: "feed-e2"}}}
	primary := agentStatus("db-e1", 0, 0).Clusters[0]
	for _, order := range [][]wire.ClusterState{{old, replica, primary}, {primary, replica, old}, {replica, primary, old}} {
		var agents []AgentAnswer
		for _, c := range order {
			agents = append(agents, AgentAnswer{Status: &wire.Status{Clusters: []wire.ClusterState{c, {Name: "tags"}, {}}}})
		}
		all := merged(agents, "feed")
		if len(all) != 1 || all[0].Primary != "feed-e1" || all[0].Epoch != epoch3() || all[0].Sets[0].ID != 4 || len(all[0].Members) != 3 {
			t.Errorf("got %+v", all)
		}
	}
}
