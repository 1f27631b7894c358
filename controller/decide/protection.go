package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

const (
	// stopTime is what an outlook allows for an agent that stops its member and closes the epoch.
	stopTime = 300 * time.Millisecond
	// sealTime is the same for seals of replicas that answer.
	sealTime = 300 * time.Millisecond
	// deviceTime is what a BMC takes to switch off and to confirm it.
	deviceTime = 3 * time.Second
)

// Outlook says whether one kind of proof that the primary is fenced could be had now, were it needed (S4).
type Outlook struct {
	Kind     fencing.Kind
	Possible bool
	// Why is what it would rest on, or why it cannot be had and what would change that.
	Why Reason
	// About is how long it would take; 0 where nobody can say, or it is not possible.
	About time.Duration
}

// Outlooks goes through the proofs for the primary's present epoch, in the order in which fence tries them and by the rules
// it tries them with. It is nil for a cluster without a primary.
func Outlooks(in Input, cluster string) []Outlook {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || c.Primary == "" || conf.Member(c.Primary) == nil {
		return nil
	}
	l := sealable(in, c, conf)
	ch := l.choose()
	return []Outlook{l.outlookStopped(), l.outlookSealed(ch), l.outlookExpired(ch), l.outlookPower(), l.outlookOperator()}
}

// sealable looks at a copy in which the epoch is being fenced and every replica that can be sealed now is.
func sealable(in Input, c *state.Cluster, conf *platform.Cluster) *look {
	fenced := *c
	if !c.Fencing() {
		fenced.Attempt = &state.Attempt{Number: platform.Epoch{Generation: c.Epoch.Generation, Number: c.HighEpoch + 1}, Phase: state.PhaseSeal}
	}
	in.View, in.Watch = in.View.Clone(), NewStopwatch()
	in.Watch.begin(in.Now)
	now := &look{Input: in, c: &fenced, conf: conf}
	for _, name := range now.replicas() {
		if now.fresh(name) != nil {
			in.View.Replace(conf.Member(name), func(r *health.Member) { sealNow(r, fenced.Attempt.Number) })
		}
	}
	return &look{Input: in, c: &fenced, conf: conf, decision: &Decision{}}
}

// sealNow is what a replica that answers and runs does with the goal of an attempt.
func sealNow(r *health.Member, attempt platform.Epoch) {
	if r.Process == health.ProcessRunning && r.Role == health.RoleStandby {
		r.Sealed, r.PositionKnown = attempt, r.Position != 0
	}
}

func (l *look) outlookStopped() Outlook {
	out := Outlook{Kind: fencing.Stopped}
	host := l.conf.Member(l.c.Primary).Host
	switch {
	case closed(l.known(l.c.Primary), l.c.Epoch):
		out.Possible, out.Why = true, Reason{Code: epochClosed}
	case l.fenceOf(l.c.Primary) != nil:
		out.Why = Reason{Code: getsNoGoals, Other: host}
	case l.fresh(l.c.Primary) == nil:
		out.Why = Reason{Code: agentNotHeard, Other: host, For: l.View.Silence(host, l.Now)}
	default:
		out.Possible, out.About, out.Why = true, stopTime, Reason{Code: agentWouldStop, Other: host}
	}
	return out
}

func (l *look) outlookSealed(ch choice) Outlook {
	out := Outlook{Kind: fencing.QuorumSealed}
	switch {
	case l.asynchronous():
		out.Why = Reason{Code: commitsNeedNobody}
	case state.QuorumSealed(l.c.Sets, ch.all):
		out.Possible, out.About, out.Why = true, l.barred()+sealTime, Reason{Code: canBeSealed, Names: namesOf(ch.sealed)}
	default:
		for _, set := range l.c.Sets {
			if !state.QuorumSealed([]platform.Set{set}, ch.all) {
				out.Why = l.tooFewSealed(set, ch)
			}
		}
	}
	return out
}

