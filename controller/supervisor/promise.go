package supervisor

import (
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// Requests lists the promises to ask for with the report of that number, and the agents to ask. It is on the lease path, so it reads
// memory only.
func (m *Supervisor) Requests(number uint64, now time.Duration) map[platform.Peer]platform.PromiseRequest {
	m.mu.Lock()
	in := m.input(now)
	asked, alone := m.leasing.promises.Ask(&in, number)
	all := map[platform.Peer]platform.PromiseRequest{}
	for _, r := range asked {
		if peer, ok := m.told.peers[r.To]; ok && peer.Address != "" {
			all[peer] = r
		}
	}
	length := m.leasing.promises.Length
	m.mu.Unlock()
	if alone {
		m.renewed(number, in.Goal.Epoch, length)
	}
	return all
}

// PromisedBy takes the answer to a request, and renews the lease once enough members have promised.
func (m *Supervisor) PromisedBy(number uint64, r platform.PromiseRequest, answer platform.PromiseAnswer) {
	m.mu.Lock()
	length, enough := m.leasing.promises.Take(&m.told.goal, number, r, answer)
	m.mu.Unlock()
	if enough {
		m.renewed(number, r.Epoch, length)
	}
}

// renewed renews the lease from the clock of the report of that number.
func (m *Supervisor) renewed(number uint64, epoch platform.Epoch, length time.Duration) {
	if end, ours := m.o.Host.LeaseEnd(number, length); ours {
		m.granted(epoch, end, length)
	}
}

// GoodFor is the epoch of the member's lease, and how long that supports a permit.
func (m *Supervisor) GoodFor(now time.Duration) (platform.Epoch, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.input(now)
	return in.Permits(m.leasing.promises.Length)
}

// SpeaksFor tells whether the agent of that host may ask for the member, as far as a leader has said.
func (m *Supervisor) SpeaksFor(host, asking string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	peer, known := m.told.peers[asking]
	return !known || peer.Host == host
}

// Promise gives or refuses a promise under the lock under which the next act is chosen, so that no seal overtakes it.
func (m *Supervisor) Promise(req platform.PromiseRequest) platform.PromiseAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, answer := member.Promise(m.input(boottime.Now()), req)
	if m.leasing.promised = kept; answer.Given {
		m.log.Debug("promised to be neither sealed nor promoted", zap.String("to", req.From), zap.Duration("until", kept.Until))
	}
	return answer
}
