package decide

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// detect names a failed primary and begins the failover. First-hand evidence (its own agent saw it end, or saw it stuck) acts
// at once; inference needs fresh votes from a majority of the expected observers: controllers and the replicas' receivers.
func (l *look) detect() (*state.Command, Reason) {
	p := l.fresh(l.c.Primary)
	if l.c.Pause != nil {
		return l.downWhilePaused(p)
	}
	if f := l.fenceOf(l.c.Primary); f != nil {
		return l.begin(health.HostFenced, Reason{Code: hostWasFenced, Other: f.By, Detail: f.Reason}, false)
	}
	if p == nil {
		return l.unreachable()
	}
	if closed(p, l.c.Epoch) || p.Process == health.ProcessEnding && p.Epoch == l.c.Epoch {
		return l.begin(health.PrimaryCrashed, Reason{Code: postmasterEnded}, true)
	}
	if l.lostData(p) {
		return l.begin(health.PrimaryCrashed, Reason{Code: dataLost, Detail: string(p.Data)}, true)
	}
	if !l.c.Opened && l.c.SystemID != "" && l.Watch.held(l.c.Name+"/opening/"+l.c.Epoch.String()) > openBound {
		return l.begin(health.PrimaryStuck, Reason{Code: notOpened, For: openBound, Detail: says(p)}, true)
	}
	if cmd, why := l.stuck(p); cmd != nil {
		return cmd, why
	}
	return l.appsCutOff()
}

// stuck: the host answers, but its own agent gets no new connection, or no small commit through. A server that refuses
// connections because every slot is taken is alive, unless a small commit hung before: then sessions that hang have taken
// them. A failing write path is left only for somebody who can take over: a restart in place would not mend a full disk.
func (l *look) stuck(p *health.Member) (*state.Command, Reason) {
	if !l.c.Opened || p.Process != health.ProcessRunning || p.Epoch != l.c.Epoch || p.Stale == 0 && p.WriteStale == 0 {
		return nil, Reason{}
	}
	bound := l.stuckBound().Milliseconds()
	if r := l.View.Report(l.conf.Member(l.c.Primary).Host); r != nil && r.Pressure.Starved() {
		bound *= excuse
	}
	if p.Stale > bound && !p.Saturated {
		evidence := Reason{Code: connectionsHang, For: time.Duration(p.Stale) * time.Millisecond}
		switch through := l.through(p.Stale); {
		case len(through) > 0:
			return l.notLeft(Reason{Code: slowNotStuck, Names: through, Because: []Reason{evidence}})
		case !l.succeeded() && p.Stale <= platform.Stuck(l.conf.Lease).Milliseconds()*excuse:
			return l.notLeft(join(evidence, Reason{Code: restartedIfItLasts}))
		}
		return l.begin(health.PrimaryStuck, evidence, true)
	}
	if p.WriteStale <= bound {
		return nil, Reason{}
	}
	evidence := Reason{Code: commitsHang, For: time.Duration(p.WriteStale) * time.Millisecond}
	if p.WriteError != "" {
		evidence.Detail = " (" + p.WriteError + ")"
	}
	if !l.succeeded() {
		return l.notLeft(join(evidence, Reason{Code: nobodyTakesOver}))
	}
	return l.begin(health.PrimaryStuck, evidence, true)
}

// notLeft names what hangs of a primary that keeps its role all the same.
func (l *look) notLeft(why Reason) (*state.Command, Reason) {
	l.problem(health.PrimaryStuck, l.c.Primary, why.String(), false)
	return nil, Reason{}
}

// excuse is by how much a bound on what hangs is stretched, at most, where ending the member would not help much, or its host
// has no time to answer.
const excuse = 3

// through names the controllers that the primary has answered, on a connection begun since it came to be stale.
func (l *look) through(stale int64) (names []string) {
	m := l.conf.Member(l.c.Primary)
	for _, name := range l.Controllers {
		// the vote itself may be as old as that
		since := time.Duration(stale)*time.Millisecond - l.suspect()
		if v := l.View.Vote(name, m, l.suspect(), l.Now); v != nil && v.Probed(since) {
			names = append(names, name)
		}
	}
	return names
}

