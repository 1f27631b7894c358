package decide

import (
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// Input is everything a decision may depend on.
type Input struct {
	State  *state.State
	View   *health.View
	Leases *fencing.Leases
	// OtherGroup says when the agent of a host last told that it obeys another group of this generation.
	OtherGroup map[string]time.Duration
	// Controllers are the names of the controllers that vote in the log, this one among them: the expected observers.
	Controllers []string
	// Self is this controller's name, Site where it is ("" if it does not say).
	Self, Site string
	// Hypothetical: this is a prediction's copy. An operation begun on it has an id that no operator can name.
	Hypothetical bool
	// Survey: problems on which no decision rests are named too. They are for people, and cost more than the decisions.
	Survey bool
	// Conditions measures how long a condition has held for this leader.
	Conditions *Conditions
	Now        time.Duration // the leader's CLOCK_BOOTTIME
	Wall       time.Time     // its wall clock: for records, the expiry of a pause and when backups are due, nothing else
}

// At is the wall clock as records have it, RFC 3339.
func (in Input) At() string { return in.Wall.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// Decision is what should be done now.
type Decision struct {
	// Commands holds at most one command a subject (a cluster, an app, the site switchover), each decided on this state.
	Commands []state.Command
	// Transfer asks for another leader, because this one's view differs from that of the others.
	Transfer bool
	// Problems are the verdicts about the platform at this moment: all of them in a survey.
	Problems []health.Problem
	// Reasons has one line for each subject that waits: for what, and for how long.
	Reasons Reasons
}

// Next decides for every cluster and app, in the platform's order. It is pure but for Conditions, which it only reads and restarts.
func Next(in Input) Decision {
	in.Conditions.begin(in.Now)
	defer in.Conditions.end()
	d := Decision{Commands: agentRuns(in)}
	if in.Survey && in.State.Platform != nil {
		d.Problems = slices.Concat(recoveryProblems(in), siteProblems(in), controllerProblems(in))
	}
	if in.State.Platform == nil {
		return d
	}
	d.Reasons = make(Reasons, 0, len(in.State.Platform.Clusters)+len(in.State.Platform.Apps))
	for i := range in.State.Platform.Clusters {
		conf := &in.State.Platform.Clusters[i]
		var room struct { // for most clusters' members
			fresh            [5]*health.Member
			replicas, ackers [5]string
		}
		c := &clusterView{Input: in, c: in.State.Clusters[conf.Name], conf: conf, decision: &d,
			members: room.fresh[:0], others: room.replicas[:0], ackers: room.ackers[:0]}
		if c.c == nil {
			continue
		}
		if in.Survey {
			c.paused()
		}
		if in.Survey && c.c.Primary != "" {
			c.problems()
			c.replicationProblems()
			c.freezeProblems()
		}
		cmd, why := c.decide()
		if cmd != nil {
			cmd.Cluster, cmd.Version, cmd.At = conf.Name, c.c.Version, in.At()
			if cmd.By == "" {
				cmd.By = byMainstay
			}
			if cmd.Begin != nil {
				c.noteSlots(cmd.Begin)
			}
			d.Commands = append(d.Commands, *cmd)
		}
		d.because(conf.Name, why)
	}
	apps(in, &d)
	siteChange(in, &d)
	backups(in, &d)
	return d
}

// agentRuns records the run of an agent that speaks for its host, one host at a time.
func agentRuns(in Input) []state.Command {
	if in.State.Platform == nil {
		return nil
	}
	for i := range in.State.Platform.Hosts {
		h := &in.State.Platform.Hosts[i]
		if r := in.View.Report(h.Name); r != nil && r.RunID != "" && r.RunID != in.State.Runs[h.Name] {
			return []state.Command{{By: byMainstay, At: in.At(), AgentRun: &state.AgentRun{Host: h.Name, Run: r.RunID,
				Older: r.OlderThan(in.State.Runs[h.Name])}}}
		}
	}
	return nil
}

// byMainstay is the author of automatic decisions.
const byMainstay = "mainstay"

// clusterView is one cluster as the leader sees it now.
type clusterView struct {
	Input
	c        *state.Cluster
	conf     *platform.Cluster
	decision *Decision

	// Values that one round needs repeatedly, kept once computed; empty before that.
	members []*health.Member // the fresh report of each, nil for none, in the platform's order
	others  []string         // the replicas
	ackers  []string
}

// lasting keeps alive, in each round, the conditions about which only a survey asks: it has a copy of them, so that it begins none.
func (v *clusterView) lasting() {
	v.syncWait()
	if v.c.Primary == "" {
		return
	}
	for i, r := range v.allFresh() {
		if r != nil {
			name := v.conf.Members[i].Name
			v.archiverHeld(name, r)
			if name != v.c.Primary {
				v.notSyncedFor(name, r)
			}
		}
	}
}

func (v *clusterView) decide() (*state.Command, Reason) {
	v.lasting()
	switch {
	case v.c.Primary == "":
		return RuleBootstrap.of(v.bootstrap())
	case v.c.Attempt != nil && v.c.Attempt.Phase == state.PhaseSeal:
		return RuleAttempt.of(v.fence())
	case v.c.Attempt != nil:
		return RuleSwitchover.of(v.handOver())
	}
	if cmd, why := v.pause(); cmd != nil {
		return RuleUpkeep.of(cmd, why)
	}
	if cmd, why := v.unblock(); cmd != nil {
		return RuleUpkeep.of(cmd, why)
	}
	if cmd, why := v.detect(); cmd != nil || why.given() {
		return RuleDetect.of(cmd, why)
	}
	if cmd, why := v.moveSite(); cmd != nil {
		return RuleSite.of(cmd, why)
	}
	return RuleUpkeep.of(v.upkeep())
}

// fenceOf is the fence of a member's host, or nil.
func (v *clusterView) fenceOf(member string) *state.Fence { return v.State.FenceOf(v.c.Name, member) }

// suspect is the silence after which a report no longer counts.
func (v *clusterView) suspect() time.Duration { return platform.Suspect(v.conf.Lease) }

// fresh is a member's report if it still counts, or nil.
func (v *clusterView) fresh(name string) *health.Member {
	for i := range v.conf.Members {
		if v.conf.Members[i].Name == name {
			return v.allFresh()[i]
		}
	}
	return nil
}

// allFresh is fresh for each member, in the platform's order.
func (v *clusterView) allFresh() []*health.Member {
	if len(v.members) == 0 {
		for i := range v.conf.Members {
			v.members = append(v.members, v.View.Fresh(&v.conf.Members[i], v.suspect(), v.Now))
		}
	}
	return v.members
}

// known is a member's last report of any age: for durable promises only.
func (v *clusterView) known(name string) *health.Member {
	if m := v.conf.Member(name); m != nil {
		return v.View.Member(m)
	}
	return nil
}

func (v *clusterView) problem(kind health.Kind, member, evidence string, actionable bool) {
	v.decision.Problems = append(v.decision.Problems, health.Problem{
		Kind: kind, Cluster: v.c.Name, Member: member, Evidence: evidence, Actionable: actionable})
}

// site is the site of a member.
func (v *clusterView) site(member string) string {
	if m := v.conf.Member(member); m != nil {
		return v.State.Platform.SiteOf(m.Host)
	}
	return ""
}

// replicas are the names of all members but the primary, in the platform's order.
func (v *clusterView) replicas() []string {
	if len(v.others) == 0 {
		for i := range v.conf.Members {
			if m := &v.conf.Members[i]; m.Name != v.c.Primary {
				v.others = append(v.others, m.Name)
			}
		}
	}
	return v.others
}
