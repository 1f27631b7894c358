package api

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// clearDamage sets the evidence against a member's data aside, for an operator's reason. The same evidence no longer excludes the member.
func (a *API) clearDamage(ctx context.Context, q *request) (any, error) {
	var req wire.ClearRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	switch {
	case req.Member == "":
		return nil, badRequest(`field "member" is missing: name the member whose exclusion ends`)
	case strings.TrimSpace(req.Reason) == "":
		return nil, badRequest(`field "reason" is missing: history keeps it`)
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.clearDamage(req) })
}

func (s *subject) clearDamage(req wire.ClearRequest) (planned, error) {
	m, conf := s.c.Members[req.Member], s.conf.Member(req.Member)
	switch {
	case m == nil || conf == nil:
		return planned{}, refused("cluster %s has no member %s; it has %s", s.c.Name, req.Member, strings.Join(s.conf.Names(), ", "))
	case m.Excluded == "":
		return planned{}, refused("nothing is known against the data of %s", req.Member)
	}
	evidence := m.Excluded
	if r := s.snapshot.Input.View.Member(conf); r != nil {
		evidence = health.JoinDamage(evidence, r.Damage) // more may have been found since the verdict
	}
	j := &state.Judge{Member: req.Member, Incarnation: m.Incarnation, Reason: strings.TrimSpace(req.Reason), Cleared: evidence}
	if m.ClearedAs == cmp.Or(m.DamagedAs, m.Incarnation) { // evidence that was set aside before stays so: the data is still the same
		j.Cleared = health.JoinDamage(m.Cleared, evidence)
	}
	return planned{cmd: state.Command{Judge: j}, answer: wire.OperationAnswer{Plan: []string{
		req.Member + " may be promoted again, in spite of: " + evidence}}}, nil
}

// release lets frozen replicas replay again, for an operator's reason. No other replica is frozen for the same evidence then.
func (a *API) release(ctx context.Context, q *request) (any, error) {
	var req wire.ReleaseRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if strings.TrimSpace(req.Reason) == "" {
		return nil, badRequest(`field "reason" is missing: history keeps it`)
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.release(req) })
}

func (s *subject) release(req wire.ReleaseRequest) (planned, error) {
	names := s.c.Frozen()
	if req.Member != "" {
		if s.c.Members[req.Member] == nil || s.conf.Member(req.Member) == nil {
			return planned{}, refused("cluster %s has no member %s; it has %s", s.c.Name, req.Member, strings.Join(s.conf.Names(), ", "))
		}
		if !slices.Contains(names, req.Member) {
			return planned{}, refused("the replay of %s is not frozen", req.Member)
		}
		names = []string{req.Member}
	}
	if len(names) == 0 {
		return planned{}, refused("no replica of %s is frozen", s.c.Name)
	}
	var plan []string
	for _, name := range names {
		plan = append(plan, name+" replays again, with what may carry damage over: "+s.c.Members[name].Freeze.Why)
	}
	plan = append(plan, "no replica is frozen for that evidence again")
	return planned{cmd: state.Command{Freeze: &state.FreezeMember{Release: names, Reason: strings.TrimSpace(req.Reason)}},
		answer: wire.OperationAnswer{Plan: plan}}, nil
}
