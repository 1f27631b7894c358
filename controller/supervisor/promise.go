package supervisor

import (
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// Requests lists the promises to ask for with the report of that number, by the agent to ask (L5); now is CLOCK_BOOTTIME. A primary that
// needs none renews its lease at once. It is on the lease path: it touches memory and the guards only.
func (m *Supervisor) Requests(number uint64, now time.Duration) map[platform.Peer]platform.PromiseRequest {
	m.mu.Lock()
	in := m.input(now)
	asked, alone := m.leasing.promises.Ask(&in, number)
	all := map[platform.Peer]platform.PromiseRequest{}
	for _, r := range asked {
		if peer, ok := m.told.others.Peers[r.To]; ok && peer.Address != "" {
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

// PromisedBy takes the answer to a request that was made with the report of that number, and renews the lease once enough members have
// promised (L5). It is on the lease path: it touches memory and the guards only.
func (m *Supervisor) PromisedBy(number uint64, r platform.PromiseRequest, answer platform.PromiseAnswer) {
	m.mu.Lock()
	length, enough := m.leasing.promises.Take(&m.told.goal, number, r, answer)
	m.mu.Unlock()
	if enough {
		m.renewed(number, r.Epoch, length)
	}
}

// SpeaksFor tells whether the agent of that host may ask for the member asking, as far as a leader has said.
func (m *Supervisor) SpeaksFor(host, asking string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	peer, known := m.told.others.Peers[asking]
	return !known || peer.Host == host
}

// Promise gives or refuses a promise to another member's primary (L5), under the lock under which the next act is chosen, so that no seal
// overtakes it.
func (m *Supervisor) Promise(req platform.PromiseRequest) platform.PromiseAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, answer := member.Promise(m.input(boottime.Now()), req)
	if m.leasing.promised = kept; answer.Given {
		m.log.Debug("promised to be neither sealed nor promoted", zap.String("to", req.From), zap.Duration("until", kept.Until))
	}
	return answer
}
