package agent

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// askBound bounds one question to the agent of an instance's primary.
const askBound = time.Second

// ask renews the permit while no leader answers: the agent of the primary says how long its member's lease still runs, and
// the instance goes on for that long, at most the permit's length, counted from before the question was sent.
func (m *appMinder) ask(ctx context.Context) {
	silence := platform.Suspect(10 * m.agent.heartbeat())
	m.mu.Lock()
	g, now := m.goal, boottime.Now()
	led := m.heard != 0 && now-m.heard <= silence
	m.mu.Unlock()
	if led || g.Permit == 0 || g.Want != platform.WantRunning || g.Agent == "" || m.asks.busy() {
		return
	}
	m.asks.begin(ctx, m.agent.group, askBound, func(ctx context.Context) error {
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
}

// vouch takes the primary's agent at its word, if the goal is still the one it was asked for.
func (m *appMinder) vouch(asked platform.InstanceGoal, end time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.goal != asked || end <= m.permitEnd {
		return
	}
	m.permitEnd, m.vouched = end, true
}

// heartbeat is how often the leader wants to be reported to.
func (a *Agent) heartbeat() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.beat
}

// lease tells how long a member's lease of an epoch still runs: 0 unless it may act as primary under it right now. It is for
// app servers that live with their primary while no leader answers. It reads memory only, and changes nothing.
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
	epoch, left := m.leaseLeft(boottime.Now())
	if asked != epoch.String() {
		return nil, refuse(http.StatusConflict, "refused", "the lease of %s is of epoch %s, not %s", name, epoch, asked)
	}
	return wire.LeaseAnswer{Member: name, Epoch: epoch, Left: left}, nil
}

// leaseLeft is the epoch of the member's lease, and what is left of it; 0 once its primary has ended, or another epoch is
// known here.
func (m *minder) leaseLeft(now time.Duration) (platform.Epoch, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.lease.Epoch
	if e != m.durable.Epoch || e != m.durable.Ran || !m.durable.Closed.Less(e) || e.Less(m.durable.Sealed) || m.goal.Kind != platform.GoalPrimary || m.goal.Epoch != e {
		return e, 0
	}
	return e, max(0, m.lease.End-now)
}
