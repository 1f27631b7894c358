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
	// Strange says when the agent of a host last told that it obeys another group of this generation.
	Strange map[string]time.Duration
	// Controllers are the names of the controllers that vote in the log, this one among them: the expected observers.
	Controllers []string
	// Self is this controller's name, Site where it is ("" if it does not say).
	Self, Site string
	// Foretold: this is a prediction's copy. An operation begun on it has an id that nobody can name yet.
	Foretold bool
	// Survey: problems on which nothing is decided are named too. They are for people, and cost more than the decisions.
	Survey bool
	// Watch measures how long a condition has held for this leader.
	Watch *Stopwatch
	Now   time.Duration // the leader's CLOCK_BOOTTIME
	Wall  time.Time     // its wall clock: for records and for the expiry of a pause, nothing else
}

// At is the wall clock as records have it, RFC 3339.
func (in Input) At() string { return in.Wall.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// Decision is what should be done now.
type Decision struct {
	// Commands holds at most one command a subject (a cluster, an app, the site switchover), each decided on this state.
	Commands []state.Command
	// Transfer asks for another leader: this one's view is the odd one out.
	Transfer bool
	// Problems are the verdicts about the platform at this moment: all of them in a survey.
	Problems []health.Problem
	// Reasons has one line a subject where something is being waited for: what, and for how long.
	Reasons Reasons
}

// Next decides for every cluster and app, in the platform's order. It is pure but for the stopwatch, which it only reads and restarts.
func Next(in Input) Decision {
	in.Watch.begin(in.Now)
	defer in.Watch.end()
	d := Decision{Commands: bind(in)}
	if in.Survey && in.State.Platform != nil {
		d.Problems = slices.Concat(recoveryProblems(in), siteProblems(in), programProblems(in))
	}
	if in.State.Platform == nil {
		return d
	}
	d.Reasons = make(Reasons, 0, len(in.State.Platform.Clusters)+len(in.State.Platform.Apps)+1)
	for i := range in.State.Platform.Clusters {
		conf := &in.State.Platform.Clusters[i]
		c := &look{Input: in, c: in.State.Clusters[conf.Name], conf: conf, decision: &d}
		if c.c == nil {
			continue
		}
		if in.Survey && c.c.Primary != "" {
			c.problems()
			c.replicationProblems()
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
	return d
}

// bind records the run of an agent that speaks for its host, one host at a time.
func bind(in Input) []state.Command {
	if in.State.Platform == nil {
		return nil
	}
	for _, h := range in.State.Platform.Hosts {
		if r := in.View.Report(h.Name); r != nil && r.RunID != "" && r.RunID != in.State.Runs[h.Name] {
			return []state.Command{{By: byMainstay, At: in.At(), Bind: &state.Bind{Host: h.Name, Run: r.RunID}}}
		}
	}
	return nil
}

// byMainstay is who asks for what is decided automatically.
const byMainstay = "mainstay"

// look is one cluster as the leader sees it now.
type look struct {
	Input
	c        *state.Cluster
	conf     *platform.Cluster
	decision *Decision

	// What is asked again and again in one round, once it has been asked.
	members []*health.Member // what is fresh of each, in the platform's order
	others  []string         // the replicas
	ackers  []string
}

func (l *look) decide() (*state.Command, Reason) {
	l.syncWait() // a survey asks since when
	switch {
	case l.c.Primary == "":
		return RuleBirth.of(l.birth())
	case l.c.Attempt != nil && l.c.Attempt.Phase == state.PhaseSeal:
		return RuleAttempt.of(l.fence())
	case l.c.Attempt != nil:
		return RuleSwitchover.of(l.handOver())
	}
	if cmd, why := l.pause(); cmd != nil {
		return RuleUpkeep.of(cmd, why)
	}
	if cmd, why := l.unblock(); cmd != nil {
		return RuleUpkeep.of(cmd, why)
	}
	if cmd, why := l.detect(); cmd != nil || why.given() {
		return RuleDetect.of(cmd, why)
	}
	if cmd, why := l.moveSite(); cmd != nil {
		return RuleSite.of(cmd, why)
	}
	return RuleUpkeep.of(l.upkeep())
}

// fenceOf is the fence of a member's host, or nil.
func (l *look) fenceOf(member string) *state.Fence { return l.State.FenceOf(l.c.Name, member) }

// suspect is the silence after which a report no longer counts.
func (l *look) suspect() time.Duration { return platform.Suspect(l.conf.Lease) }

// fresh is what is known of a member from a report that still counts, or nil.
func (l *look) fresh(name string) *health.Member {
	if l.members == nil {
		l.members = make([]*health.Member, len(l.conf.Members))
		for i := range l.conf.Members {
			l.members[i] = l.View.Fresh(&l.conf.Members[i], l.suspect(), l.Now)
		}
	}
	for i := range l.conf.Members {
		if l.conf.Members[i].Name == name {
			return l.members[i]
		}
	}
	return nil
}

// known is what is known of a member, however old: for durable promises only.
func (l *look) known(name string) *health.Member {
	if m := l.conf.Member(name); m != nil {
		return l.View.Member(m)
	}
	return nil
}

func (l *look) problem(kind health.Kind, member, evidence string, actionable bool) {
	l.decision.Problems = append(l.decision.Problems, health.Problem{
		Kind: kind, Cluster: l.c.Name, Member: member, Evidence: evidence, Actionable: actionable})
}

// site is the site of a member.
func (l *look) site(member string) string {
	if m := l.conf.Member(member); m != nil {
		return l.State.Platform.SiteOf(m.Host)
	}
	return ""
}

// replicas are the names of all members but the primary, in the platform's order.
func (l *look) replicas() []string {
	if l.others == nil {
		l.others = make([]string, 0, len(l.conf.Members))
		for i := range l.conf.Members {
			if m := &l.conf.Members[i]; m.Name != l.c.Primary {
				l.others = append(l.others, m.Name)
			}
		}
	}
	return l.others
}
