package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

// TestTablespaces: a member reports its tablespaces, and a replica, whether it runs or not, those that it has yet to make too, and which of
// their folders its host lacks.
func TestTablespaces(t *testing.T) {
	server := runningPrimary(t)
	fast := filepath.Join(filepath.Dir(server.Data), "fast")
	check(t, os.Mkdir(fast, 0o700))
	check(t, os.Chown(fast, int(server.Owner.UID), int(server.Owner.GID)))
	check(t, sqlOf(t.Context(), server, "CREATE TABLESPACE fast LOCATION '"+fast+"'"))
	m := supervisorOf(t, server)
	m.Learn(Others{Tablespaces: []health.Tablespace{{OID: 99999, Location: fast + "er"}}})
	for _, c := range []struct {
		role            health.Role
		goal            platform.GoalKind
		spaces, lacking int
	}{
		{health.RolePrimary, platform.GoalPrimary, 1, 0},
		{health.RoleStandby, platform.GoalReplica, 2, 1},
		{health.RoleUnknown, platform.GoalReplica, 2, 1},
		{health.RoleStandby, platform.GoalSealed, 1, 0},
	} {
		m.told.goal.Kind = c.goal
		check(t, m.observer.tablespaces(server, c.role))
		if u := m.observer.user; len(u.spaces) != c.spaces || len(u.noFolder) != c.lacking ||
			u.spaces[c.spaces-1].Location != fast || u.spaces[c.spaces-1].Folder == "" || c.spaces == 2 && u.spaces[0].Folder != "" {
			t.Errorf("%+v: %+v", c, u)
		}
	}
}