// stuckBound is shorter where the replicas bear it out: nothing comes from any of the primary's processes.
func (l *look) stuckBound() time.Duration {
	if v := l.votes(); len(v.streaming) == 0 && len(v.silent) > 0 {
		return l.suspect()
	}
	return platform.Stuck(l.conf.Lease)
}

// succeeded: some replica could take over from a primary that hangs, as far as can be told before it is sealed. Its connection
// stands, though nothing may come over it any more.
func (l *look) succeeded() bool {
	for _, name := range l.replicas() {
		if !l.unable(name, "").given() {
			if at := l.fresh(name).Receiver; at != nil && at.Streaming {
				return true
			}
		}
	}
	return false
}

// openBound is how long a member that answers may take to open its epoch: replaying what it has, promoting, checkpointing.
const openBound = 5 * time.Minute

// downWhilePaused says that a primary does not run, or is not heard, and that nothing is done about it (L7).
func (l *look) downWhilePaused(p *health.Member) (*state.Command, Reason) {
	pause := Reason{Code: pausedBy, Cluster: l.c.Name, Other: l.c.Pause.By, Detail: l.c.Pause.Reason}
	switch silence := l.View.Silence(l.conf.Member(l.c.Primary).Host, l.Now); {
	case p == nil && silence > l.suspect():
		l.problem(health.PrimaryUnreachable, l.c.Primary, join(Reason{Code: noReportFor, For: silence}, pause).String(), false)
	case p != nil && (p.Process == health.ProcessEnded || p.Process == health.ProcessEnding):
		l.problem(health.PrimaryCrashed, l.c.Primary, join(Reason{Code: doesNotRun}, pause).String(), false)
	default:
		return nil, Reason{}
	}
	return nil, pause
}

// lostData: a host that came back without its disk, or with a corrupt control file, takes up the epoch and then has nothing
// to start.
func (l *look) lostData(p *health.Member) bool {
	return l.c.SystemID != "" && p.Process == health.ProcessEnded &&
		(p.Data == health.DataEmpty || p.Data == health.DataForeign || p.Corrupt != "")
}

func (l *look) unreachable() (*state.Command, Reason) {
	host := l.conf.Member(l.c.Primary).Host
	silence := l.View.Silence(host, l.Now)
	if silence <= l.suspect() {
		return nil, Reason{}
	}
	since := Reason{Code: noReportFor, For: silence}
	if l.View.Imagined() {
		since.Code = noReport
	}
	if l.c.SystemID == "" {
		return nil, Reason{Code: onlyItHasData, Member: l.c.Primary, Because: []Reason{since}}
	}
	v := l.votes()
	if 2*len(v.hear) > v.controllers {
		why := Reason{Code: leaderIsOddOneOut, Other: host, Names: v.hear, Because: []Reason{since}}
		l.problem(health.ObserverIsolated, l.c.Primary, why.String(), true)
		l.decision.Transfer = true
		return nil, why
	}
	if alive := append(v.streaming, append(v.reach, v.hear...)...); len(alive) > 0 {
		l.problem(health.PrimaryAgentSilent, l.c.Primary, Reason{Code: othersHaveContact, Names: alive, Because: []Reason{since}}.String(), false)
		return nil, Reason{}
	}
	if votes := v.deaf + len(v.silent); len(v.silent) == 0 || 2*votes <= v.expected {
		if cmd, why := l.reroute(); cmd != nil {
			return cmd, why // whose relay is lost as well tells something once it looks for the primary itself
		}
		why := Reason{Code: tooFewObservers, Number: votes, Of: v.expected, Names: v.absent, Because: []Reason{since}}
		l.problem(health.PrimaryUnreachable, l.c.Primary, why.String(), false)
		return nil, why
	}
	kind, lost := health.PrimaryUnreachable, l.siteLost(l.site(l.c.Primary))
	if lost.given() {
		kind, since = health.SiteLost, lost
	}
	if l.c.Recovered != "" && (!lost.given() || !l.recoveredAtHome()) {
		why := join(since, l.blockReason())
		l.problem(kind, l.c.Primary, why.String(), false)
		return nil, why
	}
	return l.begin(kind, Reason{Code: receiveNothing, Names: v.silent, Because: []Reason{since}}, false)
}

