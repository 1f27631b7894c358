package agent

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/instance"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// askPause lies between two questions to the agent of an instance's primary, askBound bounds one at least.
const (
	askPause = 100 * time.Millisecond
	askBound = 100 * time.Millisecond
)

// ask renews the permit while no leader answers: the agent of the primary says for how long that is good for one, and the
// instance goes on for that long, counted from before the question was sent. It returns after how long to come again.
func (m *appMinder) ask(ctx context.Context) time.Duration {
	m.mu.Lock()
	g, now := m.goal, boottime.Now()
	at := max(instance.AskAt(g, m.heard), m.askedAt+askPause)
	if m.vouched {
		at = max(at, m.permitEnd-g.Permit/2)
	}
	m.mu.Unlock()
	if g.Permit == 0 || g.Want != platform.WantRunning || g.Agent == "" || m.asks.busy() {
		return appLookEvery
	}
	if now < at {
		return at - now
	}
	m.askedAt = now
	m.asks.begin(ctx, m.agent.group, max(g.Permit/4, askBound), func(ctx context.Context) error {
		s := boottime.Now() // before anything is sent (L1)
		client := wire.NewClient([]string{g.Agent}, m.agent.tls.ClientConfig(identity.RoleAgent, ""))
		defer client.Close()
		var answer wire.LeaseAnswer
		path := "/v1/lease?" + url.Values{"member": {g.Primary}, "epoch": {g.Epoch.String()}}.Encode()
		err := client.DoAt(ctx, g.Agent, http.MethodGet, path, nil, &answer)
		if err == nil && answer.Left > 0 {
			m.vouch(g, s+min(answer.Left, g.Permit))
		}
		return err
	})
	return askPause
}

// vouch takes the primary's agent at its word, if the goal is still the one it was asked for.
func (m *appMinder) vouch(asked platform.InstanceGoal, end time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.goal != asked || end <= m.permitEnd {
		return
	}
	m.permitted(end, true)
}

// lease tells for how long a member is good for the permits of app servers that live with it while no leader answers: 0 unless
// it may act as primary of that epoch right now. It reads memory only, and changes nothing.
func (a *Agent) lease(w http.ResponseWriter, r *http.Request) {
	answer, err := a.leaseOf(r)
	respond(w, answer, err)
}

func (a *Agent) leaseOf(r *http.Request) (any, error) {
	id, err := identity.IDOf(r)
	if err != nil || !slices.Contains([]string{identity.RoleAgent, identity.RoleController, identity.RoleOperator}, id.Role) {
		return nil, refuse(http.StatusForbidden, "forbidden", "only agents, controllers and operators may ask")
	}
	name, asked := r.URL.Query().Get("member"), r.URL.Query().Get("epoch")
	m := a.lookUp(name)
	if m == nil {
		return nil, refuse(http.StatusNotFound, "bad-request", "this host has no member %s", name)
	}
	epoch, left := m.goodFor(boottime.Now())
	if asked != epoch.String() {
		return nil, refuse(http.StatusConflict, "refused", "the lease of %s is of epoch %s, not %s", name, epoch, asked)
	}
	return wire.LeaseAnswer{Member: name, Epoch: epoch, Left: left}, nil
}

// goodFor is the epoch of the member's lease, and for how long that is good for a permit.
func (m *minder) goodFor(now time.Duration) (platform.Epoch, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.input(now)
	return in.Permits(m.promises.Length)
}
