package decide

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

const (
	// checkpointBound is how long a switchover waits for the CHECKPOINT before it gives up, having changed nothing.
	checkpointBound = 2 * time.Minute
	// stopBound is how long the clean stop may take. Past it the stop is forced and failover's rules apply.
	stopBound = 15 * time.Second
	// catchUpBound is how long the target may take to replay the shutdown record after the stop.
	catchUpBound = 3 * time.Second
	// preferredBound is how long a preferred member may take for that while another one is ready.
	preferredBound = time.Second
	// maxLag is how far behind a switchover's target may be at the start, so that the stop stays short.
	maxLag = 16 << 20
)

// handOver drives the phases of a switchover before anything is fenced: CHECKPOINT, then the clean stop under lease.
func (v *clusterView) handOver() (*state.Command, Reason) {
	if cmd, why := v.judge(); cmd != nil {
		return cmd, why
	}
	p := v.fresh(v.c.Primary)
	if v.c.Attempt.Phase == state.PhaseCheckpoint {
		return v.beforeStop(p)
	}
	if p == nil {
		return v.force(Reason{Code: silentInStop, Member: v.c.Primary})
	}
	if !closed(p, v.c.Epoch) {
		if v.heldFor(primaryStops) > stopBound {
			return v.force(Reason{Code: stopTooLong, Member: v.c.Primary, For: stopBound})
		}
		return nil, Reason{Code: cleanStopRuns, Member: v.c.Primary}
	}
	if v.c.Members[v.c.Primary].Older {
		return v.force(Reason{Code: olderCopy, Member: v.c.Primary, Other: v.conf.Member(v.c.Primary).Host})
	}
	if !p.Clean || p.Shutdown == 0 {
		return v.force(Reason{Code: uncleanStop, Member: v.c.Primary})
	}
	ch, late := v.chooseHandover(p.Shutdown)
	waits := v.heldFor(targetReplays)
	if late != "" && waits <= preferredBound {
		return nil, Reason{Code: replayAwaited}
	}
	if ch.best != "" {
		proof := fencing.Proof{Kind: fencing.Stopped, Epoch: v.c.Epoch,
			Detail: fmt.Sprintf("stopped cleanly; shutdown checkpoint at %s", p.Shutdown)}
		return v.promote(proof, ch, true, Reason{})
	}
	if waits > catchUpBound {
		return v.force(Reason{Code: noMemberReplayed, At: p.Shutdown, For: catchUpBound})
	}
	return nil, Reason{Code: replayAwaited}
}

func (v *clusterView) force(why Reason) (*state.Command, Reason) {
	return v.advance(state.PhaseSeal, why)
}

func (v *clusterView) advance(phase state.Phase, why Reason) (*state.Command, Reason) {
	return &state.Command{Advance: &state.Advance{Attempt: v.c.Attempt.Number, Phase: phase, StopOld: true, Note: why.String()}}, why
}

func (v *clusterView) beforeStop(p *health.Member) (*state.Command, Reason) {
	a := v.c.Attempt
	switch {
	case p == nil:
		return v.cancel(Reason{Code: silentBeforeStop, Member: v.c.Primary})
	case closed(p, v.c.Epoch) || p.Process == health.ProcessEnding:
		return v.force(Reason{Code: crashedBeforeStop, Member: v.c.Primary})
	case v.heldFor(primaryCheckpoints) > checkpointBound:
		return v.cancel(Reason{Code: checkpointTooLong, Member: v.c.Primary, For: checkpointBound})
	}
	if bad := v.SwitchoverBlockers(a.To); len(bad) > 0 && p.Checkpointed == a.Number {
		return v.cancel(bad[0])
	}
	if p.Checkpointed != a.Number {
		return nil, Reason{Code: checkpointAwaited, Member: v.c.Primary}
	}
	return v.advance(state.PhaseStop, Reason{Code: cleanStopBegins, Member: v.c.Primary})
}

func (v *clusterView) cancel(why Reason) (*state.Command, Reason) {
	note := join(why, Reason{Code: nothingChanged})
	return &state.Command{Abandon: &state.Abandon{Attempt: v.c.Attempt.Number, Reason: note.String()}}, why
}

// chooseHandover picks the target among replicas that have replayed past the shutdown checkpoint. late is one that would be preferred,
// and has yet to replay that; "" for none: the plan has named it, and another one may be on another site.
func (v *clusterView) chooseHandover(shutdown platform.LSN) (ch choice, late string) {
	ch = choice{positions: map[string]platform.LSN{}, notChosen: map[string]Reason{}}
	var ready, able []string
	for _, name := range v.replicas() {
		r := v.fresh(name)
		if r != nil {
			ch.positions[name] = r.Position
		}
		if why := v.cannotTakeOver(name, v.c.Attempt.To); why.given() {
			ch.notChosen[name] = why
			continue
		}
		able = append(able, name)
		if r.Replayed <= shutdown {
			ch.notChosen[name] = Reason{Code: notReplayed, Member: name, At: r.Replayed, Past: shutdown}
		} else {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ch, ""
	}
	v.byPreference(able)
	if !slices.Contains(ready, able[0]) {
		late = able[0]
	}
	v.byPreference(ready)
	ch.best = ready[0]
	for _, name := range ready[1:] {
		ch.notChosen[name] = Reason{Code: lessPreferred, Member: name, Other: ch.best}
	}
	return ch, late
}

// byPreference orders equals: the primary's site, slots of the user's where they may not be left behind, then as equals does.
func (v *clusterView) byPreference(names []string) {
	home, leaves := v.site(v.c.Primary), map[string]int{}
	if v.conf.SlotsLeft == platform.RefuseSlotsLeft {
		for _, name := range names {
			leaves[name] = len(v.slotsLeftBy(name))
		}
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		switch ha, hb := v.site(a) == home, v.site(b) == home; {
		case ha != hb:
			return ha
		case leaves[a] != leaves[b]:
			return leaves[a] < leaves[b]
		}
		order, _ := v.equals(a, b)
		return order < 0
	})
}

