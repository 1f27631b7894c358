package state

import (
	"fmt"
	"maps"
	"slices"

	"mainstay/controller/platform"
)

// App is the replicated state of an app: the goals of its instances. Their health is volatile.
type App struct {
	Name string `json:"name"`
	// Version grows with every change of this app; a command names the version it was decided on.
	Version uint64 `json:"version"`
	// Site is where a pool that runs with its primary runs; "" before it has a primary, and for a pool that runs everywhere.
	Site string `json:"site,omitempty"`
	// Moving: the instances of Site wait until those of every other site have certainly stopped. Two sites are never active.
	Moving bool `json:"moving,omitempty"`
	// Out are the instances that are out of routing because they are down, each with its reason. It is replaced, never edited.
	Out map[string]string `json:"out,omitempty"`
	// Restarts numbers the wanted restarts of each instance, and ConsecutiveRestarts counts those since it was last well. Both are replaced,
	// never edited.
	Restarts            map[string]uint64 `json:"restarts,omitempty"`
	ConsecutiveRestarts map[string]int    `json:"row,omitempty"`
}

// ChangeApp changes an app's goals. Exactly one of Move, Ready, Out, In and Restart is set.
type ChangeApp struct {
	App           string `json:"app"`
	Version       uint64 `json:"version"`
	Move          string `json:"move,omitempty"`    // the pool moves to that site
	Ready         bool   `json:"ready,omitempty"`   // every instance elsewhere has certainly stopped
	OutOfRouting  string `json:"out,omitempty"`     // the instance leaves routing
	BackInRouting string `json:"in,omitempty"`      // the instance is well: it returns to routing
	Restart       string `json:"restart,omitempty"` // the instance is restarted
	Reason        string `json:"reason"`
}

func (s *State) applyApp(cmd Command) error {
	c := cmd.App
	old := s.Apps[c.App]
	if old == nil || s.Platform.App(c.App) == nil {
		return fmt.Errorf("there is no app %q; `mainstay status` lists them", c.App)
	}
	if c.Version != 0 && c.Version != old.Version {
		return fmt.Errorf("%w (app %s: version %d, now %d)", ErrMoved, c.App, c.Version, old.Version)
	}
	for _, name := range []string{c.OutOfRouting, c.BackInRouting, c.Restart} {
		if name != "" && s.Platform.App(c.App).Instance(name) == nil {
			return fmt.Errorf("app %s has no instance %s", c.App, name)
		}
	}
	a := *old
	switch {
	case c.Move != "":
		a.Site, a.Moving = c.Move, true
	case c.Ready:
		a.Moving = false
	case c.OutOfRouting != "":
		a.Out = copyOf(a.Out)
		a.Out[c.OutOfRouting] = c.Reason
	case c.BackInRouting != "":
		a.Out, a.ConsecutiveRestarts = copyOf(a.Out), copyOf(a.ConsecutiveRestarts)
		delete(a.Out, c.BackInRouting)
		delete(a.ConsecutiveRestarts, c.BackInRouting)
	case c.Restart != "":
		a.Restarts, a.ConsecutiveRestarts = copyOf(a.Restarts), copyOf(a.ConsecutiveRestarts)
		a.Restarts[c.Restart]++
		a.ConsecutiveRestarts[c.Restart]++
	default:
		return fmt.Errorf("app %s: the command changes nothing", c.App)
	}
	s.putApp(a)
	return nil
}

func (s *State) putApp(a App) {
	a.Version++
	s.Apps = copyOf(s.Apps)
	s.Apps[a.Name] = &a
}

// configureApps makes the apps those of the platform. The state of an app that stays is kept, except for removed instances.
func (s *State) configureApps(p *platform.Platform) {
	apps := map[string]*App{}
	for i := range p.Apps {
		conf := &p.Apps[i]
		a := App{Name: conf.Name}
		if old := s.Apps[conf.Name]; old != nil {
			a = *old
		}
		if conf.Run != platform.RunWithPrimary {
			a.Site, a.Moving = "", false
		}
		a.Out, a.Restarts, a.ConsecutiveRestarts = only(a.Out, conf), only(a.Restarts, conf), only(a.ConsecutiveRestarts, conf)
		a.Version++
		apps[conf.Name] = &a
	}
	s.RemovedApps = gone(s.RemovedApps, s.Apps, apps)
	s.Apps = apps
}

