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
		return l.force("the primary is silent during its stop")
	}
	if !closed(p, l.c.Epoch) {
		if l.Watch.held(l.c.Name+"/stop") > stopBound {
			return l.force(fmt.Sprintf("the clean stop took longer than %s", stopBound))
		}
		return wait(RuleSwitchover, l.c.Primary+" is stopping")
	}
	if !p.Clean || p.Shutdown == 0 {
		return l.force("the primary did not stop cleanly")
	}
	ch := l.chooseHandover(p.Shutdown)
	if ch.best != "" {
		proof := fencing.Proof{Kind: fencing.Stopped, Epoch: l.c.Epoch, Detail: fmt.Sprintf("stopped cleanly; shutdown checkpoint at %s", p.Shutdown)}
		return l.promote(proof, ch, true, "")
	}
	if l.Watch.held(l.c.Name+"/catchup") > catchUpBound {
		return l.force(fmt.Sprintf("nobody replayed the shutdown checkpoint at %s within %s", p.Shutdown, catchUpBound))
	}
	return wait(RuleSwitchover, "waiting for the target to replay the shutdown checkpoint")
}

func (l *look) force(why string) (*state.Command, Reason) {
	return l.advance(state.PhaseSeal, why)
}

func (l *look) advance(phase state.Phase, note string) (*state.Command, Reason) {
	return &state.Command{Advance: &state.Advance{Attempt: l.c.Attempt.Number, Phase: phase, StopOld: true, Note: note}}, Reason{RuleSwitchover, note}
}

func (l *look) beforeStop(p *health.Member) (*state.Command, Reason) {
	a := l.c.Attempt
	switch {
	case p == nil:
		return l.cancel("the primary's agent fell silent before the stop")
	case closed(p, l.c.Epoch) || p.Process == health.ProcessEnding:
		return l.force("the primary crashed before the stop")
	case l.Watch.held(l.c.Name+"/checkpoint") > checkpointBound:
		return l.cancel(fmt.Sprintf("the CHECKPOINT took longer than %s", checkpointBound))
	}
	if bad := l.SwitchoverBlockers(a.To); len(bad) > 0 && p.Checkpointed == a.Number {
		return l.cancel(bad[0])
	}
	if p.Checkpointed != a.Number {
		return wait(RuleSwitchover, "waiting for the CHECKPOINT on "+l.c.Primary)
	}
	return l.advance(state.PhaseStop, "CHECKPOINT done on "+l.c.Primary+"; its clean stop begins")
}

func (l *look) cancel(why string) (*state.Command, Reason) {
	return &state.Command{Abandon: &state.Abandon{Attempt: l.c.Attempt.Number, Reason: why + "; nothing was changed"}}, Reason{RuleSwitchover, why}
}

// chooseHandover picks the target among replicas that have replayed past the shutdown checkpoint.
func (l *look) chooseHandover(shutdown platform.LSN) choice {
	ch := choice{positions: map[string]platform.LSN{}, notChosen: map[string]string{}}
	var ready []string
	for _, name := range l.replicas() {
		r := l.fresh(name)
		if r != nil {
			ch.positions[name] = r.Position
		}
		if why := l.cannotTakeOver(name, l.c.Attempt.To); why != "" {
			ch.notChosen[name] = why
		} else if r.Replayed <= shutdown {
			ch.notChosen[name] = fmt.Sprintf("replayed to %s, not past the shutdown checkpoint at %s", r.Replayed, shutdown)
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
		ch.notChosen[name] = "as advanced as " + ch.best + ", which is preferred"
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

// cannotTakeOver says why a replica cannot be the target of a planned change, "" if it can.
func (l *look) cannotTakeOver(name, asked string) string {
	why := l.unable(name, asked)
	switch {
	case why != "":
		return why
	case l.fresh(name).ReplayPaused:
		return "its replay is paused, so it would not reach the primary's last record; first run SELECT pg_wal_replay_resume() on " + name
	case l.c.Attempt == nil && !l.fresh(name).Streams():
		return "it does not stream"
	}
	return ""
}

// unable is cannotTakeOver but for whether it receives anything just now.
func (l *look) unable(name, asked string) string {
	r, m := l.fresh(name), l.conf.Member(name)
	switch {
	case m == nil:
		return "there is no member " + name
	case asked != "" && asked != name:
		return asked + " was asked for"
	case r == nil:
		return l.unheard(name)
	case l.c.Members[name].Excluded != "":
		return l.c.Members[name].Excluded
	case l.fenceOf(name) != nil:
		return "its host is fenced; `mainstay unfence " + m.Host + "` gives it its power back"
	case m.Leaving:
		return "it is being removed; to keep it, apply a platform file that has it"
	case r.Guard.Watchdog.Lacks() != "":
		return r.Guard.Watchdog.Lacks()
	case r.Process != health.ProcessRunning || r.Role != health.RoleStandby:
		return "it is no running standby" + because(r)
	case len(r.Short) > 0:
		return "it would end if it were promoted: " + strings.Join(r.Short, "; ") + "; it is restarted with as much"
	case r.SystemID != l.c.SystemID:
		return "its data is of another cluster: it has another system identifier, " + r.SystemID
	case r.Timeline != l.c.Timeline:
		return fmt.Sprintf("it is on timeline %d, the cluster on %d; wait for its repair", r.Timeline, l.c.Timeline)
	case !m.MayLead && asked == "":
		return "may-lead is false; name it with --to, or set it to true"
	}
	return ""
}

// SwitchoverBlockers lists everything that speaks against a switchover to a member ("" for the best) right now.
func (l *look) SwitchoverBlockers(to string) []string {
	var bad []string
	p := l.fresh(l.c.Primary)
	switch {
	case to == l.c.Primary:
		return []string{to + " is the primary already; name another member, or none to have the best one"}
	case p == nil || p.Process != health.ProcessRunning || p.Role != health.RolePrimary || !l.c.Opened:
		return []string{"the primary " + l.c.Primary + " is not well; see `mainstay explain " + l.c.Name + "`"}
	}
	ready := 0
	for _, name := range l.replicas() {
		if to != "" && name != to {
			continue
		}
		why := l.cannotTakeOver(name, to)
		if r := l.fresh(name); why == "" && p.Position > r.Replayed && p.Position-r.Replayed > maxLag {
			why = fmt.Sprintf("it is %d bytes behind, more than %d", p.Position-r.Replayed, maxLag)
		}
		if why != "" {
			bad = append(bad, name+": "+why)
			continue
		}
		ready++
	}
	if ready > 0 {
		return nil
	}
	if len(bad) == 0 {
		bad = append(bad, fmt.Sprintf("cluster %s has no member %s; it has %s", l.c.Name, to, strings.Join(l.conf.Names(), ", ")))
	}
	return bad
}

// CheckSwitchover tells what speaks against a switchover and who would take over, for --dry-run and before Begin.
func CheckSwitchover(in Input, cluster, to string) (target string, blockers []string) {
	in.Watch = in.Watch.Clone()
	in.Watch.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return "", []string{"there is no cluster " + cluster}
	}
	if c.Primary == "" {
		return "", []string{"cluster " + cluster + " has no primary yet"}
	}
	l := &look{Input: in, c: c, conf: conf, decision: &Decision{}}
	if blockers := l.SwitchoverBlockers(to); len(blockers) > 0 {
		return "", blockers
	}
	var ready []string
	for _, name := range l.replicas() {
		if l.cannotTakeOver(name, to) == "" {
			ready = append(ready, name)
		}
	}
	l.byPreference(ready)
	return ready[0], nil
}
