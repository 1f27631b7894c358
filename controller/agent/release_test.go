package agent

import (
	"slices"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
)

// A released member is no longer known after a restart of the agent, and its PostgreSQL keeps running.
func TestForgottenMemberIsLeftAlone(t *testing.T) {
	cfg, pg := left(t, "7", false)
	h, err := openHome(cfg.Data, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if got := h.known(); !slices.Equal(got, []string{"feed-e1"}) {
		t.Fatalf("known: %v", got)
	}
	for range 2 {
		if err := h.Forget("feed-e1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.known(); len(got) != 0 {
		t.Errorf("still known: %v", got)
	}
	h.close()
	if swept := sweep(t, cfg); len(swept) != 0 || len(pg.Alive()) == 0 {
		t.Errorf("swept %v", swept)
	}
}

// A late answer to an earlier report does not bring a released member back.
func TestReleaseOfAnUnknownMember(t *testing.T) {
	a := &Agent{cfg: config.Agent{Data: t.TempDir()}, members: map[string]*supervisor.Supervisor{}, bond: bond{PlatformID: "p", Generation: 1},
		contact: contact{news: make(chan struct{})}, clocks: member.NewClocks("r", 0), signals: newSignals()}
	a.obey(&wire.ReportAnswer{PlatformID: "p", Generation: 1, RunID: "r", Number: 1, Version: "2",
		Goals: map[string]platform.Goal{"feed-e1": {Kind: platform.GoalReleased}}}, way{})
	if len(a.list()) != 0 || a.version != "2" {
		t.Errorf("%d members, version %q", len(a.list()), a.version)
	}
}
