package agent

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

var epoch5 = platform.Epoch{Generation: 1, Number: 5}

// primaryHost is the agent of an instance's primary.
type primaryHost struct {
	address string
	m       *supervisor
}

func newPrimaryHost(t *testing.T, o *office) *primaryHost {
	t.Helper()
	a := &Agent{cfg: config.Agent{Host: "db-w1"}, log: o.log, tls: o.store(identity.RoleAgent, "db-w1"), members: map[string]*supervisor{}}
	p := &primaryHost{}
	p.m = assemble(&shared{agent: a, name: "feed-e1", durable: member.Durable{Epoch: epoch5, Ran: epoch5},
		told: told{goal: platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch5}},
		leasing: leasing{promises: member.Promises{Length: 5 * time.Second},
			lease: member.Lease{Epoch: epoch5, End: boottime.Now() + time.Hour, Renewed: boottime.Now() + time.Hour - 5*time.Second}}})
	a.members["feed-e1"] = p.m
	mux, err := identity.Listen("127.0.0.1:0", a.tls)
	if err != nil {
		t.Fatal(err)
	}
	p.address = mux.Addr().String()
	api := http.NewServeMux()
	api.HandleFunc("GET /v1/lease", a.lease)
	s, served := a.server(api), make(chan error, 1)
	go func() { served <- s.Serve(mux.HTTP()) }()
	t.Cleanup(func() { s.Close(); mux.Close(); <-served })
	return p
}

func (p *primaryHost) change(f func(*supervisor)) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	f(p.m)
}

func TestLeaseIsTold(t *testing.T) {
	o := newOffice(t)
	p := newPrimaryHost(t, o)
	ask := func(role, name, query string) (wire.LeaseAnswer, error) {
		client := wire.NewClient([]string{p.address}, o.store(role, name).ClientConfig(identity.RoleAgent, ""))
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var answer wire.LeaseAnswer
		return answer, client.DoAt(ctx, p.address, http.MethodGet, "/v1/lease?"+query, nil, &answer)
	}
	want := func(role, query, fault string, left bool) {
		t.Helper()
		answer, err := ask(role, "someone", query)
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s asks %s: %v, want %q", role, query, err, fault)
		}
		if (answer.Left > 0) != left || answer.Left > time.Hour {
			t.Errorf("%s asks %s: %s is left", role, query, answer.Left)
		}
	}
	const right = "member=feed-e1&epoch=1.5"
	want(identity.RoleController, right, "", true)
	want(identity.RoleOperator, right, "", true)
	want(identity.RoleViewer, right, "only agents", false)
	want(identity.RoleOperator, "member=feed-e9&epoch=1.5", "no member feed-e9", false)
	want(identity.RoleOperator, "member=feed-e1&epoch=1.4", "not 1.4", false)
	for name, f := range map[string]func(*supervisor){
		"over": func(m *supervisor) { m.leasing.lease.End = boottime.Now() },
		"not renewed for a permit": func(m *supervisor) {
			m.leasing.lease.Renewed = boottime.Now() - platform.Permit(platform.DefaultLease)
		},
		"closed":    func(m *supervisor) { m.durable.Closed = epoch5 },
		"sealed":    func(m *supervisor) { m.durable.Sealed = epoch5.Next() },
		"obeys on":  func(m *supervisor) { m.durable.Epoch = epoch5.Next() },
		"told of":   func(m *supervisor) { m.told.goal.Epoch = epoch5.Next() },
		"a replica": func(m *supervisor) { m.told.goal.Kind = platform.GoalReplica },
		"never ran": func(m *supervisor) { m.durable.Ran = platform.Epoch{} },
	} {
		p.m.mu.Lock()
		lease, durable, goal := p.m.leasing.lease, p.m.durable, p.m.told.goal
		f(p.m)
		p.m.mu.Unlock()
		t.Run(name, func(*testing.T) { want(identity.RoleOperator, right, "", false) })
		p.change(func(m *supervisor) { m.leasing.lease, m.durable, m.told.goal = lease, durable, goal })
	}
	want(identity.RoleOperator, right, "", true)
}
