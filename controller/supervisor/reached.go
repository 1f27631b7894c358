package supervisor

import (
	"time"

	"mainstay/controller/boottime"
)

// reachEvery is how often an unchanged postmaster is searched for processes that the guards do not reach.
const reachEvery = 5 * time.Second

// reached is the last search for processes of the member that its guards do not reach. It reads all of /proc, which is most of an
// agent's load on its host, so not every look does it: the processes that PostgreSQL starts stay in the member's cgroup unless another
// program moves them out. A new postmaster, or one that had processes outside, is searched at every look.
type reached struct {
	postmaster int
	outside    int
	at         time.Duration
}

func (r reached) due(postmaster int, now time.Duration) bool {
	return postmaster == 0 || r.postmaster != postmaster || r.outside > 0 || now-r.at >= reachEvery
}

// outside is how many processes of the member its guards do not reach (L2). It belongs to a look.
func (m *observer) outside(postmaster int) int {
	now := boottime.Now()
	if !m.reached.due(postmaster, now) {
		return 0
	}
	pids, err := m.handles.tree.Outside()
	if err != nil {
		m.reached = reached{}
		return 0
	}
	m.reached = reached{postmaster, len(pids), now}
	return len(pids)
}
