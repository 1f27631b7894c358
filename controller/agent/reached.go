package agent

import (
	"time"

	"mainstay/controller/boottime"
)

// reachEvery is how often a settled postmaster's processes are looked for beyond the guards.
const reachEvery = 5 * time.Second

// reached is the last look for processes of the member beyond its guards. It reads all of /proc, which is most of what an
// agent costs its host, so it is not part of each look: what PostgreSQL starts stays in the member's cgroup, unless somebody
// takes it out. Another postmaster, or one of which something was outside, is looked at every time.
type reached struct {
	postmaster int
	outside    int
	at         time.Duration
}

func (r reached) due(postmaster int, now time.Duration) bool {
	return postmaster == 0 || r.postmaster != postmaster || r.outside > 0 || now-r.at >= reachEvery
}

// outside is how many processes of the member its guards do not reach (L2). It belongs to a look.
func (m *supervisor) outside(postmaster int) int {
	now := boottime.Now()
	if !m.reached.due(postmaster, now) {
		return 0
	}
	pids, err := m.tree.Outside()
	if err != nil {
		m.reached = reached{}
		return 0
	}
	m.reached = reached{postmaster, len(pids), now}
	return len(pids)
}