func (l *look) outlookExpired(ch choice) Outlook {
	out := Outlook{Kind: fencing.LeaseExpired}
	switch {
	case l.c.Pause != nil:
		out.Why = Reason{Code: guardsPaused, Cluster: l.c.Name}
	case l.c.Unbound:
		out.Why = Reason{Code: guardsUnbound}
	case !l.c.Guarded:
		out.Why = Reason{Code: grantedUnguarded}
	case !state.Unvouched(l.c.Sets, l.c.Members, ch.all):
		out.Why = Reason{Code: unsealedMayVouch}
		if len(l.c.Sets) > 0 && l.c.Sets[0].Acks > 0 {
			out.Why = Reason{Code: tooFewForVouching, Because: []Reason{l.tooFewSealed(l.c.Sets[0], ch)}}
		}
	default:
		// The lease recorded may be renewed at any moment: the full count is the bound.
		out.Possible, out.About = true, max(platform.CountOut(l.c.LongestLease), l.leaseEnd()-l.Now, l.barred()+sealTime)
		if l.State.Clusters[l.c.Name].Fencing() { // it gets no more grants
			out.About = max(0, l.leaseEnd()-l.Now)
		}
		out.Why = Reason{Code: guardsEndIt}
	}
	return out
}

func (l *look) outlookPower() Outlook {
	out := Outlook{Kind: fencing.PoweredOff}
	name := l.conf.Member(l.c.Primary).Host
	host := l.State.Platform.Host(name)
	switch f := l.fenceOf(l.c.Primary); {
	case f != nil && f.Off:
		out.Possible, out.Why = true, Reason{Code: hostIsOff, Other: name}
	case host == nil || len(host.Fence) == 0:
		out.Why = Reason{Code: noFenceDevice, Other: name}
	default:
		out.Possible, out.About = true, powerAfter+deviceTime
		out.Why = Reason{Code: deviceWouldCut, Detail: strings.Join(Devices(host), ", "), Want: longest(host.Fence).String(), Other: name,
			Names: MembersOn(l.State, name)}
	}
	return out
}

func (l *look) outlookOperator() Outlook {
	return Outlook{Kind: fencing.Operator, Possible: true, Why: Reason{Code: operatorMaySay, Cluster: l.c.Name}}
}

// barred is for how long promises keep replicas that answer from being sealed (L5).
func (l *look) barred() (longest time.Duration) {
	for _, name := range l.replicas() {
		if r := l.fresh(name); r != nil {
			longest = max(longest, time.Duration(r.Promised)*time.Millisecond)
		}
	}
	return longest
}

// tooFewSealed says what a set lacks, and why each of its members that cannot be sealed cannot.
func (l *look) tooFewSealed(set platform.Set, ch choice) Reason {
	why := Reason{Code: tooFewSealed, Names: set.Names, Of: set.SealedNeeded()}
	for _, name := range l.replicas() {
		if !set.Has(l.c.Members[name].Incarnation) {
			continue
		}
		if slices.ContainsFunc(ch.sealed, func(s state.Sealed) bool { return s.Member == name }) {
			why.Number++
		} else {
			why.Code = tooFewCanBeSealed
			why.Because = append(why.Because, Reason{Code: about, Member: name, Because: []Reason{ch.notChosen[name]}})
		}
	}
	return why
}

// Devices names the fence devices of a host with their levels; a host that is not known has none.
func Devices(h *platform.Host) []string {
	names := []string{}
	if h == nil {
		return names
	}
	for _, d := range h.Fence {
		name := d.Agent
		if d.Exec != "" {
			name = d.Exec
		}
		names = append(names, fmt.Sprintf("%s (level %d)", name, d.Level))
	}
	return names
}

func longest(devices []platform.FenceDevice) (t time.Duration) {
	for _, d := range devices {
		t = max(t, d.Timeout)
	}
	return t
}

func namesOf(sealed []state.Sealed) (names []string) {
	for _, s := range sealed {
		names = append(names, s.Member)
	}
	return names
}
