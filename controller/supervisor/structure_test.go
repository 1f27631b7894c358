package supervisor

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/postgres"
	"mainstay/health"
)

// inspecting is a supervisor of a primary that checks its structure when it is asked to.
func inspecting(t *testing.T, pg *postgres.Server) *Supervisor {
	t.Helper()
	m := scanned(t, pg, 1000)
	m.o.ScanTurn <- struct{}{} // no scan of the files
	m.o.Group.Go(func() error { m.Structure.inspectLoop(m.o.Context); return nil })
	return m
}

// pause pauses the cluster.
func (m *Supervisor) pause(paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told.goal.Paused = paused
	m.tell()
}

// inspected waits for the end of the check that is under way.
func (m *Supervisor) inspected(t *testing.T) health.Structure {
	t.Helper()
	eventually(t, "the end of the check", func() bool { s := m.Structure.Last(); return s != nil && !s.Running })
	return *m.Structure.Last()
}

// slowly makes an index whose check waits for a second at each row.
func slowly(t *testing.T, pg *postgres.Server) {
	t.Helper()
	for _, s := range []string{"CREATE TABLE public.slow AS SELECT generate_series(1, 60) AS id",
		`CREATE FUNCTION public.wait(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('mst.slow', true) = 'on' THEN PERFORM pg_sleep(1); END IF; RETURN n; END $$`,
		"CREATE INDEX slow_wait ON public.slow (public.wait(id))", "ALTER DATABASE postgres SET mst.slow = on"} {
		check(t, sqlOf(t.Context(), pg, s))
	}
}

const checking = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'mainstay-check' AND wait_event = 'PgSleep'"

// TestStructure: a check finds damage that only amcheck sees, creates extensions only where it is asked to, and belongs to the data.
func TestStructure(t *testing.T) {
	pg := runningPrimary(t)
	check(t, sqlOf(t.Context(), pg, "CREATE TABLE public.rows (id int PRIMARY KEY, v text)"))
	check(t, sqlOf(t.Context(), pg, "INSERT INTO public.rows SELECT n, 'x' FROM generate_series(1, 1000) n"))
	m := inspecting(t, pg)
	if s := m.Structure.Last(); s != nil {
		t.Errorf("before: %+v", s)
	}
	check(t, m.Structure.Begin(0, false))
	s := m.inspected(t)
	corrupt, suspect := s.Wrong()
	if !s.Complete || s.Ended != "" || corrupt+suspect != 0 || s.Checks["heap"].Clean != 0 || s.Checks["files"].Clean == 0 || s.Position == 0 {
		t.Errorf("without extensions: %+v", s)
	}
	if len(s.Unverified) == 0 || !strings.Contains(s.Unverified[0].Why, "not in database") {
		t.Errorf("unverified: %+v", s.Unverified)
	}
	check(t, m.Structure.Begin(1000, true))
	s = m.inspected(t)
	if corrupt, suspect = s.Wrong(); !s.Complete || corrupt+suspect != 0 || s.Checks["btree"].Clean == 0 || s.Blocks == 0 ||
		s.Version != pg.Binaries.Major || s.Standby || s.AgeMS < 0 || s.TookMS <= 0 || s.Percent != 100 {
		t.Errorf("with extensions: %+v", s)
	}

	// An entry of the index that no longer has its row's key: the row is changed behind the index's back.
	for _, statement := range []string{"UPDATE pg_index SET indisready = false WHERE indexrelid = 'public.rows_pkey'::regclass",
		"INSERT INTO public.rows VALUES (5000, 'y')",
		"UPDATE pg_index SET indisready = true WHERE indexrelid = 'public.rows_pkey'::regclass"} {
		check(t, sqlOf(t.Context(), pg, statement))
	}
	check(t, m.Structure.Begin(0, false))
	s = m.inspected(t)
	if corrupt, _ = s.Wrong(); corrupt != 1 || len(s.Damage) != 1 || s.Damage[0].Relation != "public.rows_pkey" ||
		s.Damage[0].Check != "btree" || s.Damage[0].Evidence[0].Kind != "missing entry" {
		t.Errorf("found: %+v", s)
	}
	if f := m.Snapshot().Checks.Found; f == nil || !f.Complete || len(f.Damage) != 1 || f.Damage[0].Own ||
		f.Damage[0].String() != "postgres.public.rows_pkey (btree: missing entry)" {
		t.Errorf("reported: %+v", f)
	}
	m.mu.Lock()
	m.durable.Incarnation = "feed-e1_2"
	m.mu.Unlock()
	if s := m.Structure.Last(); s != nil {
		t.Errorf("of other data: %+v", s)
	}
}

