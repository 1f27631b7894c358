package api

import (
	"context"
	"time"

	"mainstay/controller/config"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// stamp is the wall clock for records, for people only.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func (a *API) platform(ctx context.Context, _ *request) (any, error) {
	look, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	s := look.Input.State
	return wire.PlatformAnswer{Version: s.PlatformVersion, Platform: s.Platform}, nil
}

// apply stores a platform. It is judged here again, whatever the client has judged: by the file's rules, then by what the
// step from the platform in force would break.
func (a *API) apply(ctx context.Context, q *request) (any, error) {
	var req wire.ApplyRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.Platform == nil {
		return nil, badRequest(`field "platform" is missing`)
	}
	if err := config.Validate(req.Platform); err != nil {
		return nil, badRequest("the platform is not valid: %w", err)
	}
	look, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	s := look.Input.State
	if req.Base != 0 && req.Base != s.PlatformVersion {
		return nil, state.ErrPlatformMoved
	}
	if err := s.CheckChange(req.Platform); err != nil {
		return nil, &Refused{err}
	}
	out := wire.ApplyAnswer{Version: s.PlatformVersion, Old: s.Platform}
	if req.DryRun {
		return out, nil
	}
	// Based on the version just judged, so that nobody's change in between is overwritten unseen.
	cmd := state.Command{At: stamp(time.Now()), By: q.who.Name, Platform: &state.SetPlatform{Platform: req.Platform, Base: s.PlatformVersion}}
	if err := a.Loop.Submit(ctx, cmd); err != nil {
		return nil, err
	}
	out.Version, out.Applied = s.PlatformVersion+1, true
	return out, nil
}
