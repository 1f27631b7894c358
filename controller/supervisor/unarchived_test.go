package supervisor

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// TestArchiveLeft: a segment that the archive refuses is passed over, by a later process of the agent too; and what the last answer says
// of the archive counts until another one says more.
func TestArchiveLeft(t *testing.T) {
	server := runningPrimary(t)
	const name = "000000010000000000000009"
	wal := filepath.Join(server.Data, "pg_wal")
	mark := filepath.Join(wal, "archive_status", name)
	for _, path := range []string{filepath.Join(wal, name), mark + ".ready"} {
		check(t, os.WriteFile(path, nil, 0o600))
		check(t, os.Chown(path, int(server.Owner.UID), int(server.Owner.GID)))
	}
	first, second := supervisorOf(t, server), supervisorOf(t, server)
	dir := t.TempDir()
	first.o.Config.Data, second.o.Config.Data = dir, dir
	check(t, os.MkdirAll(first.o.Config.MemberDir("feed-e1"), 0o755))
	check(t, first.actor.takeUnarchived(postgres.Unarchived{Marked: []string{name}, Missing: []string{"0000000000000007"}}))

	var g glance
	status := postgres.Status{Archiver: &postgres.Archiver{Failed: name, Failures: 1}}
	second.observer.running(server, platform.Goal{}, member.Durable{}, status, &g)
	if _, err := os.Stat(mark + ".done"); err != nil {
		t.Error("the refused segment: ", err)
	}
	if u := second.archiving.left; !slices.Equal(u.Refused, []string{name}) || len(u.Marked) > 0 {
		t.Errorf("%+v", u)
	}
	status.Archiver.Failed = ""
	second.observer.running(server, platform.Goal{}, member.Durable{}, status, &g)
	third := supervisorOf(t, server)
	third.o.Config.Data = dir
	third.observer.running(server, platform.Goal{}, member.Durable{}, status, &g)
	for n, m := range []*Supervisor{second, third} {
		if !m.archiving.left.Empty() || m.activity.fault != "" {
			t.Errorf("%d: %+v, %s", n, m.archiving.left, m.activity.fault)
		}
	}

	first.Learn(Others{Archived: 7})
	first.Learn(Others{}) // its primary is gone
	if got := first.told.others.Archived; got != 7 {
		t.Errorf("archived up to %s", got)
	}
}
