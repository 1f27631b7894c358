package api

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/config"
	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing/program"
)

// stamp is the wall clock for records, for people only.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func (a *API) platform(ctx context.Context, _ *request) (any, error) {
	look, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	s := look.Input.State
	return wire.PlatformAnswer{Version: s.PlatformVersion, Platform: s.Applied()}, nil
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
	req.Platform.FillDefaults() // the command of an earlier version does not say all
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
	if err := s.CheckChange(req.Platform, req.Remove); err != nil {
		return nil, &Refused{err}
	}
	if err := stillGuarded(look, req.Platform); err != nil {
		return nil, &Refused{err}
	}
	if err := unwatched(look.Input, req.Platform); err != nil {
		return nil, &Refused{err}
	}
	if err := unpermitted(look.Input, req.Platform); err != nil {
		return nil, &Refused{err}
	}
	out := wire.ApplyAnswer{Version: s.PlatformVersion, Old: s.Applied(), Notes: a.notAllowed(ctx, req.Platform)}
	if req.DryRun {
		return out, nil
	}
	// Based on the version just judged, so that nobody's change in between is overwritten unseen.
	cmd := state.Command{At: stamp(time.Now()), By: q.who.Name, Platform: &state.SetPlatform{Platform: req.Platform, Base: s.PlatformVersion, Remove: req.Remove}}
	if err := a.Loop.Submit(ctx, cmd); err != nil {
		return nil, err
	}
	out.Version, out.Applied = s.PlatformVersion+1, true
	return out, nil
}

// notAllowed names, for each controller, the programs of a platform that its own file does not allow: it would not run them. That is no
// reason to refuse the platform, for the files may follow.
func (a *API) notAllowed(ctx context.Context, p *platform.Platform) (notes []string) {
	wanted := p.Programs()
	if len(wanted) == 0 {
		return nil
	}
	list, err := a.Controllers.List(ctx)
	if err != nil {
		return []string{"which programs the controllers allow is not known: " + err.Error()}
	}
	for _, c := range list.Members {
		switch err := program.Allowed(c.Programs).Missing(wanted); {
		case !c.Reached:
			line := program.Allowed(nil).With(wanted...)
			notes = append(notes, fmt.Sprintf("controller %s does not answer; its own file must say `%s`", c.Name, line))
		case err != nil:
			notes = append(notes, "controller "+c.Name+": "+err.Error())
		}
	}
	return notes
}

// stillGuarded: a cluster that would be removed is paused, but its primary's guards have not let go yet (L7).
func stillGuarded(look loop.Look, next *platform.Platform) error {
	in := look.Input
	if in.State.Platform == nil {
		return nil
	}
	for _, cl := range in.State.Platform.Clusters {
		p := cl.Member(in.State.Clusters[cl.Name].Primary)
		if next.Cluster(cl.Name) != nil || p == nil {
			continue
		}
		if m := in.View.Member(p); m != nil && !m.Guard.Armed.IsZero() {
			return fmt.Errorf("cluster %s: the guards of %s have not let go of it yet; try again in a moment", cl.Name, p.Name)
		}
	}
	return nil
}

// unwatched: a host would newly require a watchdog, and none is armed on it: the primary there would get no lease any more,
// and be killed. It is no rule of the log, which knows no reports.
func unwatched(in decide.Input, next *platform.Platform) error {
	if in.State.Platform == nil {
		return nil
	}
	for _, cl := range in.State.Platform.Clusters {
		p := cl.Member(in.State.Clusters[cl.Name].Primary)
		if p == nil {
			continue
		}
		now, then := in.State.Platform.Host(p.Host), next.Host(p.Host)
		if now == nil || then == nil || then.Watchdog != platform.WatchdogRequired || now.Watchdog == platform.WatchdogRequired {
			continue
		}
		if m := in.View.Member(p); m == nil || m.Guard.Watchdog == nil || !m.Guard.Watchdog.Armed {
			return fmt.Errorf("host %s: watchdog: required would end %s, the primary of %s, for no watchdog is armed there; apply automatic first, and required once `status` shows it armed",
				p.Host, p.Name, cl.Name)
		}
	}
	return nil
}

// unpermitted: an app would newly run with its primary, and an agent says nothing of its instance, which runs without a permit
// so far: it would go on wherever the pool is, and nobody could count it out. It is no rule of the log, which knows no reports.
func unpermitted(in decide.Input, next *platform.Platform) error {
	if in.State.Platform == nil {
		return nil
	}
	for i := range next.Apps {
		app := &next.Apps[i]
		old := in.State.Platform.App(app.Name)
		if old == nil || old.Run == app.Run || app.Run != platform.RunWithPrimary {
			continue
		}
		for n := range app.Instances {
			if inst := &app.Instances[n]; old.Instance(inst.Name) != nil && decide.Seen(in, inst) == nil {
				return fmt.Errorf("app %s: run: with-primary cannot stop %s, for the agent of %s says nothing of it now; apply it when that agent answers, or without the instance once that is off",
					app.Name, inst.Name, inst.Host)
			}
		}
	}
	return nil
}