// votes are the observers' fresh words about a primary whose agent this leader does not hear.
type votes struct {
	expected    int // observers there should be: the controllers and the replicas
	controllers int // of them, controllers
	deaf        int // controllers that asked it after its agent fell silent, and had no answer

	hear      []string // controllers that its agent reports to
	reach     []string // controllers whose probes it answers
	streaming []string // replicas that receive from it
	silent    []string // replicas that receive nothing
	absent    []string // observers without a fresh word, or that have not asked
}

// votes asks the controllers (what they hear, and their probes) and the replicas' receivers.
func (l *look) votes() votes {
	// Of a primary reports come every heartbeat, and answers to probes.
	m, recent := l.conf.Member(l.c.Primary), 2*platform.Heartbeat(l.conf.Lease)
	observers := l.Controllers
	if len(observers) == 0 {
		observers = []string{l.Self}
	}
	v := votes{controllers: len(observers), expected: len(observers)}
	for _, name := range observers {
		vote, self := l.View.Vote(name, m, l.suspect(), l.Now), name == l.Self
		switch {
		case vote == nil:
			v.absent = append(v.absent, name)
		case !self && vote.Heard(recent):
			v.hear = append(v.hear, name)
		case vote.Probed(recent):
			v.reach = append(v.reach, name)
		case vote.Failed(2 * l.suspect()):
			v.deaf++
		default: // it has not asked, or has no answer yet
			v.absent = append(v.absent, name)
		}
	}
	for _, name := range l.replicas() {
		if l.c.Upstreams[name] != "" {
			continue // what it receives comes from another replica, and tells nothing of the primary
		}
		v.expected++
		switch r := l.fresh(name); {
		case r == nil:
			v.absent = append(v.absent, name)
		case r.Streams():
			v.streaming = append(v.streaming, name)
		default:
			v.silent = append(v.silent, name)
		}
	}
	return v
}

// blocked is for how long this leader has counted the block after the last automatic failover. A new leader counts anew:
// late rather than early.
func (l *look) blocked() time.Duration {
	return l.Watch.held(l.c.Name + "/recovered/" + l.c.Recovered)
}

func (l *look) blockReason() Reason {
	return Reason{Code: recoveryBlock, Cluster: l.c.Name, Other: l.c.Recovered,
		For: max(0, (platform.RecoveryBlock - l.blocked()).Round(time.Second))}
}

// unblock ends the block when it has been counted out.
func (l *look) unblock() (*state.Command, Reason) {
	if l.c.Recovered == "" || l.blocked() < platform.RecoveryBlock {
		return nil, Reason{}
	}
	return &state.Command{Ack: &state.Ack{Operation: l.c.Recovered}}, Reason{Code: blockEnds}
}

func (l *look) begin(kind health.Kind, evidence Reason, stopOld bool) (*state.Command, Reason) {
	l.problem(kind, l.c.Primary, evidence.String(), true)
	why := Reason{Code: primaryFails, Kind: kind, Member: l.c.Primary, Because: []Reason{evidence}}
	return &state.Command{Begin: &state.Begin{Kind: state.Failover, Reason: why.String(), StopOld: stopOld}}, why
}

// problems names what is wrong but is not, by itself, a reason to fail over.
func (l *look) problems() {
	if l.c.Recovered != "" {
		l.problem(health.RecoveryBlocked, l.c.Primary, l.blockReason().String(), false)
	}
	for _, m := range l.conf.Members {
		if run := l.View.Rival(m.Host, l.suspect(), l.Now); run != "" {
			l.problem(health.ClonedMachine, m.Name,
				fmt.Sprintf("another agent (run %s) also reports as host %s: it is a copy of that machine, "+
					"and is not obeyed. Stop it", run, m.Host), false)
		}
		if r := l.View.Report(m.Host); r != nil && r.CertificateEnds != "" {
			l.problem(health.CertificateExpires, m.Name,
				fmt.Sprintf("the certificate of the agent of %s ends on %s: run `mainstay cert issue --role agent --name %s`. "+
					"Its date alone stops nothing", m.Host, r.CertificateEnds, m.Host), false)
		}
		if r := l.View.Report(m.Host); r != nil && r.Pressure.Busy() != "" && l.View.Silence(m.Host, l.Now) <= l.suspect() {
			l.problem(health.HostBusy, m.Name,
				fmt.Sprintf("host %s is busy: %s. No lease runs longer for it; "+
					"where CPUs are short a primary that hangs is given up to %d times as long", m.Host, r.Pressure.Busy(), excuse), false)
		}
		if f := l.State.Fences[m.Host]; f != nil {
			l.problem(health.HostFenced, m.Name, fenceText(m.Host, f), false)
		}
	}
	for _, m := range l.conf.Members {
		r := l.fresh(m.Name)
		if r == nil {
			if m.Name != l.c.Primary {
				l.problem(health.ReplicaMissing, m.Name, l.unheard(m.Name).String(), false)
			}
			continue
		}
		l.memberProblems(m.Name, r)
	}
}

