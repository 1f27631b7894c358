package supervisor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// TestLostWAL: a primary whose WAL was damaged ends its recovery there without an error, so its agent says that synced WAL is lost. After
// a crash without damage it says nothing.
func TestLostWAL(t *testing.T) {
	pg := runningPrimary(t)
	m, ctx := supervisorOf(t, pg), t.Context()
	m.durable.Incarnation = "feed-e1_1"
	check(t, sqlOf(ctx, pg, "CHECKPOINT"))
	file := valueOf(t, pg, "SELECT pg_walfile_name(pg_current_wal_lsn())")
	offset, err := strconv.Atoi(valueOf(t, pg, "SELECT (pg_walfile_name_offset(pg_current_wal_lsn())).file_offset::text"))
	check(t, err)
	check(t, sqlOf(ctx, pg, "CREATE TABLE public.filled AS SELECT repeat('x', 300) AS x FROM generate_series(1, 500)"))
	var s postgres.Status
	eventually(t, "a position where a record ends", func() bool {
		check(t, sqlOf(ctx, pg, "INSERT INTO public.filled VALUES ('y')"))
		s, err = pg.Status(ctx)
		return err == nil && s.Flush%smallestPage != 0
	})
	pid, _, _ := pg.Running()
	check(t, syscall.Kill(pid, syscall.SIGQUIT))
	eventually(t, "the end of the server", func() bool { _, _, ok := pg.Running(); return !ok })
	inspected := func() (found *health.LogSign) {
		t.Helper()
		g := &glance{}
		m.observer.running(pg, platform.Goal{}, m.durable, s, g)
		check(t, m.observer.inspect(ctx, pg, g))
		return m.Snapshot().Log.Sign(health.SignOfWAL)
	}
	if found := inspected(); found != nil {
		t.Errorf("after a crash: %s", found)
	}
	ahead := s // as after the WAL writer
	ahead.Flush += smallestPage - ahead.Flush%smallestPage
	m.observer.running(pg, platform.Goal{}, m.durable, ahead, &glance{})
	check(t, m.observer.inspect(ctx, pg, &glance{}))
	if log := m.Snapshot().Log; log.Sign(health.SignOfWAL) != nil {
		t.Errorf("amid a record: %+v", log)
	}
	f, err := os.OpenFile(filepath.Join(pg.Data, "pg_wal", file), os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt([]byte("damage"), int64(offset)+20000)
	check(t, err)
	check(t, f.Close())
	if found := inspected(); found == nil || !strings.Contains(found.Text, "synced it up to "+s.Flush.String()) {
		t.Errorf("with damaged WAL: %v", found)
	}
	m.observer.running(pg, platform.Goal{}, member.Durable{Incarnation: "feed-e1_0"}, s, &glance{})
	check(t, m.observer.inspect(ctx, pg, &glance{}))
	if found := m.Snapshot().Log.Sign(health.SignOfWAL); found.Count != 1 {
		t.Errorf("of other data: %s", found)
	}
}
