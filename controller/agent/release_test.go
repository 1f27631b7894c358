package agent

import (
	"slices"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

func TestSlotsOf(t *testing.T) {
	goal := platform.Goal{OtherMembers: []string{"feed-e2", "feed-w1"}}
	members, strays := slotsOf(goal, []postgres.Slot{
		{Name: "mainstay_feed_e2", Physical: true, WALStatus: "reserved"},
		{Name: "mainstay_feed_w1", Physical: true, WALStatus: "lost"},
		{Name: "mainstay_feed_e9", Physical: true, WALStatus: "lost"},
		{Name: "mainstay_cdc"}, // logical: its user's
		{Name: "backup", Physical: true},
	})
	if !slices.Equal(members, []string{"feed-e2"}) || !slices.Equal(strays, []string{"mainstay_feed_e9"}) {
		t.Errorf("members %v, strays %v", members, strays)
	}
}

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
		if err := h.forget("feed-e1"); err != nil {
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
	a := &Agent{cfg: config.Agent{Data: t.TempDir()}, members: map[string]*supervisor{}, bond: bond{PlatformID: "p", Generation: 1},
		news: make(chan struct{}), clocks: member.NewClocks("r", 0),
		wake: make(chan struct{}, 1)}
	a.obey(&wire.ReportAnswer{PlatformID: "p", Generation: 1, RunID: "r", Number: 1, Version: "2",
		Goals: map[string]platform.Goal{"feed-e1": {Kind: platform.GoalReleased}}}, way{})
	if len(a.list()) != 0 || a.version != "2" {
		t.Errorf("%d members, version %q", len(a.list()), a.version)
	}
}
