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

// stamp is a wall-clock time for records, for people only.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func (a *API) platform(ctx context.Context, _ *request) (any, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s := snapshot.Input.State
	return wire.PlatformAnswer{Version: s.PlatformVersion, Platform: s.Applied()}, nil
}

// apply stores a platform. It does not rely on the client's check: it checks the file's rules again, then the effects of the change from
// the platform in force.
func (a *API) apply(ctx context.Context, q *request) (any, error) {
	var req wire.ApplyRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.Platform == nil {
		return nil, badRequest(`field "platform" is missing`)
	}
	req.Platform.FillDefaults() // a client of an earlier version does not send every field
	if err := config.Validate(req.Platform); err != nil {
		return nil, badRequest("the platform is not valid: %w", err)
	}
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s := snapshot.Input.State
	if req.Base != 0 && req.Base != s.PlatformVersion {
		return nil, state.ErrPlatformMoved
	}
	if err := s.CheckChange(req.Platform, req.Remove); err != nil {
		return nil, &RefusedError{err}
	}
	if err := stillGuarded(snapshot, req.Platform); err != nil {
		return nil, &RefusedError{err}
	}
	if err := unwatched(snapshot.Input, req.Platform); err != nil {
		return nil, &RefusedError{err}
	}
	if err := unpermitted(snapshot.Input, req.Platform); err != nil {
		return nil, &RefusedError{err}
	}
	out := wire.ApplyAnswer{Version: s.PlatformVersion, Old: s.Applied(), Notes: a.notAllowed(ctx, req.Platform)}
	if req.DryRun {
		return out, nil
	}
	// Based on the version just judged, so that it never overwrites a change made in between.
	cmd := state.Command{At: stamp(time.Now()), By: q.who.Name,
		Platform: &state.SetPlatform{Platform: req.Platform, Base: s.PlatformVersion, Remove: req.Remove}}
	if err := a.Loop.Submit(ctx, cmd); err != nil {
		return nil, err
	}
	out.Version, out.Applied = s.PlatformVersion+1, true
	return out, nil
}

// notAllowed names, for each controller, the programs of a platform that its own file does not allow: it would not run them. The platform
// is accepted nevertheless, because those files may be changed later.
func (a *API) notAllowed(ctx context.Context, p *platform.Platform) (notes []string) {
	wanted := p.Programs()
	if len(wanted) == 0 {
		return nil
	}
	list, err := a.Controllers.List(ctx)
	if err != nil {
		return []string{"it is not known which programs the controllers allow: " + err.Error()}
	}
	for _, c := range list.Members {
		switch err := program.Allowed(c.Programs).Missing(wanted); {
		case !c.Reached:
			line := program.Allowed(nil).With(wanted...)
			notes = append(notes, fmt.Sprintf("controller %s does not answer; its own file must contain `%s`", c.Name, line))
		case err != nil:
			notes = append(notes, "controller "+c.Name+": "+err.Error())
		}
	}
	return notes
}

// stillGuarded refuses to remove a paused cluster whose primary's guards have not released it yet (L7).
func stillGuarded(snapshot loop.Snapshot, next *platform.Platform) error {
	in := snapshot.Input
	if in.State.Platform == nil {
		return nil
	}
	for _, cl := range in.State.Platform.Clusters {
		p := cl.Member(in.State.Clusters[cl.Name].Primary)
		if next.Cluster(cl.Name) != nil || p == nil {
			continue
		}
		if m := in.View.Member(p); m != nil && !m.Guard.Armed.IsZero() {
			return fmt.Errorf("cluster %s: the guards of %s have not released it yet; try again in a moment", cl.Name, p.Name)
		}
	}
	return nil
}

// unwatched refuses to require a watchdog of a host where none is armed: the primary there would get no more lease, and be killed. The log
// cannot hold this rule, because it does not see reports.
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
			return fmt.Errorf("host %s: watchdog: required would kill %s, the primary of %s, because no watchdog is armed there; "+
				"apply automatic first, and required once `status` shows it armed",
				p.Host, p.Name, cl.Name)
		}
	}
	return nil
}

// unpermitted refuses to run an app with its primary while an agent does not report its instance: that instance may run without a permit,
// so it would keep running on any site and could not be counted out. It is not a rule of the log, which does not see reports.
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
				return fmt.Errorf("app %s: run: with-primary cannot stop %s, because the agent of %s does not report it now; "+
					"apply it when that agent answers, or without the instance once that is off",
					app.Name, inst.Name, inst.Host)
			}
		}
	}
	return nil
}