// unheard says why nothing fresh is known of a member.
func (l *look) unheard(name string) Reason {
	host := l.conf.Member(name).Host
	silence := l.View.Silence(host, l.Now)
	if r := l.View.Report(host); r != nil && silence <= l.suspect() {
		if why := r.Unfit[name]; why != "" {
			return Reason{Code: agentCannot, Member: name, Other: host, Detail: why}
		}
		return Reason{Code: agentNotSpoken, Member: name, Other: host}
	}
	if l.View.Imagined() {
		return Reason{Code: agentGone, Member: name, Other: host}
	}
	return Reason{Code: agentNotHeard, Member: name, Other: host, For: silence}
}

// streams: while a cluster is paused its primary makes no small commits, so an idle stream brings nothing.
func (l *look) streams(r *health.Member) bool {
	return r.Streams() || l.c.Pause != nil && r.Receiver != nil && r.Receiver.Streaming
}

// syncWait is for how long some session has waited for an acknowledgement.
func (l *look) syncWait() time.Duration {
	if p := l.fresh(l.c.Primary); p == nil || p.SyncWaits == 0 {
		return 0
	}
	return l.Watch.held(l.c.Name + "/syncwait")
}

func (l *look) memberProblems(name string, r *health.Member) {
	primary := name == l.c.Primary
	said := false // the error, by another problem
	defer func() {
		if r.Error != "" && !said {
			l.problem(health.AgentError, name, r.Error, false)
		}
	}()
	if !r.Guard.Complete {
		l.problem(health.NotProtected, name, "missing: "+strings.Join(r.Guard.Missing, ", "), false)
	}
	if r.Corrupt != "" {
		kind := health.ReplicaCorrupt
		if primary {
			kind = health.PrimaryCorrupt
		}
		l.problem(kind, name, r.Corrupt, !primary)
	}
	if len(r.Short) > 0 {
		l.problem(health.SettingsTooLow, name, strings.Join(r.Short, "; ")+
			": it replays no further, and would end if it were promoted; it is restarted with as much", true)
	} else if len(r.Raised) > 0 {
		l.problem(health.SettingsTooLow, name, "started with more "+strings.Join(r.Raised, ", ")+
			" than its own configuration has, because its primary had that: raise it there", false)
	}
	if len(r.PendingRestart) > 0 {
		l.problem(health.PendingRestart, name, "it needs a restart for "+strings.Join(r.PendingRestart, ", "), false)
	}
	switch {
	case primary && r.SyncWaits > 0 && l.syncWait().Seconds() > 2:
		l.problem(health.SyncBlocked, name, fmt.Sprintf("%d sessions wait for an acknowledgement", r.SyncWaits), false)
	case primary && r.Saturated:
		l.problem(health.PrimarySaturated, name,
			"every connection slot is taken: new connections are refused. Raise max_connections or find out who holds them", false)
	case !primary && r.Role == health.RolePrimary && r.Process == health.ProcessRunning:
		l.problem(health.TwoPrimaries, name, "it runs writable beside "+l.c.Primary+"; its agent has the order to stop it", true)
	case !primary && (r.Still > 0 || l.crashedAlike(r) != "") && l.fresh(l.c.Primary) != nil && l.lineAtFault(l.fresh(l.c.Primary), r).given():
		l.problem(health.ReplicaNotStreaming, name, l.lineAtFault(l.fresh(l.c.Primary), r).String(), true)
	case !primary && r.Needs != "":
		l.problem(health.ReplicaDiverged, name, "needs a "+r.Needs, true)
	case !primary && !l.streams(r) && l.c.Attempt == nil && l.c.Opened:
		l.problem(health.ReplicaNotStreaming, name, "it receives nothing"+says(r), false)
		said = true
	}
}
