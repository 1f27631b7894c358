package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// fence has a host's power cut by its fence devices. Its plan names the members that this stops.
func (a *API) fence(ctx context.Context, q *request) (any, error) {
	var req wire.FenceRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if strings.TrimSpace(req.Reason) == "" {
		return nil, badRequest(`field "reason" is missing: give the reason, which status and history show`)
	}
	snapshot, host, err := a.hostOf(ctx, q)
	if err != nil {
		return nil, err
	}
	cmd := state.Command{Fence: &state.FenceHost{Host: host, Reason: req.Reason}}
	answer := wire.OperationAnswer{Plan: []string{"cut the power of host " + host + " by its fence devices"}}
	for _, name := range decide.MembersOn(snapshot.Input.State, host) {
		answer.Plan = append(answer.Plan, "this stops "+name+ledBy(snapshot.Input.State, name))
	}
	answer.Plan = append(answer.Plan, "until `mainstay unfence "+host+"` no member on it gets a lease")
	return a.change(ctx, q, req.DryRun, cmd, answer, snapshot.Input.State)
}

// ledBy says what happens to the cluster of which a member is primary.
func ledBy(s *state.State, member string) string {
	for _, name := range s.ClusterNames() {
		if s.Clusters[name].Primary == member {
			return ", the primary of " + name + ": another member takes over, if one may"
		}
	}
	return ""
}

// unfence gives a fenced host its power back.
func (a *API) unfence(ctx context.Context, q *request) (any, error) {
	var req wire.FenceRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	snapshot, host, err := a.hostOf(ctx, q)
	if err != nil {
		return nil, err
	}
	cmd := state.Command{Unfence: &state.UnfenceHost{Host: host, Reason: req.Reason}}
	answer := wire.OperationAnswer{
		Plan: []string{"switch host " + host + " on by its fence devices", "its members rejoin as replicas automatically"}}
	return a.change(ctx, q, req.DryRun, cmd, answer, snapshot.Input.State)
}

// fenceState is GET: the progress of a fence.
func (a *API) fenceState(ctx context.Context, q *request) (any, error) {
	snapshot, host, err := a.hostOf(ctx, q)
	if err != nil {
		return nil, err
	}
	return wire.FenceState{Host: host, Fence: snapshot.Input.State.Fences[host]}, nil
}

func (a *API) hostOf(ctx context.Context, q *request) (loop.Snapshot, string, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return snapshot, "", err
	}
	host := q.PathValue("host")
	if p := snapshot.Input.State.Platform; p == nil || p.Host(host) == nil {
		return snapshot, "", notThere("there is no host %q; `mainstay status` lists them", host)
	}
	return snapshot, host, nil
}

// change judges a command about a host on the present state, and commits it unless it is a dry run.
func (a *API) change(ctx context.Context, q *request, dryRun bool, cmd state.Command, answer wire.OperationAnswer,
	s *state.State) (any, error) {
	cmd.By, cmd.At = q.who.Name, stamp(time.Now())
	if _, err := state.Apply(s, s.Index+1, cmd); err != nil {
		return nil, refused("%v", err)
	}
	if answer.DryRun = dryRun; dryRun {
		return answer, nil
	}
	if err := a.Loop.Submit(ctx, cmd); err != nil {
		return nil, fmt.Errorf("not committed: %w", err)
	}
	return answer, nil
}
