package supervisor

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// An upgrade must not make every replica begin its stream anew at once, because the text of its connection has changed.
func TestStreamOfAnEarlierBuildGoesOn(t *testing.T) {
	epoch := platform.Epoch{Generation: 1, Number: 2}
	goal := platform.Goal{
		Kind: platform.GoalReplica, Epoch: epoch, Opened: true, Timeline: 2, SystemID: "7", Incarnation: "feed-e1_3",
		History: platform.History{{Timeline: 1, End: 100}}, Upstream: &platform.Upstream{Member: "feed-e2", Address: "10.0.1.12", Port: 5432},
	}
	d := member.Durable{Epoch: epoch, Incarnation: "feed-e1_3", SystemID: "7"}
	pg := &postgres.Server{Member: "feed-e1", Replication: postgres.Credentials{User: "repl", Passfile: "/pass"}}
	now, err := pg.ConnInfo(source(goal), goal.Incarnation, "")
	check(t, err)
	before, _, ok := strings.Cut(now, " options=")
	if !ok {
		t.Fatal("no options in ", now)
	}
	for name, tc := range map[string]struct {
		conninfo, upstream string
		want               member.Kind
	}{
		"of this build":        {now, "feed-e2", member.Nothing},
		"of an earlier build":  {before, "feed-e2", member.Nothing},
		"from another host":    {strings.Replace(before, "10.0.1.12", "10.0.1.13", 1), "?", member.Settings},
		"under another name":   {strings.Replace(before, "feed-e1_3", "feed-e1_2", 1), "?", member.Settings},
		"with another account": {strings.Replace(before, "repl", "other", 1), "?", member.Settings},
	} {
		m := assemble(&shared{o: Options{Name: "feed-e1", Host: idle{}}, log: zap.NewNop()})
		g := &glance{}
		m.observer.running(pg, goal, d, postgres.Status{SystemID: "7", Moving: postgres.Moving{
			InRecovery: true, Timeline: 2, Receive: 200, Replay: 200, ConnInfo: tc.conninfo,
			SyncNames: member.SyncNames(member.ReplicaSet()), Receiver: &postgres.Receiver{Status: "streaming"},
		}}, g)
		g.seen.Process = health.ProcessRunning
		act := member.Next(member.Input{Now: 1, Goal: goal, Durable: d, Seen: g.seen, GuardComplete: true, Name: "feed-e1"})
		if g.seen.Upstream != tc.upstream || act.Kind != tc.want {
			t.Errorf("%s: streams from %q, next %q (%s%s); want %q and %q", name, g.seen.Upstream, act.Kind, act.Why, act.Wait, tc.upstream, tc.want)
		}
	}
}
