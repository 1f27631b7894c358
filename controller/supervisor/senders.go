package supervisor

import (
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// loaded is the first new connection that showed a durability set. A WAL sender that did not exist then, and that started after that
// connection by the server's clock, has loaded the set itself. Either condition alone could be wrong: the clock may be set back, and a
// sender that is just starting is in no list yet. A session kept from before would count old senders as fresh.
type loaded struct {
	set    uint64
	asked  time.Time    // when that connection was started
	before map[int]bool // senders that it saw
	stale  []int        // senders of the last look that may have started before
}

// see takes the last status from a new connection and the senders of this look, and tells by PID which are fresh.
func (l *loaded) see(g platform.Goal, proof postgres.Status, senders []postgres.Sender, ours bool) map[int]bool {
	fresh := map[int]bool{}
	if len(g.Sets) == 0 {
		return fresh
	}
	set := g.Sets[len(g.Sets)-1]
	if !member.Shows(proof.SyncNames, set) || !ours {
		*l = loaded{}
		return fresh
	}
	if l.set != set.ID {
		*l = loaded{set: set.ID, asked: proof.Asked, before: map[int]bool{}}
		for _, w := range proof.Senders {
			l.before[w.PID] = true
		}
	}
	l.stale = nil
	for _, w := range senders {
		if fresh[w.PID] = !l.before[w.PID] && w.Started.After(l.asked); !fresh[w.PID] && set.Has(w.Name) {
			l.stale = append(l.stale, w.PID)
		}
	}
	return fresh
}

// staleSenders are the senders to end, because they release commits by an older k.
func (m *actor) staleSenders() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.loaded.stale
}
