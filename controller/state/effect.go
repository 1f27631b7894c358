package state

import (
	"fmt"

	"mainstay/controller/platform"
)

// Effect is an action outside the log, repeated until its result is committed. The intent is committed first, so that the next
// leader continues with it (S7).
type Effect struct {
	Kind  EffectKind
	Host  string // of a power action
	Fence uint64 // the number of the host's fence
	// Of a site switchover: its id, and the hook's number or the instance to ask.
	Change        string
	Hook          int
	App, Instance string
}

// EffectKind names an effect.
type EffectKind string

const (
	PowerOff EffectKind = "power-off"
	PowerOn  EffectKind = "power-on"
	RunHook  EffectKind = "hook"
	// Quiesce, Resume and Verify ask an instance by the app's own URLs.
	Quiesce EffectKind = "quiesce"
	Resume  EffectKind = "resume"
	Verify  EffectKind = "verify"
)

// Key identifies a hook or request within a site switchover.
func (e Effect) Key() string {
	if e.Kind == RunHook {
		return fmt.Sprintf("hook %d", e.Hook)
	}
	return fmt.Sprintf("%s %s", e.Kind, e.Instance)
}

// Effects are those that are wanted and not yet confirmed, in a fixed order.
func (s *State) Effects() []Effect {
	var all []Effect
	for _, host := range s.FencedHosts() {
		switch f := s.Fences[host]; {
		case f.Release:
			all = append(all, Effect{Kind: PowerOn, Host: host, Fence: f.Number})
		case !f.Off:
			all = append(all, Effect{Kind: PowerOff, Host: host, Fence: f.Number})
		}
	}
	return append(all, s.changeEffects()...)
}

// changeEffects are the effects of a site switchover's current step: its hooks, and requests to app servers.
func (s *State) changeEffects() []Effect {
	ch := s.Change
	if ch == nil || ch.Halted != "" {
		return nil
	}
	if ch.Undoing {
		if ch.Step == platform.StepApps {
			return s.asks(Resume)
		}
		return nil
	}
	if ch.Ready(s.Platform, ch.Step, "before") != nil {
		return s.hooks(ch.Step, "before")
	}
	var all []Effect
	switch ch.Step {
	case platform.StepQuiesce:
		all = s.asks(Quiesce)
	case platform.StepApps:
		all = s.asks(Resume)
	case platform.StepVerify:
		all = s.asks(Verify)
	}
	if ch.Worked {
		all = append(all, s.hooks(ch.Step, "after")...)
	}
	return all
}

// hooks returns the first unanswered hook before or after a step: hooks run one after the other.
func (s *State) hooks(step, when string) []Effect {
	for _, n := range s.Platform.HooksAt(step, when) {
		e := Effect{Kind: RunHook, Change: s.Change.ID, Hook: n}
		if _, ok := s.Change.Answers[e.Key()]; !ok {
			return []Effect{e}
		}
	}
	return nil
}

// asks are the requests of one kind that no instance has confirmed.
func (s *State) asks(kind EffectKind) (all []Effect) {
	for n := range s.Platform.Apps {
		conf := &s.Platform.Apps[n]
		for i := range conf.Instances {
			e := Effect{Kind: kind, Change: s.Change.ID, App: conf.Name, Instance: conf.Instances[i].Name}
			if s.asked(conf, &conf.Instances[i], kind) && !s.Change.Answers[e.Key()].OK {
				all = append(all, e)
			}
		}
	}
	return all
}

// asked tells whether an instance gets a request. An app that runs on both sites must refuse writes during the move and take them
// again afterwards; resume also goes to an instance whose answer was lost, because it may refuse writes. Each app is verified
// through one instance of the new site.
func (s *State) asked(conf *platform.App, i *platform.Instance, kind EffectKind) bool {
	everywhere := conf.Run != platform.RunWithPrimary
	switch kind {
	case Quiesce:
		return everywhere && conf.Quiesce != "" && s.Serves(conf, i.Name)
	case Resume:
		return everywhere && conf.Resume != "" && (s.Change.Quieted(i.Name) || s.Serves(conf, i.Name))
	}
	return conf.Verify != "" && i.Name == s.verifier(conf)
}

// verifier is the first instance on the new site that takes requests; "" for none.
func (s *State) verifier(conf *platform.App) string {
	for i := range conf.Instances {
		if name := conf.Instances[i].Name; conf.Instances[i].Site == s.Change.To && s.Serves(conf, name) {
			return name
		}
	}
	return ""
}
