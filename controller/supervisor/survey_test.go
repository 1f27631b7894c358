package supervisor

import (
	"testing"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// TestSurvey: what a survey has found in the databases is in each report of that postmaster, and in none of another.
func TestSurvey(t *testing.T) {
	server := runningPrimary(t)
	m := supervisorOf(t, server)
	ctx := t.Context()
	status := func() (s postgres.Status) {
		t.Helper()
		s, err := server.Status(ctx)
		check(t, err)
		return s
	}
	pid, _, _ := server.Running()
	m.observer.session.pid = pid
	reported := func() int {
		var g glance
		m.observer.running(server, platform.Goal{}, member.Durable{}, status(), &g)
		return len(g.report.Collations)
	}
	m.surveyor.survey(ctx, server, pid)
	if n := reported(); n != 0 {
		t.Errorf("made with its own libraries: %d", n)
	}
	check(t, sqlOf(ctx, server, `CREATE TABLE public.names (german text COLLATE "de-x-icu")`))
	check(t, sqlOf(ctx, server, `UPDATE pg_collation SET collversion = '0.1' WHERE collname = 'de-x-icu'`))
	if n := reported(); n != 0 {
		t.Errorf("before the survey: %d", n)
	}
	m.surveyor.survey(ctx, server, pid)
	if n := reported(); n != 1 || m.surveyor.of != pid || m.surveyor.fault != "" {
		t.Errorf("after it: %d, %+v", n, m.surveyor)
	}
	m.observer.session.pid++
	if n := reported(); n != 0 {
		t.Errorf("of another postmaster: %d", n)
	}
}
