package supervisor

import (
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// A report has the promises that the member has given and got, and what protects it (L5).
func TestSnapshotOfPromises(t *testing.T) {
	m := supervisorOf(t, nil)
	m.view.report.Guard = health.Guard{Complete: true, Missing: []string{wire.MissingService + ": none"}}
	m.told.goal = platform.Goal{Kind: platform.GoalReplica, Cluster: "feed"}
	m.leasing.promised = member.Promised{To: "feed-e1", Until: boottime.Now() + time.Minute}
	m.leasing.promises.By = []string{"feed-w1"}
	r := m.Snapshot()
	if left := time.Duration(r.Promised) * time.Millisecond; left <= 50*time.Second || left > time.Minute {
		t.Errorf("promised for %s", left)
	}
	protection := wire.GuardOf(&r)
	if len(r.PromisedBy) != 1 || protection.String() != "guard: both, kernel end (launcher)" || len(protection.Missing) != 1 {
		t.Errorf("promised by %v, protection %s", r.PromisedBy, protection)
	}
}
