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
	// Why is the evidence it would rest on, or the reason why it cannot be had and the change that would help.
	Why Reason
	// About is how long it would take; 0 if that is unknown, or it is not possible.
	About time.Duration
}

// Outlooks goes through the proofs for the primary's present epoch, in the order in which fence tries them and by the rules
// it tries them with. It is nil for a cluster without a primary.
func Outlooks(in Input, cluster string) []Outlook {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || c.Primary == "" || conf.Member(c.Primary) == nil {
		return nil
	}
	v := sealable(in, c, conf)
	ch := v.choose()
	return []Outlook{v.outlookStopped(), v.outlookSealed(ch), v.outlookExpired(ch), v.outlookPower(), v.outlookOperator()}
}

// sealable looks at a copy in which the epoch is being fenced and every replica that can be sealed now is.
func sealable(in Input, c *state.Cluster, conf *platform.Cluster) *clusterView {
	fenced := *c
	if !c.Fencing() {
		fenced.Attempt = &state.Attempt{Number: platform.Epoch{Generation: c.Epoch.Generation, Number: c.HighEpoch + 1}, Phase: state.PhaseSeal}
	}
	in.View, in.Conditions = in.View.Clone(), NewConditions()
	in.Conditions.begin(in.Now)
	now := &clusterView{Input: in, c: &fenced, conf: conf}
	for _, name := range now.replicas() {
		if now.fresh(name) != nil {
			in.View.Replace(conf.Member(name), func(r *health.Member) { sealNow(r, fenced.Attempt.Number) })
		}
	}
	return &clusterView{Input: in, c: &fenced, conf: conf, decision: &Decision{}}
}

// sealNow is what a replica that answers and runs does with the goal of an attempt.
func sealNow(r *health.Member, attempt platform.Epoch) {
	if r.Process == health.ProcessRunning && r.Role == health.RoleStandby {
		r.Sealed, r.PositionKnown = attempt, r.Position != 0
	}
}

func (v *clusterView) outlookStopped() Outlook {
	out := Outlook{Kind: fencing.Stopped}
	host := v.conf.Member(v.c.Primary).Host
	switch {
	case closed(v.known(v.c.Primary), v.c.Epoch):
		out.Possible, out.Why = true, Reason{Code: epochClosed}
	case v.fenceOf(v.c.Primary) != nil:
		out.Why = Reason{Code: getsNoGoals, Other: host}
	case v.fresh(v.c.Primary) == nil:
		out.Why = Reason{Code: agentNotHeard, Other: host, For: v.View.Silence(host, v.Now)}
	default:
		out.Possible, out.About, out.Why = true, stopTime, Reason{Code: agentWouldStop, Other: host}
	}
	return out
}

func (v *clusterView) outlookSealed(ch choice) Outlook {
	out := Outlook{Kind: fencing.QuorumSealed}
	switch {
	case v.asynchronous():
		out.Why = Reason{Code: commitsNeedNoReplica}
	case state.QuorumSealed(v.c.Sets, ch.all):
		out.Possible, out.About, out.Why = true, v.promisesEnd()+sealTime, Reason{Code: canBeSealed, Names: namesOf(ch.sealed)}
	default:
		for _, set := range v.c.Sets {
			if !state.QuorumSealed([]platform.DurabilitySet{set}, ch.all) {
				out.Why = v.tooFewSealed(set, ch)
			}
		}
	}
	return out
}

func (v *clusterView) outlookExpired(ch choice) Outlook {
	out := Outlook{Kind: fencing.LeaseExpired}
	switch {
	case v.c.Pause != nil:
		out.Why = Reason{Code: guardsPaused, Cluster: v.c.Name}
	case v.c.AwaitsGuards:
		out.Why = Reason{Code: guardsNotArmed}
	case !v.c.Guarded:
		out.Why = Reason{Code: grantedUnguarded}
	case !state.NoPromisesLeft(v.c.Sets, v.c.Members, ch.all):
		out.Why = Reason{Code: unsealedMayPromise}
		if len(v.c.Sets) > 0 && v.c.Sets[0].Acks > 0 {
			out.Why = Reason{Code: tooFewForPromises, Because: []Reason{v.tooFewSealed(v.c.Sets[0], ch)}}
		}
	default:
		// The lease recorded may be renewed at any moment: the full count is the bound.
		out.Possible, out.About = true, max(platform.CountOut(v.c.LongestLease), v.leaseEnd()-v.Now, v.promisesEnd()+sealTime)
		if v.State.Clusters[v.c.Name].Fencing() { // it gets no more grants
			out.About = max(0, v.leaseEnd()-v.Now)
		}
		out.Why = Reason{Code: guardsEndIt}
	}
	return out
}

func (v *clusterView) outlookPower() Outlook {
	out := Outlook{Kind: fencing.PoweredOff}
	name := v.conf.Member(v.c.Primary).Host
	host := v.State.Platform.Host(name)
	switch f := v.fenceOf(v.c.Primary); {
	case f != nil && f.Off:
		out.Possible, out.Why = true, Reason{Code: hostIsOff, Other: name}
	case host == nil || len(host.Fence) == 0:
		out.Why = Reason{Code: noFenceDevice, Other: name}
	default:
		out.Possible, out.About = true, powerAfter+deviceTime
		out.Why = Reason{Code: deviceWouldCut, Detail: strings.Join(Devices(host), ", "), Want: longest(host.Fence).String(), Other: name,
			Names: MembersOn(v.State, name)}
	}
	return out
}

func (v *clusterView) outlookOperator() Outlook {
	return Outlook{Kind: fencing.Operator, Possible: true, Why: Reason{Code: operatorMaySay, Cluster: v.c.Name}}
}

// promisesEnd is for how long promises keep replicas that answer from being sealed (L5).
func (v *clusterView) promisesEnd() (longest time.Duration) {
	for _, name := range v.replicas() {
		if r := v.fresh(name); r != nil {
			longest = max(longest, time.Duration(r.Promised)*time.Millisecond)
		}
	}
	return longest
}

// tooFewSealed says how many a set lacks, and why each of its members that cannot be sealed cannot.
func (v *clusterView) tooFewSealed(set platform.DurabilitySet, ch choice) Reason {
	why := Reason{Code: tooFewSealed, Names: set.Names, Of: set.SealedNeeded()}
	for _, name := range v.replicas() {
		if !set.Has(v.c.Members[name].Incarnation) {
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
