package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

const (
	// agentPort is the port of an agent whose host the last status names without one.
	agentPort = "7201"
	// askAgent bounds the wait for one agent: all are asked at once, and a dead host must not delay the screen.
	askAgent = 3 * time.Second
)

// leaderless tells whether an error means that no leader answers, so that only the agents can be asked. A refused certificate does not mean
// that: those controllers run, and may have a leader.
func leaderless(err error) bool {
	var away *wire.UnreachableError
	var answer *wire.RefusalError
	return errors.Is(err, wire.ErrNoLeader) || errors.As(err, &away) && !away.Certificates() ||
		errors.As(err, &answer) && answer.Status == http.StatusMisdirectedRequest
}

// leaderless asks every agent directly and shows each answer. The exit code is 1: the question was not answered.
func (p *program) leaderless(ctx context.Context, s *session, cluster string, why error) error {
	last, _ := p.recall(s.name)
	addresses := p.global.agents
	if len(addresses) == 0 {
		addresses = agentsOf(last)
	}
	l := render.Leaderless{Why: why.Error(), Cached: last.At, Agents: p.askAgents(ctx, s, addresses)}
	err := p.show(l, func(o render.Options) string { return render.WithoutLeader(l, cluster, o) })
	if err != nil {
		return err
	}
	return quietError{exitFailed}
}

// agentsOf lists the agents that a status knows of.
func agentsOf(s wire.Status) (addresses []string) {
	for _, h := range s.Hosts {
		address := h.Address
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, agentPort)
		}
		addresses = append(addresses, address)
	}
	return addresses
}

func (p *program) askAgents(ctx context.Context, s *session, addresses []string) []render.AgentAnswer {
	c := p.dial(addresses, s.store.ClientConfig(identity.RoleAgent, "", identity.ProtoHTTP))
	defer c.Close()
	answers := make([]render.AgentAnswer, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() { answers[i] = p.askAgent(ctx, c, address) })
	}
	all.Wait()
	return answers
}

func (p *program) askAgent(ctx context.Context, c caller, address string) render.AgentAnswer {
	ctx, cancel := context.WithTimeout(ctx, min(askAgent, p.global.timeout))
	defer cancel()
	var st wire.Status
	if err := c.DoAt(ctx, address, http.MethodGet, "/v1/status", nil, &st); err != nil {
		return render.AgentAnswer{Address: address, Error: wire.Why(err)}
	}
	return render.AgentAnswer{Address: address, Status: &st}
}
