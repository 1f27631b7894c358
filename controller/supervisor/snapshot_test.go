package supervisor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
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

// TestFullDiskUnknown: a disk that cannot be asked for its room keeps the user's settings from nothing.
func TestFullDiskUnknown(t *testing.T) {
	pg := &postgres.Server{Data: t.TempDir()}
	check(t, os.WriteFile(filepath.Join(pg.Data, "pg_tblspc"), nil, 0o600))
	m := supervisorOf(t, pg)
	m.o.Config.Data = t.TempDir()
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o700))
	m.observer.session.status.Wanted = map[string]string{"max_wal_senders": "50"}
	m.observer.lookAtUserSide(t.Context(), pg, member.Durable{SystemID: "1"}, true, health.RolePrimary)
	if m.pg.Kept == pg.Kept || m.observer.user.fault == "" {
		t.Errorf("kept %+v, fault %q", m.pg.Kept, m.observer.user.fault)
	}
}
