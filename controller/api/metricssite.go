package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// The metrics of sites and apps, from the leader alone.
var (
	mSiteLost = desc("site_lost", "1 while the whole site is lost.", "site")
	mChange   = desc("site_switchover_running", "1 while a site switchover is running.")
	mHalted   = desc("site_switchover_halted", "1 while a site switchover waits for an operator's decision.")
	mApproval = desc("cluster_waits_for_approval", "1 while a failover waits for an operator to let it leave the site.", "cluster")

	mWanted  = desc("app_instances_wanted", "Instances that should run.", "app", "site")
	mRunning = desc("app_instances_running", "Instances that run, by their agents' reports.", "app", "site")
	mWell    = desc("app_instances_well", "Instances that a majority of the controllers sees well.", "app", "site")
	mServing = desc("app_instances_in_routing", "Instances that should take requests.", "app", "site")

	siteMetrics = []*prometheus.Desc{mSiteLost, mChange, mHalted, mApproval, mWanted, mRunning, mWell, mServing}
)

func (e emitter) sites(snapshot loop.Snapshot) {
	s := snapshot.Input.State
	lost, waits := map[string]bool{}, map[string]bool{}
	for _, p := range snapshot.Last.Problems {
		lost[p.Site] = lost[p.Site] || p.Kind == health.SiteLost
		waits[p.Cluster] = waits[p.Cluster] || p.Kind == health.ApprovalNeeded
	}
	for _, site := range s.Platform.Sites {
		e.Flag(mSiteLost, lost[site.Name], site.Name)
	}
	for _, c := range s.Platform.Clusters {
		e.Flag(mApproval, waits[c.Name], c.Name)
	}
	e.Flag(mChange, s.Change != nil)
	e.Flag(mHalted, s.Change != nil && s.Change.Halted != "")
	for _, a := range appStates(snapshot) {
		e.app(a)
	}
}

func (e emitter) app(a wire.AppState) {
	for _, n := range []struct {
		of     *prometheus.Desc
		counts func(wire.InstanceStatus) bool
	}{
		{mWanted, func(i wire.InstanceStatus) bool { return i.Goal == platform.WantRunning }},
		{mRunning, func(i wire.InstanceStatus) bool { return i.Seen != nil && i.Seen.Running }},
		{mWell, func(i wire.InstanceStatus) bool { return i.Health == health.Well }},
		{mServing, func(i wire.InstanceStatus) bool { return i.Serves }},
	} {
		sites := map[string]float64{}
		for _, i := range a.Instances {
			sites[i.Site] += 0 // a site without one has a metric too
			if n.counts(i) {
				sites[i.Site]++
			}
		}
		for site, count := range sites {
			e.Gauge(n.of, count, a.Name, site)
		}
	}
}
