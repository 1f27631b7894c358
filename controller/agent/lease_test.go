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
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
)

// primaryHost is the agent of an instance's primary.
type primaryHost struct {
	address string
	m       *supervisor.Supervisor
	answers uint64
}

func newPrimaryHost(t *testing.T, o *office) *primaryHost {
	t.Helper()
	a := &Agent{cfg: config.Agent{Host: "db-w1"}, log: o.log, tls: o.store(identity.RoleAgent, "db-w1"),
		members: map[string]*supervisor.Supervisor{}}
	p := &primaryHost{m: manage(t, a, "feed-e1", member.Durable{Epoch: epoch5, Ran: epoch5})}
	goal := platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch5, Paused: true} // so that no guards are asked
	p.hears(goal)
	p.m.Leased(wire.Grant{Epoch: epoch5, Length: 5 * time.Second}, boottime.Now()+time.Hour)
	goal.Paused = false
	p.hears(goal)
	mux, err := identity.Listen("127.0.0.1:0", a.tls)
	if err != nil {
		t.Fatal(err)
	}
	p.address = mux.Addr().String()
	paths := http.NewServeMux()
	paths.HandleFunc("GET /v1/lease", newAPI(a).lease)
	s, served := newAPI(a).server(paths), make(chan error, 1)
	go func() { served <- s.Serve(mux.HTTP()) }()
	t.Cleanup(func() { s.Close(); mux.Close(); <-served })
	return p
}

// hears is a leader's next answer.
func (p *primaryHost) hears(g platform.Goal) {
	p.answers++
	p.m.Wants(g, platform.Age{Number: p.answers})
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
	p.hears(platform.Goal{Kind: platform.GoalReplica, Cluster: "feed", Epoch: epoch5.Next()})
	want(identity.RoleOperator, right, "", false)
}
