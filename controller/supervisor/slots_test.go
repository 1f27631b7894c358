package supervisor

import (
	"slices"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

func TestSlotsOf(t *testing.T) {
	goal := platform.Goal{OtherMembers: []string{"feed-e2", "feed-w1"}}
	members, strays := slotsOf(goal, []postgres.Slot{
		{Name: "mainstay_feed_e2", Physical: true},
		{Name: "mainstay_feed_w1", Physical: true, Worn: true},
		{Name: "mainstay_feed_e9", Physical: true, Worn: true},
		{Name: "mainstay_cdc"}, // logical: its user's
		{Name: "backup", Physical: true},
	})
	if !slices.Equal(members, []string{"feed-e2"}) || !slices.Equal(strays, []string{"mainstay_feed_e9"}) {
		t.Errorf("members %v, strays %v", members, strays)
	}
}
