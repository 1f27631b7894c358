package decide

import (
	"fmt"
	"time"

	"mainstay/controller/state"
)

// powerAfter is how long an attempt waits for a proof that costs nothing but a round trip before it has the host's power
// cut, which ends everything else that runs there too.
const powerAfter = time.Second

// cutPower makes the fence devices of the primary's host switch it off, if it has any, no other proof has come, and
// a member could be promoted on that proof: a cut without a successor would only cause an outage.
func (v *clusterView) cutPower(ch choice) (*state.Command, Reason) {
	if a := v.c.Attempt.Accepted; ch.best == "" || state.Complete(v.c.Sets, ch.sealed) != nil && (a == nil || !a.Completeness) {
		return nil, Reason{}
	}
	host := v.State.Platform.Host(v.conf.Member(v.c.Primary).Host)
	if host == nil || len(host.Fence) == 0 || v.fenceOf(v.c.Primary) != nil ||
		v.heldFor(proofMissing, v.c.Attempt.Number.String()) < powerAfter {
		return nil, Reason{}
	}
	why := Reason{Code: noOtherProof, Member: v.c.Primary, Detail: v.c.Attempt.Number.String(), Names: MembersOn(v.State, host.Name)}
	return &state.Command{Fence: &state.FenceHost{Host: host.Name, Reason: why.String()}},
		Reason{Code: cutsPower, Other: host.Name, Because: []Reason{why}}
}

// MembersOn names the members that a host carries: powering it off ends them all.
func MembersOn(s *state.State, host string) []string {
	var names []string
	for _, c := range s.Platform.Clusters {
		for _, m := range c.Members {
			if m.Host == host {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// givePowerBack ends a fence that was decided automatically, once the cluster has another primary: the host's members then
// rejoin automatically. A host that an operator fenced waits for an operator.
func (v *clusterView) givePowerBack() (*state.Command, Reason) {
	if len(v.State.Fences) == 0 {
		return nil, Reason{}
	}
	for _, name := range v.replicas() {
		host := v.conf.Member(name).Host
		f := v.State.Fences[host]
		if f == nil || !f.Off || f.Release || f.By != byMainstay || v.leads(host) {
			continue
		}
		why := Reason{Code: membersReplaced, Other: host}
		return &state.Command{Unfence: &state.UnfenceHost{Host: host, Reason: why.String()}},
			Reason{Code: givesPowerBack, Other: host, Because: []Reason{why}}
	}
	return nil, Reason{}
}

// withdrawFence ends a fence that was decided automatically and never confirmed, once the host answers: its agent knows
// more than a device that does not answer.
func (v *clusterView) withdrawFence() (*state.Command, Reason) {
	f := v.fenceOf(v.c.Primary)
	if f == nil || f.By != byMainstay || f.Off || v.c.Attempt.StopOld || v.fresh(v.c.Primary) == nil {
		return nil, Reason{}
	}
	why := Reason{Code: answersAgain, Member: v.c.Primary}
	return &state.Command{Unfence: &state.UnfenceHost{Host: v.conf.Member(v.c.Primary).Host, Reason: why.String(), Withdraw: true}},
		Reason{Code: withdrawsFence, Because: []Reason{why}}
}

// needBack restores the power of a host that was fenced automatically, if no other member holds every commit: its own member
// is needed, to be restarted in place.
func (v *clusterView) needBack() (*state.Command, Reason) {
	f := v.fenceOf(v.c.Primary)
	if f == nil || f.By != byMainstay || !f.Off || f.Release {
		return nil, Reason{}
	}
	why := Reason{Code: onlyItHoldsAll, Member: v.c.Primary}
	return &state.Command{Unfence: &state.UnfenceHost{Host: v.conf.Member(v.c.Primary).Host, Reason: why.String()}},
		Reason{Code: powerNeededBack, Because: []Reason{why}}
}

// leads: a member on the host is still the primary of some cluster.
func (v *clusterView) leads(host string) bool {
	for _, name := range v.State.ClusterNames() {
		c, conf := v.State.Clusters[name], v.State.ClusterConfig(name)
		if conf == nil || c.Primary == "" {
			continue
		}
		if m := conf.Member(c.Primary); m != nil && m.Host == host {
			return true
		}
	}
	return false
}

func fenceText(host string, f *state.Fence) string {
	what := "is being fenced"
	switch {
	case f.Release:
		what = "is being powered on again; it was fenced"
	case f.Off:
		what = "is fenced"
	}
	text := fmt.Sprintf("host %s %s by %s: %s", host, what, f.By, f.Reason)
	if f.Detail != "" {
		text += " (" + f.Detail + ")"
	}
	if f.Off && !f.Release {
		text += fmt.Sprintf("; run `mainstay unfence %s` to restore its power", host)
	}
	return text
}
