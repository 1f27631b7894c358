package apps

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"mainstay/controller/appserver"
	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// askPause is the pause between two requests to the agent of an instance's primary; askBound is the shortest deadline of one.
const (
	askPause = 100 * time.Millisecond
	askBound = 100 * time.Millisecond
)

// ask renews the permit while no leader answers: the agent of the primary says how long its lease supports a permit, and the instance
// keeps running that long, counted from before the question was sent. It returns the time until the next call.
func (m *supervisor) ask(ctx context.Context) time.Duration {
	m.mu.Lock()
	g, now := m.goal, boottime.Now()
	at := max(appserver.AskAt(g, m.heard), m.moments.asked+askPause)
	if m.permit.byPrimary {
		at = max(at, m.permit.end-g.Permit/2)
	}
	m.mu.Unlock()
	if g.Permit == 0 || g.Want != platform.WantRunning || g.Agent == "" || m.tasks.asks.busy() {
		return lookEvery
	}
	if now < at {
		return at - now
	}
	m.moments.asked = now
	m.tasks.asks.begin(ctx, m.host.group, max(g.Permit/4, askBound), func(ctx context.Context) error {
		s := boottime.Now() // before anything is sent (L1)
		client := wire.NewClient([]string{g.Agent}, m.host.o.TLS.ClientConfig(identity.RoleAgent, ""))
		defer client.Close()
		var answer wire.LeaseAnswer
		path := "/v1/lease?" + url.Values{"member": {g.Primary}, "epoch": {g.Epoch.String()}}.Encode()
		err := client.DoAt(ctx, g.Agent, http.MethodGet, path, nil, &answer)
		if err == nil && answer.Left > 0 {
			m.permitByPrimary(g, s+min(answer.Left, g.Permit))
		}
		return err
	})
	return askPause
}

// permitByPrimary applies the answer of the primary's agent, if the goal is still the one that was asked for.
func (m *supervisor) permitByPrimary(asked platform.InstanceGoal, end time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.goal != asked || end <= m.permit.end {
		return
	}
	m.permitted(end, true)
}
