package supervisor

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

var epoch3 = platform.Epoch{Generation: 1, Number: 3}

// life is the supervisor of feed-e1 in one process of an agent, on a folder that outlives it.
func life(t *testing.T, f *folder, run string) *Supervisor {
	t.Helper()
	m, err := New(Options{Name: "feed-e1", Run: run, Log: zap.NewNop(), Host: idle{}, Home: f})
	check(t, err)
	return m
}

// leader makes a supervisor that of an open primary to which a leader has granted a lease; its resume record is kept from here on.
func leader(t *testing.T, f *folder) *Supervisor {
	t.Helper()
	check(t, f.KeepDurable("feed-e1", member.Durable{Epoch: epoch3, Ran: epoch3, SystemID: "7"}))
	m := life(t, f, "r1")
	m.memory.Opened, m.leasing.promises.Length, m.leasing.promises.Granted = epoch3, 5*time.Second, time.Minute
	m.told.goal = platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch3, MembersVersion: 5,
		OtherMembers: []string{"feed-e2", "feed-w1"},
		Sets:         []platform.DurabilitySet{{ID: 7, Epoch: epoch3, Acks: 1, Names: []string{"feed-e2_2", "feed-w1_3"}}}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); m.keepResume(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

// answered is what an answer of a leader brings, until done.
func answered(t *testing.T, m *Supervisor, what string, done func() bool) {
	t.Helper()
	peers := map[string]platform.Peer{"feed-e2": {Host: "db-e2", Address: "10.0.1.12:7201"},
		"feed-w1": {Host: "db-w1", Address: "10.0.2.21:7201"}}
	eventually(t, what, func() bool {
		m.Learn(Others{Peers: peers})
		m.mu.Lock()
		defer m.mu.Unlock()
		return done()
	})
}

// A process that is started while no leader answers asks at once for the promises its predecessor would have asked for (S6).
func TestResumeOutlivesTheProcess(t *testing.T) {
	f := newFolder()
	m := leader(t, f)
	answered(t, m, "the resume record is kept", func() bool { return m.leasing.kept.Written.Run == "r1" })

	now := time.Hour
	held := member.Lease{Epoch: epoch3, End: now + 3*time.Second}
	for _, c := range []struct {
		name, run string
		asks      int
	}{{"the same run", "r1", 2}, {"after a reboot, or on a copy of the disk (L8)", "r2", 0}} {
		next := life(t, f, c.run)
		if asked := next.Requests(1, now); len(asked) != 0 {
			t.Errorf("%s: asks %v before its guards have said what they hold", c.name, asked)
		}
		if mayResume := next.inherit(next.leasing.kept.Written, held, now); mayResume != (c.asks > 0) {
			t.Errorf("%s: continues %v", c.name, mayResume)
		}
		asked := next.Requests(2, now)
		if len(asked) != c.asks {
			t.Errorf("%s: asks %v", c.name, asked)
		}
		for peer, r := range asked {
			if want := (platform.PromiseRequest{Cluster: "feed", From: "feed-e1", To: r.To, Epoch: epoch3, List: 5,
				Length: 5 * time.Second}); r != want || peer.Address == "" {
				t.Errorf("%s: asks %v for %+v", c.name, peer, r)
			}
		}
	}
}

// A leader's word comes before what was kept, also one that arrives while the guards are asked; and where it falls silent
// again after that word, the primary need not open once more before it asks for promises.
func TestLeaderComesBeforeTheResume(t *testing.T) {
	f, held := newFolder(), member.Lease{Epoch: epoch3, End: time.Hour}
	m := leader(t, f)
	answered(t, m, "the resume record is kept", func() bool { return m.leasing.kept.Written.Run == "r1" })
	same := m.told.goal
	same.MembersVersion, same.OtherMembers = 6, []string{"feed-w1"}
	for _, c := range []struct {
		said platform.Goal
		asks int
	}{{platform.Goal{Kind: platform.GoalStopped, Epoch: epoch3}, 0}, {platform.Goal{Kind: platform.GoalReplica, Epoch: epoch3.Next()}, 0},
		{same, 1}} {
		next := life(t, f, "r1")
		next.Wants(c.said, platform.Age{Number: 1})
		next.Learn(Others{Peers: m.leasing.kept.Written.Peers})
		if mayResume := next.inherit(next.leasing.kept.Written, held, time.Minute); mayResume != (c.asks > 0) ||
			next.told.goal.Kind != c.said.Kind ||
			next.told.goal.MembersVersion != c.said.MembersVersion {
			t.Errorf("goal %+v: continues %v as %+v", c.said, mayResume, next.told.goal)
		}
		if asked := next.Requests(2, time.Minute); len(asked) != c.asks {
			t.Errorf("goal %+v: asks %v", c.said, asked)
		}
	}
}

// A new list of members is confirmed once a later process would know it too, however long its disk hangs (L5, L6).
func TestConfirmsWhatIsKept(t *testing.T) {
	f := newFolder()
	m := leader(t, f)
	answered(t, m, "the resume record is kept", func() bool { return m.leasing.kept.Written.Run == "r1" })
	f.fill(true)
	m.mu.Lock()
	g := m.told.goal
	g.MembersVersion, g.OtherMembers = 6, append(g.OtherMembers, "feed-w2")
	m.mu.Unlock()
	m.Wants(g, platform.Age{Number: 2})
	answered(t, m, "a write has begun", func() bool { return m.leasing.kept.Pending != nil })
	m.mu.Lock()
	confirms := m.leasing.kept.List(m.o.Run, &m.told.goal)
	m.mu.Unlock()
	if confirms != 5 || !m.behind(g) {
		t.Errorf("confirms list %d", confirms)
	}
	f.fill(false)
	answered(t, m, "the new list is confirmed", func() bool { return m.leasing.kept.List(m.o.Run, &m.told.goal) == 6 })
	if kept := f.Resume("feed-e1"); kept.Goal.MembersVersion != 6 || m.behind(g) {
		t.Errorf("kept list %d", kept.Goal.MembersVersion)
	}
}
