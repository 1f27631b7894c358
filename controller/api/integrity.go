package api

import (
	"cmp"
	"context"
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
