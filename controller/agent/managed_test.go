package agent

import (
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
)

var epoch3, epoch5 = platform.Epoch{Generation: 1, Number: 3}, platform.Epoch{Generation: 1, Number: 5}

// promises is a folder of an agent in which a member has these promises, and nothing is written.
type promises struct {
	supervisor.Home
	durable member.Durable
}

func (p promises) Durable(string) (member.Durable, error) { return p.durable, nil }

func (promises) Resume(string) member.Resume { return member.Resume{} }

// manage has an agent manage a member with these promises. It neither looks nor acts.
func manage(t *testing.T, a *Agent, name string, d member.Durable) *supervisor.Supervisor {
	t.Helper()
	m, err := supervisor.New(supervisor.Options{Name: name, Config: a.cfg, Log: a.log, Host: host{a}, Home: promises{durable: d}})
	check(t, err)
	a.members[name] = m
	return m
}

// life is one process of an agent, on a folder that outlives it.
func life(t *testing.T, dir, run string) *Agent {
	t.Helper()
	h, err := openHome(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return &Agent{cfg: config.Agent{Data: dir}, home: h, log: zap.NewNop(), members: map[string]*supervisor.Supervisor{},
		clocks: member.NewClocks(run, 0), signals: newSignals()}
}
