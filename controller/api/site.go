package api

import (
	"context"
	"net/http"
	"strings"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// approve lets a failover leave the primary's site.
func (a *API) approve(ctx context.Context, q *request) (any, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	id := q.PathValue("id")
	for _, name := range snapshot.Input.State.ClusterNames() {
		c := snapshot.Input.State.Clusters[name]
		if c.Attempt == nil || c.Attempt.Operation != id {
			continue
		}
		cmd := state.Command{Cluster: name, Approve: &state.Approve{Operation: id}}
		answer := wire.OperationAnswer{Operation: id, Plan: []string{"the failover of " + name + " may move its primary to another site"}}
		return a.change(ctx, q, false, cmd, answer, snapshot.Input.State)
	}
	return nil, refused("no failover %s is running; %s", id, wire.ApprovalsNow(waiting(snapshot)))
}

// waiting are the operations that wait for an approval.
func waiting(snapshot loop.Snapshot) (operations []string) {
	for _, p := range snapshot.Last.Problems {
		if c := snapshot.Input.State.Clusters[p.Cluster]; p.Kind == health.ApprovalNeeded && c != nil && c.Attempt != nil {
			operations = append(operations, c.Attempt.Operation)
		}
	}
	return operations
}

// siteSwitchover begins to move the platform to a site, unless a check fails.
func (a *API) siteSwitchover(ctx context.Context, q *request) (any, error) {
	var req wire.SiteSwitchoverRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.To == "" {
		return nil, badRequest(`field "to" is missing: name the site`)
	}
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s := snapshot.Input.State
	reason := "asked by " + q.who.Name
	if req.Reason != "" {
		reason += ": " + req.Reason
	}
	cmd := state.Command{By: q.who.Name, BeginSite: &state.BeginSite{To: req.To, Reason: reason}}
	next, err := state.Apply(s, s.Index+1, cmd) // refuses an unknown site before the checks
	if err != nil {
		return nil, refused("%v", err)
	}
	bad := decide.CheckSite(snapshot.Input, req.To)
	waits := decide.OnlyBackups(bad)
	if len(bad) > 0 && !(waits && req.DryRun) {
		why := refused("the platform cannot move to site %s now: %s", req.To, strings.Join(decide.Texts(bad), "; "))
		if waits {
			return nil, &faultError{status: http.StatusConflict, code: wire.CodeBackup, err: why}
		}
		return nil, why
	}
	answer := wire.OperationAnswer{Operation: next.Change.ID, Target: req.To, Plan: decide.PlanSite(snapshot.Input, req.To),
		Warnings: decide.SiteSlotWarnings(snapshot.Input, req.To)}
	if req.DryRun {
		answer.Operation = ""
	}
	return a.change(ctx, q, req.DryRun, cmd, answer, s)
}

// siteDecision takes an operator's decision about a halted site switchover.
func (a *API) siteDecision(ctx context.Context, q *request) (any, error) {
	var req wire.SiteDecisionRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	id := q.PathValue("id")
	cmd := state.Command{StepSite: &state.StepSite{Change: id, Version: req.Version, Decision: req.Decision}}
	return a.change(ctx, q, false, cmd, wire.OperationAnswer{Operation: id, Plan: []string{req.Decision + " of site switchover " + id}},
		snapshot.Input.State)
}

func (a *API) siteSwitchovers(ctx context.Context, _ *request) (any, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	ops := snapshot.Input.State.Changes
	return wire.HistoryAnswer{Operations: append([]state.Operation{}, ops[max(0, len(ops)-defaultHistory):]...)}, nil
}

// siteSwitchoverOf shows one site switchover. With ?wait=1 it is held until that has ended or halted, at most waitHold.
func (a *API) siteSwitchoverOf(ctx context.Context, q *request) (any, error) {
	if _, err := a.snapshot(ctx); err != nil {
		return nil, err
	}
	hold, cancel := context.WithTimeout(ctx, waitHold)
	defer cancel()
	for {
		changed := a.States.Changed()
		s := a.States.State()
		op := changeOf(s, q.PathValue("id"))
		if op == nil {
			return nil, notThere("there is no site switchover %s; `mainstay site history` lists them", q.PathValue("id"))
		}
		answer := wire.HistoryAnswer{Operations: []state.Operation{*op}}
		if s.Change != nil && s.Change.ID == op.ID {
			answer.Halted = wire.HaltedAt(s.Change)
		}
		if q.URL.Query().Get("wait") != "1" || op.Result != state.Running || answer.Halted != nil {
			return answer, nil
		}
		select {
		case <-changed:
		case <-hold.Done():
			return answer, ctx.Err()
		}
		if !a.Controllers.Leading() {
			return nil, loop.ErrNotLeader // the new leader continues it
		}
	}
}

func changeOf(s *state.State, id string) *state.Operation {
	for i := range s.Changes {
		if s.Changes[i].ID == id {
			return &s.Changes[i]
		}
	}
	return nil
}

// appStates are the states of the apps for status.
func appStates(snapshot loop.Snapshot) (out []wire.AppState) {
	s := snapshot.Input.State
	for i := range s.Platform.Apps {
		conf, a := &s.Platform.Apps[i], s.Apps[s.Platform.Apps[i].Name]
		if a == nil {
			continue
		}
		app := wire.AppState{Name: conf.Name, Run: conf.Run, Needs: conf.Needs, Minimum: conf.Minimum, Site: a.Site, Moving: a.Moving,
			Now: snapshot.Last.Reasons.Of("app " + conf.Name).String(), Instances: []wire.InstanceStatus{}}
		for n := range conf.Instances {
			i := &conf.Instances[n]
			seen := decide.Seen(snapshot.Input, i)
			st := wire.InstanceStatus{Name: i.Name, Site: i.Site, Host: i.Host, Address: i.Address, Goal: s.Wants(conf, i.Name),
				Serves: s.Serves(conf, i.Name),
				Out:    a.Out[i.Name], Restart: a.Restarts[i.Name], Seen: seen}
			st.Health, st.Reaches, st.Error = decide.Verdict(snapshot.Input, conf, i.Name)
			if i.Host != "" {
				st.Age = snapshot.Input.View.Silence(i.Host, snapshot.Input.Now)
			}
			app.Instances = append(app.Instances, st)
		}
		out = append(out, app)
	}
	return out
}

func siteChange(snapshot loop.Snapshot) *wire.SiteChange {
	ch := snapshot.Input.State.Change
	if ch == nil {
		return nil
	}
	return &wire.SiteChange{SiteChange: *ch, Now: snapshot.Last.Reasons.Of("site switchover").String()}
}
