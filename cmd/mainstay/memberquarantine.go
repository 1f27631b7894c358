package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// agents is a client of every agent of the platform.
type agents struct {
	caller
	addresses []string
	status    wire.Status // lists the agents; empty with --agents
}

// connectAgents finds the agents in the status (the last one where no leader answers) or in --agents.
func (p *program) connectAgents(ctx context.Context) (*agents, error) {
	s, err := p.connect()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	a := &agents{addresses: p.global.agents}
	if len(a.addresses) == 0 {
		switch err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &a.status); {
		case err == nil:
			p.remember(s.name, a.status)
		case leaderless(err) && ctx.Err() == nil:
			p.say("no leader answers; asking the agents of the last status that this command has seen")
			a.status, _ = p.recall(s.name)
		default:
			return nil, err
		}
		if a.addresses = agentsOf(a.status); len(a.addresses) == 0 {
			return nil, refusedf("no agent is known; name them with --agents host:port,...")
		}
	}
	a.caller = p.dial(a.addresses, s.store.ClientConfig(identity.RoleAgent, "", identity.ProtoHTTP))
	return a, nil
}

// quarantine asks every agent what it keeps.
func (p *program) quarantine(ctx context.Context, a *agents) render.Quarantine {
	q := render.Quarantine{Agents: make([]render.AgentPieces, len(a.addresses))}
	var all sync.WaitGroup
	for i, address := range a.addresses {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, min(askAgent, p.global.timeout))
			defer cancel()
			q.Agents[i].Address = address
			var got wire.Quarantine
			if err := a.DoAt(ctx, address, http.MethodGet, "/v1/quarantine", nil, &got); err != nil {
				q.Agents[i].Error = err.Error()
				return
			}
			q.Agents[i].Quarantine = &got
		})
	}
	all.Wait()
	return q
}

func (p *program) quarantineList(ctx context.Context, name string) error {
	a, err := p.connectAgents(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	q := p.quarantine(ctx, a)
	silent, found := false, name == "" || knows(a.status, name)
	for _, agent := range q.Agents {
		if agent.Quarantine == nil {
			silent = true
			continue
		}
		agent.Quarantine.Pieces = slices.DeleteFunc(agent.Quarantine.Pieces,
			func(p wire.Piece) bool { return name != "" && p.Cluster != name && p.Member != name })
		found = found || len(agent.Quarantine.Pieces) > 0
	}
	if !found && !silent && len(p.global.agents) == 0 {
		return refusedf("there is no cluster or member %s; `mainstay status` lists them", name)
	}
	err = p.show(q, func(o render.Options) string { return render.Pieces(q, o) })
	if err == nil && silent {
		err = quietError{exitFailed}
	}
	return err
}

func knows(s wire.Status, name string) bool {
	for _, c := range s.Clusters {
		if c.Name == name || slices.ContainsFunc(c.Members, func(m wire.MemberStatus) bool { return m.Name == name }) {
			return true
		}
	}
	return false
}

// find asks every agent for a piece, and returns the one that keeps it.
func (p *program) find(ctx context.Context, a *agents, id string) (address string, piece wire.Piece, err error) {
	var silent []string
	for _, agent := range p.quarantine(ctx, a).Agents {
		if agent.Quarantine == nil {
			silent = append(silent, agent.Address+": "+agent.Error)
			continue
		}
		if i := slices.IndexFunc(agent.Quarantine.Pieces, func(p wire.Piece) bool { return p.ID == id }); i >= 0 {
			return agent.Address, agent.Quarantine.Pieces[i], nil
		}
	}
	if len(silent) > 0 {
		return "", piece,
			fmt.Errorf("no agent that answers keeps %s; these do not answer: %s; start them and ask again, or name them with --agents", id,
				strings.Join(silent, "; "))
	}
	return "", piece, refusedf("no agent keeps %s; `mainstay member quarantine list` shows what is kept", id)
}

func (p *program) quarantineShow(ctx context.Context, id string) error {
	a, err := p.connectAgents(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	address, _, err := p.find(ctx, a, id)
	if err != nil {
		return err
	}
	ctx, cancel := p.request(ctx)
	defer cancel()
	var got wire.PieceAnswer
	if err := a.DoAt(ctx, address, http.MethodGet, "/v1/quarantine/"+id, nil, &got); err != nil {
		return err
	}
	return p.show(got, func(o render.Options) string { return render.Piece(got, o) })
}

// quarantineDrop shows what would be destroyed before it asks for the ID.
func (p *program) quarantineDrop(ctx context.Context, id, reason string, dryRun, yes bool) error {
	a, err := p.connectAgents(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	address, piece, err := p.find(ctx, a, id)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s of %s: WAL %s to %s of timeline %d, %s, %d transactions; %s on disk in %s", id, piece.Member, piece.From, piece.To,
		piece.Timeline,
		render.Bytes(piece.Bytes), piece.Transactions, render.Bytes(piece.Size), piece.Place)
	if piece.Uncounted != "" {
		what = fmt.Sprintf("%s of %s, a whole data directory that could not be counted; %s on disk in %s", id, piece.Member,
			render.Bytes(piece.Size), piece.Place)
	}
	if dryRun {
		return p.show(map[string]any{"drop": piece, "dryRun": true}, func(render.Options) string {
			return "would destroy " + what + "\nnothing was changed\n"
		})
	}
	if err := p.typed(ctx, yes, id, "this destroys "+what); err != nil {
		return err
	}
	ctx, cancel := p.request(ctx)
	defer cancel()
	var got wire.DropAnswer
	if err := a.DoAt(ctx, address, http.MethodPost, "/v1/quarantine/"+id+"/drop", wire.DropRequest{Reason: reason}, &got); err != nil {
		return err
	}
	return p.show(got, func(render.Options) string {
		if got.Gone {
			return "dropped " + id + "\n"
		}
		return "dropped " + id + "; the agent keeps removing its files, and lists it until they are gone\n"
	})
}
