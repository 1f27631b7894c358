package supervisor

import (
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// TestOverridden: what overrides a managed setting reaches the report; on an adopted server not before its settings were read again after
// the act that changed them.
func TestOverridden(t *testing.T) {
	server := runningPrimary(t)
	m := supervisorOf(t, server)
	check(t, server.AlterSystem(t.Context(), map[string]string{"wal_receiver_timeout": "3s"}))
	check(t, sqlOf(t.Context(), server, "ALTER SYSTEM SET wal_receiver_timeout = '1min'"))
	status := func() postgres.Status {
		t.Helper()
		s, err := server.Status(t.Context())
		check(t, err)
		return s
	}
	now := boottime.Now()
	for _, c := range []struct {
		name      string
		durable   member.Durable
		succeeded time.Duration // the last act
		acting    bool
		want      int
	}{
		{"not managed yet", member.Durable{}, 0, false, 0},
		{"started by its agent", member.Durable{SystemID: "7"}, now, false, 1},
		{"adopted", member.Durable{SystemID: "7", AlterSystem: true}, now - time.Second, false, 1},
		{"adopted, and changed since", member.Durable{SystemID: "7", AlterSystem: true}, now, false, 0},
		{"adopted, and about to be changed", member.Durable{SystemID: "7", AlterSystem: true}, now - time.Second, true, 0},
	} {
		m.observer.session.full, m.activity.succeededAt, m.activity.cancel = now, c.succeeded, nil
		if c.acting {
			m.activity.cancel = func() {}
		}
		var g glance
		m.observer.running(server, platform.Goal{}, c.durable, status(), &g)
		if got := g.report.Overridden; len(got) != c.want || c.want > 0 && (got[0].Name != "wal_receiver_timeout" || got[0].Value != "1min") {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
