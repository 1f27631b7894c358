package decide

import (
	"math"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

const (
	// checksSettle is how long a new leader begins no check: until then not all agents have told it of theirs.
	checksSettle = 10 * time.Second
	// checkRetry is the longest pause after a check that did not reach its end.
	checkRetry = 10 * time.Minute
	// checkSilence is for how long a check still counts as running whose agent is silent: it may continue without being heard.
	checkSilence = 10 * time.Minute
)

// checkView is one cluster's deep checks as the leader sees them.
type checkView struct {
	clusterView
	planned []health.PlannedCheck
	running string              // the member whose agent makes one now; "" for none
	now     platform.CheckDepth // which
	member  []string            // of planned: that would make it next; "" for none
}

// PlannedChecks lists the deep checks of a cluster's members: those that are scheduled, and those that an agent has made. The comparison
// comes first, then replicas before the primary.
func PlannedChecks(in Input, cluster string) []health.PlannedCheck {
	v := viewChecks(in, cluster)
	if v == nil {
		return nil
	}
	var all []health.PlannedCheck
	for _, p := range v.planned {
		if p.EverySeconds > 0 || p.Checked != (health.Checked{}) {
			all = append(all, p)
		}
	}
	return all
}

// CheckOrder says which agent of a cluster makes which deep check now: one at a time, the one that has been due for the longest; at first
// the comparison, then replicas before the primary.
// "" for none. It is volatile, like the reports that it rests on: no decision depends on it, and it is sent with answers to reports.
func CheckOrder(in Input, cluster string) (member string, order platform.CheckOrder) {
	conf := in.State.ClusterConfig(cluster)
	if conf == nil || conf.Integrity == nil { // the common case
		return "", order
	}
	v := viewChecks(in, cluster)
	if v == nil {
		return "", order
	}
	of := func(d platform.CheckDepth, hold bool) platform.CheckOrder {
		p := conf.Integrity.Plan(d)
		return platform.CheckOrder{Depth: d, Rate: p.Rate, Share: p.Share, Full: p.Full, Hold: hold}
	}
	hold := v.held() != ""
	if v.running != "" {
		r := v.known(v.running)
		if r.Checks.Of(v.now).Scheduled && conf.Integrity.Plan(v.now).Every > 0 {
			return v.running, of(v.now, hold)
		}
		return "", order // an operator's, or one that the platform file no longer asks for
	}
	if hold || in.Now-in.View.Since < checksSettle {
		return "", order
	}
	best := -1
	for n, p := range v.planned {
		if p.EverySeconds > 0 && p.NextMS == 0 && v.member[n] != "" && (best < 0 || overdue(p) > overdue(v.planned[best])) {
			best = n
		}
	}
	if best < 0 {
		return "", order
	}
	return v.member[best], of(v.planned[best].Depth, false)
}

// overdue is for how many seconds a check has been due; one that was never made comes before all others.
func overdue(p health.PlannedCheck) float64 {
	if p.DoneMS == 0 {
		return math.Inf(1)
	}
	return float64(p.DoneMS)/1000 - p.EverySeconds
}

func viewChecks(in Input, cluster string) *checkView {
	conf, c := in.State.ClusterConfig(cluster), in.State.Clusters[cluster]
	if conf == nil || c == nil {
		return nil
	}
	v := &checkView{clusterView: clusterView{Input: in, c: c, conf: conf}}
	for i := range conf.Members {
		m := &conf.Members[i]
		if r := v.known(m.Name); r != nil && r.Checks != nil && v.View.Silence(m.Host, v.Now) < checkSilence && v.running == "" {
			for _, d := range []platform.CheckDepth{platform.CheckCompare, platform.CheckStructure} {
				if r.Checks.Of(d).Running {
					v.running, v.now = m.Name, d
				}
			}
		}
	}
	v.comparison()
	order := v.replicas()
	if c.Primary != "" {
		order = append(slices.Clone(order), c.Primary)
	}
	for _, name := range order {
		p := health.PlannedCheck{Depth: platform.CheckStructure, Member: name, By: name, Checked: v.checked(name, platform.CheckStructure)}
		v.plan(p, v.calm(name))
	}
	return v
}

// comparison plans the comparison of the cluster's members: the newest of any of their agents counts.
func (v *checkView) comparison() {
	p := health.PlannedCheck{Depth: platform.CheckCompare}
	able, by := 0, ""
	for i := range v.conf.Members {
		name := v.conf.Members[i].Name
		c := v.checked(name, platform.CheckCompare)
		if newest(&p.DoneMS, c.DoneMS) && !p.Running || c.Running {
			p.By = name
		}
		if newest(&p.TriedMS, c.TriedMS) && !p.Running {
			p.Ended = c.Ended
		}
		if c.Running {
			p.Running, p.Scheduled, p.Percent, p.Waiting = true, c.Scheduled, c.Percent, c.Waiting
		}
		if v.calm(name) != "" {
			able++
			if by == "" && name != v.c.Primary {
				by = name
			}
		}
	}
	if v.conf.Integrity.Plan(p.Depth).Full > 0 && p.By != v.c.Primary && p.By != "" && v.calm(p.By) != "" {
		by = p.By // whose agent has what an incremental comparison rests on
	}
	if able < 2 {
		by = ""
	}
	v.plan(p, by)
}

// newest keeps the smaller of two ages; 0 is none.
func newest(of *int64, age int64) bool {
	if age == 0 || *of != 0 && *of <= age {
		return false
	}
	*of = age
	return true
}

// checked are a member's checks, by its last report, however old.
func (v *checkView) checked(name string, d platform.CheckDepth) health.Checked {
	r := v.known(name)
	if r == nil {
		return health.Checked{}
	}
	c := r.Checks.Of(d)
	silence := v.View.Silence(v.conf.Member(name).Host, v.Now)
	c.Running = c.Running && silence < checkSilence
	for _, age := range []*int64{&c.DoneMS, &c.TriedMS} {
		if *age > 0 {
			*age += silence.Milliseconds()
		}
	}
	return c
}

// calm is the member's name if it runs as primary or as a replica that streams, and its agent makes checks; else "".
func (v *checkView) calm(name string) string {
	r := v.fresh(name)
	if r == nil || r.Checks == nil || r.Process != health.ProcessRunning || v.conf.Member(name).Leaving ||
		name != v.c.Primary && !r.Streams() {
		return ""
	}
	return name
}

// plan adds a check, which the agent of by would make next.
func (v *checkView) plan(p health.PlannedCheck, by string) {
	plan := v.conf.Integrity.Plan(p.Depth)
	p.EverySeconds, p.FullSeconds = plan.Every.Seconds(), plan.Full.Seconds()
	if plan.Every > 0 && !p.Running {
		every, wait := plan.Every.Milliseconds(), int64(0)
		if p.DoneMS > 0 {
			wait = every - p.DoneMS
		}
		if p.TriedMS > 0 && (p.DoneMS == 0 || p.TriedMS < p.DoneMS) {
			wait = max(wait, min(every, checkRetry.Milliseconds())-p.TriedMS)
		}
		switch p.NextMS = max(0, wait); {
		case p.NextMS > 0:
		case v.held() != "":
			p.Hold = v.held()
		case v.running != "":
			p.Hold = "the agent of " + v.running + " makes another check (" + string(v.now) + ")"
		case by == "" && p.Depth == platform.CheckCompare:
			p.Hold = "no two members run of which one is a replica that streams"
		case by == "":
			p.Hold = "the member does not run, or does not stream"
		}
	}
	v.planned, v.member = append(v.planned, p), append(v.member, by)
}

// held is why no check works now; "" for nothing.
func (v *checkView) held() string {
	switch {
	case v.c.Primary == "" || !v.c.Opened:
		return "the cluster has no open primary"
	case v.c.Pause != nil:
		return "the cluster is paused"
	case v.c.Attempt != nil:
		return "the primary is being changed"
	case v.State.Change != nil:
		return "a site switchover is running"
	}
	return ""
}
