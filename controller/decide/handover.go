package decide

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

const (
	// checkpointBound is how long a switchover waits for the CHECKPOINT before it gives up without having taken anything.
	checkpointBound = 2 * time.Minute
	// stopBound is how long the clean stop may take. Past it the stop is forced and failover's rules apply.
	stopBound = 15 * time.Second
	// catchUpBound is how long the target may take to replay the shutdown record after the stop.
	catchUpBound = 3 * time.Second
	// maxLag is how far behind a switchover's target may be at the start, so that the stop stays short.
	maxLag = 16 << 20
)

// handOver drives the phases of a switchover before anything is fenced: CHECKPOINT, then the clean stop under lease.
func (l *look) handOver() (*state.Command, Reason) {
	p := l.fresh(l.c.Primary)
	if l.c.Attempt.Phase == state.PhaseCheckpoint {
		return l.beforeStop(p)
	}
	if p == nil {
		return l.force(Reason{Code: silentInStop, Member: l.c.Primary})
	}
	if !closed(p, l.c.Epoch) {
		if l.Watch.held(l.c.Name+"/stop") > stopBound {
			return l.force(Reason{Code: stopTooLong, Member: l.c.Primary, For: stopBound})
		}
		return nil, Reason{Code: cleanStopRuns, Member: l.c.Primary}
	}
	if !p.Clean || p.Shutdown == 0 {
		return l.force(Reason{Code: uncleanStop, Member: l.c.Primary})
	}
	ch := l.chooseHandover(p.Shutdown)
	if ch.best != "" {
		proof := fencing.Proof{Kind: fencing.Stopped, Epoch: l.c.Epoch,
			Detail: fmt.Sprintf("stopped cleanly; shutdown checkpoint at %s", p.Shutdown)}
		return l.promote(proof, ch, true, Reason{})
	}
	if l.Watch.held(l.c.Name+"/catchup") > catchUpBound {
		return l.force(Reason{Code: nobodyReplayed, At: p.Shutdown, For: catchUpBound})
	}
	return nil, Reason{Code: replayAwaited}
}

func (l *look) force(why Reason) (*state.Command, Reason) {
	return l.advance(state.PhaseSeal, why)
}

func (l *look) advance(phase state.Phase, why Reason) (*state.Command, Reason) {
	return &state.Command{Advance: &state.Advance{Attempt: l.c.Attempt.Number, Phase: phase, StopOld: true, Note: why.String()}}, why
}

func (l *look) beforeStop(p *health.Member) (*state.Command, Reason) {
	a := l.c.Attempt
	switch {
	case p == nil:
		return l.cancel(Reason{Code: silentBeforeStop, Member: l.c.Primary})
	case closed(p, l.c.Epoch) || p.Process == health.ProcessEnding:
		return l.force(Reason{Code: crashedBeforeStop, Member: l.c.Primary})
	case l.Watch.held(l.c.Name+"/checkpoint") > checkpointBound:
		return l.cancel(Reason{Code: checkpointTooLong, Member: l.c.Primary, For: checkpointBound})
	}
	if bad := l.SwitchoverBlockers(a.To); len(bad) > 0 && p.Checkpointed == a.Number {
		return l.cancel(bad[0])
	}
	if p.Checkpointed != a.Number {
		return nil, Reason{Code: checkpointAwaited, Member: l.c.Primary}
	}
	return l.advance(state.PhaseStop, Reason{Code: cleanStopBegins, Member: l.c.Primary})
}

func (l *look) cancel(why Reason) (*state.Command, Reason) {
	note := join(why, Reason{Code: nothingChanged})
	return &state.Command{Abandon: &state.Abandon{Attempt: l.c.Attempt.Number, Reason: note.String()}}, why
}

// chooseHandover picks the target among replicas that have replayed past the shutdown checkpoint.
func (l *look) chooseHandover(shutdown platform.LSN) choice {
	ch := choice{positions: map[string]platform.LSN{}, notChosen: map[string]Reason{}}
	var ready []string
	for _, name := range l.replicas() {
		r := l.fresh(name)
		if r != nil {
			ch.positions[name] = r.Position
		}
		if why := l.cannotTakeOver(name, l.c.Attempt.To); why.given() {
			ch.notChosen[name] = why
		} else if r.Replayed <= shutdown {
			ch.notChosen[name] = Reason{Code: notReplayed, Member: name, At: r.Replayed, Past: shutdown}
		} else {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ch
	}
	l.byPreference(ready)
	ch.best = ready[0]
	for _, name := range ready[1:] {
		ch.notChosen[name] = Reason{Code: lessPreferred, Member: name, Other: ch.best}
	}
	return ch
}

// byPreference orders equals: the primary's site, slots of the user's where they may not be left behind, priority, name.
func (l *look) byPreference(names []string) {
	home, leaves := l.site(l.c.Primary), map[string]int{}
	if l.conf.SlotsLeft == platform.RefuseSlotsLeft {
		for _, name := range names {
			leaves[name] = len(l.slotsLeftBy(name))
		}
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := l.conf.Member(names[i]), l.conf.Member(names[j])
		switch ha, hb := l.site(a.Name) == home, l.site(b.Name) == home; {
		case ha != hb:
			return ha
		case leaves[a.Name] != leaves[b.Name]:
			return leaves[a.Name] < leaves[b.Name]
		case a.Priority != b.Priority:
			return a.Priority > b.Priority
		}
		return a.Name < b.Name
	})
}

