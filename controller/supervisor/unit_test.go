package supervisor

import "testing"

func TestInUnit(t *testing.T) {
	for cgroup, want := range map[string]bool{
		"/sys/fs/cgroup/system.slice/mainstay-agent.service":                              true,
		"/sys/fs/cgroup/system.slice/mainstay-agent.service/agent":                        true,
		"/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope":                          false,
		"/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/init.scope":                false,
		"/sys/fs/cgroup/user.slice/user-7.slice/user@7.service/app.slice/vte-spawn.scope": false,
		"/sys/fs/cgroup": false,
	} {
		if got := inUnit(cgroup); got != want {
			t.Errorf("%s: %t", cgroup, got)
		}
	}
}