// cannotTakeOver says why a replica cannot be the target of a planned change, if it cannot.
func (v *clusterView) cannotTakeOver(name, asked string) Reason {
	why := v.unable(name, asked)
	switch {
	case why.given():
	case v.fresh(name).ReplayPaused:
		why = Reason{Code: replayIsPaused, Member: name}
	case v.c.Attempt == nil && !v.fresh(name).Streams():
		why = Reason{Code: doesNotStream, Member: name}
	}
	return why
}

// unable is cannotTakeOver but for whether it receives anything just now.
func (v *clusterView) unable(name, asked string) Reason {
	r, m := v.fresh(name), v.conf.Member(name)
	switch {
	case m == nil:
		return Reason{Code: noSuchMember, Member: name}
	case asked != "" && asked != name:
		return Reason{Code: anotherAsked, Member: name, Other: asked}
	case r == nil:
		return v.unheard(name)
	case v.against(name, r) != "":
		return Reason{Code: excluded, Member: name, Detail: v.against(name, r)}
	case v.frozen(name).given():
		return v.frozen(name)
	case v.fenceOf(name) != nil:
		return Reason{Code: powerIsOff, Member: name, Other: m.Host}
	case m.Leaving:
		return Reason{Code: isLeaving, Member: name}
	case r.Guard.Watchdog.Lacks() != "":
		return Reason{Code: noWatchdog, Member: name, Detail: r.Guard.Watchdog.Lacks()}
	case r.Process != health.ProcessRunning || r.Role != health.RoleStandby:
		return Reason{Code: noRunningStandby, Member: name, Detail: says(r)}
	case len(r.Short) > 0:
		return Reason{Code: settingsTooLow, Member: name, Detail: strings.Join(r.Short, "; ")}
	case r.SystemID != v.c.SystemID:
		return Reason{Code: dataOfAnotherCluster, Member: name, Is: r.SystemID}
	case r.Timeline != v.c.Timeline:
		return Reason{Code: otherTimeline, Member: name, Is: fmt.Sprint(r.Timeline), Want: fmt.Sprint(v.c.Timeline)}
	case !m.MayLead && asked == "":
		return Reason{Code: mayLeadIfNamed, Member: name}
	}
	return Reason{}
}

// SwitchoverBlockers lists everything that speaks against a switchover to a member ("" for the best) right now.
func (v *clusterView) SwitchoverBlockers(to string) []Reason {
	var bad []Reason
	p := v.fresh(v.c.Primary)
	switch {
	case to == v.c.Primary:
		return []Reason{{Code: isPrimaryAlready, Member: to}}
	case p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || !v.c.Opened:
		return []Reason{{Code: primaryNotWell, Cluster: v.c.Name, Member: v.c.Primary}}
	}
	ready := 0
	for _, name := range v.replicas() {
		if to != "" && name != to {
			continue
		}
		why := v.cannotTakeOver(name, to)
		if r := v.fresh(name); !why.given() && p.Position > r.Replayed && p.Position-r.Replayed > maxLag {
			why = Reason{Code: tooFarBehind, Member: name, Number: int(p.Position - r.Replayed), Of: maxLag}
		}
		if why.given() {
			bad = append(bad, Reason{Code: about, Member: name, Because: []Reason{why}})
			continue
		}
		ready++
	}
	if ready > 0 {
		return nil
	}
	if len(bad) == 0 {
		bad = append(bad, Reason{Code: notAMember, Cluster: v.c.Name, Member: to, Names: v.conf.Names()})
	}
	return bad
}

// CheckSwitchover tells what speaks against a switchover and who would take over, for --dry-run and before Begin.
func CheckSwitchover(in Input, cluster, to string) (target string, blockers []Reason) {
	in.Conditions = in.Conditions.Clone()
	in.Conditions.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return "", []Reason{{Code: noSuchCluster, Cluster: cluster}}
	}
	if c.Primary == "" {
		return "", []Reason{{Code: noPrimaryYet, Cluster: cluster}}
	}
	v := &clusterView{Input: in, c: c, conf: conf, decision: &Decision{}}
	if blockers := v.SwitchoverBlockers(to); len(blockers) > 0 {
		return "", blockers
	}
	var ready []string
	for _, name := range v.replicas() {
		if !v.cannotTakeOver(name, to).given() {
			ready = append(ready, name)
		}
	}
	v.byPreference(ready)
	return ready[0], nil
}
