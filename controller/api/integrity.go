package api

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"mainstay/controller/decide"
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
	evidence := decide.Evidence(s.snapshot.Input, s.c.Name, req.Member) // more may have been found since the verdict
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

// repair has a page of a replica mended by its agent. The agent's plan has the page and the donor.
func (a *API) repair(ctx context.Context, q *request) (any, error) {
	var req wire.RepairRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	switch {
	case req.Member == "":
		return nil, badRequest(`field "member" is missing: name the replica`)
	case req.Page == "":
		return nil, badRequest(`field "page" is missing: its agent's plan has it`)
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.repair(req) })
}

func (s *subject) repair(req wire.RepairRequest) (planned, error) {
	m := s.c.Members[req.Member]
	switch {
	case m == nil || s.conf.Member(req.Member) == nil:
		return planned{}, refused("cluster %s has no member %s; it has %s", s.c.Name, req.Member, strings.Join(s.conf.Names(), ", "))
	case req.Member == s.c.Primary:
		return planned{}, refused("%s is the primary, and a page is mended on a replica: run `mainstay switchover %s` first", req.Member,
			s.c.Name)
	case req.From != "" && s.c.Members[req.From] == nil:
		return planned{}, refused("cluster %s has no member %s; it has %s", s.c.Name, req.From, strings.Join(s.conf.Names(), ", "))
	}
	if err := s.quiet(); err != nil {
		return planned{}, err
	}
	if bad := decide.CheckMend(s.snapshot.Input, s.c.Name, req.Member, req.From); len(bad) > 0 {
		return planned{}, refused("no page of %s is mended now: %s", req.Member, strings.Join(decide.Texts(bad), "; "))
	}
	p := planned{mends: req.Member, cmd: state.Command{Mend: &state.MendPage{Member: req.Member, Incarnation: m.Incarnation, Page: req.Page,
		From: req.From, Reason: "mend " + req.Page + " of " + req.Member}}}
	p.answer.Target = req.Member
	p.answer.Plan = []string{"while " + req.Member + " is stopped, commits have enough other replicas"}
	if m.Excluded != "" {
		p.answer.Warnings = []string{req.Member + " stays excluded: " + m.Excluded + "; once a scan and a comparison find nothing, run " +
			"`mainstay integrity clear`"}
	}
	return p, nil
}