// TestStructurePauses: a check stops while the member is being changed, and goes on after that; an operator can stop it, and another can
// begin at once.
func TestStructurePauses(t *testing.T) {
	pg := runningPrimary(t)
	slowly(t, pg)
	m := inspecting(t, pg)
	runs := func(want string) func() bool { return func() bool { return valueOf(t, pg, checking) == want } }
	m.pause(true)
	check(t, m.Structure.Begin(0, true))
	if err := m.Structure.Begin(0, true); !errors.Is(err, ErrChecking) {
		t.Errorf("a second one: %v", err)
	}
	if s := m.Structure.Last(); s == nil || !s.Running || s.Waiting == "" {
		t.Errorf("paused: %+v", s)
	}
	m.pause(false)
	eventually(t, "the check", runs("1"))
	before := *m.Structure.Last()
	m.pause(true)
	eventually(t, "the pause", runs("0"))
	eventually(t, "what it waits for", func() bool { return m.Structure.Last().Waiting != "" })
	m.pause(false)
	eventually(t, "the check again", runs("1"))
	if s := *m.Structure.Last(); s.Checks["heap"].Clean == 0 || s.Percent < before.Percent || !s.Running {
		t.Errorf("%+v after %+v", s, before)
	}
	m.Structure.Stop()
	if s := m.Structure.Last(); s.Running || s.Complete || s.Ended != "stopped by an operator" {
		t.Errorf("stopped: %+v", s)
	}
	check(t, sqlOf(t.Context(), pg, "ALTER DATABASE postgres RESET mst.slow"))
	check(t, m.Structure.Begin(0, false))
	eventually(t, "the next one", func() bool { // the session of the one that was stopped had the setting
		s := m.Structure.Last()
		return !s.Running && s.Complete
	})
	eventually(t, "the end of its sessions", runs("0"))
}

// TestStructureWithoutServer: a check waits for a server that does not answer.
func TestStructureWithoutServer(t *testing.T) {
	pg := runningPrimary(t)
	m := inspecting(t, pg)
	elsewhere := *pg
	elsewhere.Socket = filepath.Join(t.TempDir(), "none")
	m.pause(true)
	check(t, m.Structure.Begin(0, false))
	m.mu.Lock()
	m.pg = &elsewhere
	m.inspection.o.Pause, m.inspection.o.Tries = 1, 2
	m.mu.Unlock()
	m.pause(false)
	eventually(t, "what it waits for", func() bool { return strings.Contains(m.Structure.Last().Waiting, "no session with the server") })
	if s := m.Structure.Last(); !s.Running || s.Ended != "" {
		t.Errorf("%+v", s)
	}
}

// TestStructureAfterKill: the next process of an agent that was killed continues the check, and counts and lists everything once.
func TestStructureAfterKill(t *testing.T) {
	pg := runningPrimary(t)
	for _, statement := range []string{"CREATE TABLE public.rows (id int PRIMARY KEY, v text)",
		"UPDATE pg_index SET indisready = false WHERE indexrelid = 'public.rows_pkey'::regclass",
		"INSERT INTO public.rows VALUES (5000, 'y')", // which the index does not have
		"UPDATE pg_index SET indisready = true WHERE indexrelid = 'public.rows_pkey'::regclass",
		"CREATE EXTENSION amcheck", "CREATE EXTENSION pg_visibility"} {
		check(t, sqlOf(t.Context(), pg, statement))
	}
	slowly(t, pg)
	m := inspecting(t, pg)
	m.o.Config.Data = t.TempDir()
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o755))
	check(t, m.Structure.Begin(0, false))
	eventually(t, "the slow index", func() bool { return valueOf(t, pg, checking) == "1" })
	check(t, m.writeChecks())
	if s := m.Structure.Last(); len(s.Damage) != 1 {
		t.Fatalf("before: %+v", s)
	}
	m.Structure.Stop() // and nothing more is written
	check(t, sqlOf(t.Context(), pg, "ALTER DATABASE postgres RESET mst.slow"))
	next := inspecting(t, pg)
	next.o.Config.Data = m.o.Config.Data
	next.readChecks()
	if s := next.Structure.Last(); s == nil || !s.Running || len(s.Damage) != 1 {
		t.Fatalf("after: %+v", s)
	}
	next.Structure.signal()
	got := next.inspected(t)
	check(t, next.Structure.Begin(0, false))
	whole := next.inspected(t)
	if !got.Complete || !maps.Equal(got.Checks, whole.Checks) || got.Blocks != whole.Blocks || got.Databases != whole.Databases ||
		len(got.Damage) != 1 || len(whole.Damage) != 1 {
		t.Errorf("it counted %+v, and a whole check %+v", got, whole)
	}
}