// gone are the removed apps, in a fixed order.
func gone(before []string, old, now map[string]*App) (names []string) {
	all := slices.AppendSeq(slices.Clone(before), maps.Keys(old))
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		if now[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

func only[V any](m map[string]V, conf *platform.App) map[string]V {
	kept := map[string]V{}
	for name, v := range m {
		if conf.Instance(name) != nil {
			kept[name] = v
		}
	}
	return kept
}

// AppNames lists the apps in the platform's order.
func (s *State) AppNames() []string {
	var names []string
	for i := range s.Platform.Apps {
		names = append(names, s.Platform.Apps[i].Name)
	}
	return names
}

// AppCluster is the cluster whose primary an app runs with; nil for an app that runs everywhere.
func (s *State) AppCluster(conf *platform.App) *Cluster {
	if conf.Run != platform.RunWithPrimary || len(conf.Needs) == 0 {
		return nil
	}
	return s.Clusters[conf.Needs[0]]
}

// Serves tells whether an instance should take requests: its goal is WantRunning, and it is not out of routing.
func (s *State) Serves(conf *platform.App, instance string) bool {
	a, i := s.Apps[conf.Name], conf.Instance(instance)
	return a != nil && i != nil && a.Out[instance] == "" && s.wants(conf, i) == platform.WantRunning
}

// Wants is the state wanted of an instance.
func (s *State) Wants(conf *platform.App, instance string) platform.Wanting {
	if i := conf.Instance(instance); i != nil {
		return s.wants(conf, i)
	}
	return platform.WantNothing
}

// wants is the state wanted of an instance. A site switchover keeps whole pools stopped between two sites. So does a primary that
// has moved to another site before its pool: a goal to run must never name a primary of another site, whose agent would extend
// the permit for as long as it leads.
func (s *State) wants(conf *platform.App, i *platform.Instance) platform.Wanting {
	a := s.Apps[conf.Name]
	switch {
	case a == nil:
		return platform.WantNothing
	case conf.Run != platform.RunWithPrimary:
		return platform.WantRunning
	case a.Site == "":
		return platform.WantNothing
	case i.Site != a.Site || a.Moving || s.Change.stops(s.Platform) || a.Site != s.primarySite(conf):
		return platform.WantStopped
	}
	return platform.WantRunning
}

// primarySite is the site of the primary that a pool runs with.
func (s *State) primarySite(conf *platform.App) string {
	if c := s.AppCluster(conf); c != nil {
		return s.PrimarySite(c.Name)
	}
	return ""
}

// InstanceGoals are the goals of the app servers of a host, by name. A fenced host gets none.
func (s *State) InstanceGoals(host string) map[string]platform.InstanceGoal {
	if s.Platform == nil || s.FencedOff(host) != nil {
		return nil
	}
	var goals map[string]platform.InstanceGoal
	for n := range s.Platform.Apps {
		conf := &s.Platform.Apps[n]
		for j := range conf.Instances {
			if i := &conf.Instances[j]; i.Host == host {
				if goals == nil {
					goals = map[string]platform.InstanceGoal{}
				}
				goals[i.Name] = s.instanceGoal(conf, i)
			}
		}
	}
	return goals
}

func (s *State) instanceGoal(conf *platform.App, i *platform.Instance) platform.InstanceGoal {
	g := platform.InstanceGoal{App: conf.Name, Want: s.wants(conf, i), Drain: conf.Drain}
	if a := s.Apps[conf.Name]; a != nil {
		g.Restart = a.Restarts[i.Name]
	}
	if c := s.AppCluster(conf); c != nil && g.Want != platform.WantNothing { // an instance that stops needs a permit while it drains
		g.Permit = platform.Permit(s.ClusterConfig(c.Name).Lease)
		g.Cluster, g.Primary, g.Epoch = c.Name, c.Primary, c.Epoch
	}
	return g
}
