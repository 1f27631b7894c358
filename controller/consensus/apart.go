package consensus

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"mainstay/controller/platform"
)

// heartbeatsApart is the least time between two heartbeats of raft's to one follower. Raft sends one after a tenth to a fifth of its
// timeout, thirteen a second, which is most of what idle controllers do; four in the shortest timeout are as good.
const heartbeatsApart = platform.RaftHeartbeat / 4

// transport is raft's, with heartbeats apart. Each follower's are sent by a goroutine of their own, which replication does not wait for.
type transport struct {
	*raft.NetworkTransport
	ctx context.Context // ends with the stream

	mu   sync.Mutex
	sent map[raft.ServerID]time.Time // the last heartbeat
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(a) {
		t.mu.Lock()
		wait := pauseFor(t.sent[id], time.Now())
		t.mu.Unlock()
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-t.ctx.Done():
			}
		}
		t.mu.Lock()
		t.sent[id] = time.Now()
		t.mu.Unlock()
	}
	return t.NetworkTransport.AppendEntries(id, target, a, resp)
}

// pauseFor is how long to wait at now after the heartbeat before; at most heartbeatsApart, whatever the clock says.
func pauseFor(before, now time.Time) time.Duration {
	return min(heartbeatsApart-now.Sub(before), heartbeatsApart)
}

// isHeartbeat: it carries a term and nothing else, as raft itself tells them.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return a.Term != 0 && a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}