// cannotTakeOver says why a replica cannot be the target of a planned change, if it cannot.
func (l *look) cannotTakeOver(name, asked string) Reason {
	why := l.unable(name, asked)
	switch {
	case why.given():
	case l.fresh(name).ReplayPaused:
		why = Reason{Code: replayIsPaused, Member: name}
	case l.c.Attempt == nil && !l.fresh(name).Streams():
		why = Reason{Code: doesNotStream, Member: name}
	}
	return why
}

// unable is cannotTakeOver but for whether it receives anything just now.
func (l *look) unable(name, asked string) Reason {
	r, m := l.fresh(name), l.conf.Member(name)
	switch {
	case m == nil:
		return Reason{Code: noSuchMember, Member: name}
	case asked != "" && asked != name:
		return Reason{Code: anotherAsked, Member: name, Other: asked}
	case r == nil:
		return l.unheard(name)
	case l.c.Members[name].Excluded != "":
		return Reason{Code: excluded, Member: name, Detail: l.c.Members[name].Excluded}
	case l.fenceOf(name) != nil:
		return Reason{Code: powerIsOff, Member: name, Other: m.Host}
	case m.Leaving:
		return Reason{Code: isLeaving, Member: name}
	case r.Guard.Watchdog.Lacks() != "":
		return Reason{Code: noWatchdog, Member: name, Detail: r.Guard.Watchdog.Lacks()}
	case r.Process != health.ProcessRunning || r.Role != health.RoleStandby:
		return Reason{Code: noRunningStandby, Member: name, Detail: says(r)}
	case len(r.Short) > 0:
		return Reason{Code: settingsTooLow, Member: name, Detail: strings.Join(r.Short, "; ")}
	case r.SystemID != l.c.SystemID:
		return Reason{Code: dataOfAnotherCluster, Member: name, Is: r.SystemID}
	case r.Timeline != l.c.Timeline:
		return Reason{Code: otherTimeline, Member: name, Is: fmt.Sprint(r.Timeline), Want: fmt.Sprint(l.c.Timeline)}
	case !m.MayLead && asked == "":
		return Reason{Code: mayLeadIfNamed, Member: name}
	}
	return Reason{}
}

// SwitchoverBlockers lists everything that speaks against a switchover to a member ("" for the best) right now.
func (l *look) SwitchoverBlockers(to string) []Reason {
	var bad []Reason
	p := l.fresh(l.c.Primary)
	switch {
	case to == l.c.Primary:
		return []Reason{{Code: isPrimaryAlready, Member: to}}
	case p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || !l.c.Opened:
		return []Reason{{Code: primaryNotWell, Cluster: l.c.Name, Member: l.c.Primary}}
	}
	ready := 0
	for _, name := range l.replicas() {
		if to != "" && name != to {
			continue
		}
		why := l.cannotTakeOver(name, to)
		if r := l.fresh(name); !why.given() && p.Position > r.Replayed && p.Position-r.Replayed > maxLag {
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
		bad = append(bad, Reason{Code: notAMember, Cluster: l.c.Name, Member: to, Names: l.conf.Names()})
	}
	return bad
}

// CheckSwitchover tells what speaks against a switchover and who would take over, for --dry-run and before Begin.
func CheckSwitchover(in Input, cluster, to string) (target string, blockers []Reason) {
	in.Watch = in.Watch.Clone()
	in.Watch.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return "", []Reason{{Code: noSuchCluster, Cluster: cluster}}
	}
	if c.Primary == "" {
		return "", []Reason{{Code: noPrimaryYet, Cluster: cluster}}
	}
	l := &look{Input: in, c: c, conf: conf, decision: &Decision{}}
	if blockers := l.SwitchoverBlockers(to); len(blockers) > 0 {
		return "", blockers
	}
	var ready []string
	for _, name := range l.replicas() {
		if !l.cannotTakeOver(name, to).given() {
			ready = append(ready, name)
		}
	}
	l.byPreference(ready)
	return ready[0], nil
}
