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
// at once; inference needs fresh observations from a majority of the expected observers: controllers and the replicas' receivers.
func (v *clusterView) detect() (*state.Command, Reason) {
	p := v.fresh(v.c.Primary)
	if v.c.Pause != nil {
		return v.downWhilePaused(p)
	}
	if f := v.fenceOf(v.c.Primary); f != nil {
		return v.begin(health.HostFenced, Reason{Code: hostWasFenced, Other: f.By, Detail: f.Reason}, false)
	}
	if p == nil {
		return v.unreachable()
	}
	if closed(p, v.c.Epoch) || p.Process == health.ProcessEnding && p.Epoch == v.c.Epoch {
		return v.begin(health.PrimaryCrashed, Reason{Code: postmasterEnded}, true)
	}
	if v.lostData(p) {
		return v.begin(health.PrimaryCrashed, Reason{Code: dataLost, Detail: string(p.Data)}, true)
	}
	if !v.c.Opened && v.c.SystemID != "" && v.heldFor(primaryNotOpen, v.c.Epoch.String()) > openBound {
		return v.begin(health.PrimaryStuck, Reason{Code: notOpened, For: openBound, Detail: says(p)}, true)
	}
	if !v.c.Opened && v.c.SystemID != "" && p.Process == health.ProcessEnded && p.Error != "" { // a start of it has failed
		v.problem(health.PrimaryCrashed, v.c.Primary, Reason{Code: doesNotStart, Detail: p.Error}.String(), false)
	}
	if cmd, why := v.stuck(p); cmd != nil {
		return cmd, why
	}
	return v.appsCutOff()
}

// stuck: the host answers, but its own agent gets no new connection, or no small commit through. A server that refuses
// connections because every slot is taken is alive, unless a small commit hung before: then sessions that hang have taken
// them. A failing write path leads to a failover only if a replica can take over: a restart in place would not mend a full disk.
func (v *clusterView) stuck(p *health.Member) (*state.Command, Reason) {
	if !v.c.Opened || p.Process != health.ProcessRunning || p.Epoch != v.c.Epoch || p.Stale == 0 && p.WriteStale == 0 {
		return nil, Reason{}
	}
	bound := v.stuckBound().Milliseconds()
	if r := v.View.Report(v.conf.Member(v.c.Primary).Host); r != nil && r.Pressure.Starved() {
		bound *= excuse
	}
	if p.Stale > bound && !p.Saturated {
		evidence := Reason{Code: connectionsHang, For: time.Duration(p.Stale) * time.Millisecond}
		switch through := v.through(p.Stale); {
		case len(through) > 0:
			return v.notLeft(Reason{Code: slowNotStuck, Names: through, Because: []Reason{evidence}})
		case !v.succeeded() && p.Stale <= platform.Stuck(v.conf.Lease).Milliseconds()*excuse:
			return v.notLeft(join(evidence, Reason{Code: restartedIfItLasts}))
		}
		return v.begin(health.PrimaryStuck, evidence, true)
	}
	if p.WriteStale <= bound {
		return nil, Reason{}
	}
	evidence := Reason{Code: commitsHang, For: time.Duration(p.WriteStale) * time.Millisecond}
	if p.WriteError != "" {
		evidence.Detail = " (" + p.WriteError + ")"
	}
	if !v.succeeded() {
		return v.notLeft(join(evidence, Reason{Code: noReplicaTakesOver}))
	}
	return v.begin(health.PrimaryStuck, evidence, true)
}

// notLeft names the fault of a hanging primary that keeps its role all the same.
func (v *clusterView) notLeft(why Reason) (*state.Command, Reason) {
	v.problem(health.PrimaryStuck, v.c.Primary, why.String(), false)
	return nil, Reason{}
}

// excuse is the largest factor by which a bound on hanging is stretched, if ending the member would not help much, or its host
// has no time to answer.
const excuse = 3

// through names the controllers that the primary has answered, on a connection begun since it came to be stale.
func (v *clusterView) through(stale int64) (names []string) {
	m := v.conf.Member(v.c.Primary)
	for _, name := range v.Controllers {
		// the observation itself may be as old as that
		since := time.Duration(stale)*time.Millisecond - v.suspect()
		if o := v.View.Observation(name, m, v.suspect(), v.Now); o != nil && o.Probed(since) {
			names = append(names, name)
		}
	}
	return names
}

// stuckBound is shorter where the replicas bear it out: nothing comes from any of the primary's processes.
func (v *clusterView) stuckBound() time.Duration {
	if seen := v.observations(); len(seen.streaming) == 0 && len(seen.silent) > 0 {
		return v.suspect()
	}
	return platform.Stuck(v.conf.Lease)
}

// succeeded: some replica could take over from a primary that hangs, as far as can be told before it is sealed. Its connection
// stands, though nothing may come over it any more.
func (v *clusterView) succeeded() bool {
	for _, name := range v.replicas() {
		if !v.unable(name, "").given() {
			if at := v.fresh(name).Receiver; at != nil && at.Streaming {
				return true
			}
		}
	}
	return false
}

// openBound is how long a member that answers may take to open its epoch: replaying what it has, promoting, checkpointing.
const openBound = 5 * time.Minute

// downWhilePaused says that a primary does not run, or is not heard, and that Mainstay does not act on it (L7).
func (v *clusterView) downWhilePaused(p *health.Member) (*state.Command, Reason) {
	pause := Reason{Code: pausedBy, Cluster: v.c.Name, Other: v.c.Pause.By, Detail: v.c.Pause.Reason}
	switch silence := v.View.Silence(v.conf.Member(v.c.Primary).Host, v.Now); {
	case p == nil && silence > v.suspect():
		v.problem(health.PrimaryUnreachable, v.c.Primary, join(Reason{Code: noReportFor, For: silence}, pause).String(), false)
	case p != nil && (p.Process == health.ProcessEnded || p.Process == health.ProcessEnding):
		v.problem(health.PrimaryCrashed, v.c.Primary, join(Reason{Code: doesNotRun}, pause).String(), false)
	case p != nil && p.Role == health.RoleStandby:
		v.problem(health.PrimaryCrashed, v.c.Primary, join(Reason{Code: startedReadOnly}, pause).String(), false)
	default:
		return nil, Reason{}
	}
	return nil, pause
}

// lostData: a host that came back without its disk, or with a corrupt control file, takes up the epoch and then has nothing
// to start.
func (v *clusterView) lostData(p *health.Member) bool {
	return v.c.SystemID != "" && p.Process == health.ProcessEnded &&
		(p.Data == health.DataEmpty || p.Data == health.DataForeign || p.Corrupt != "")
}

func (v *clusterView) unreachable() (*state.Command, Reason) {
	host := v.conf.Member(v.c.Primary).Host
	silence := v.View.Silence(host, v.Now)
	if silence <= v.suspect() {
		return nil, Reason{}
	}
	since := Reason{Code: noReportFor, For: silence}
	if v.View.Hypothetical() {
		since.Code = noReport
	}
	if v.c.SystemID == "" {
		return nil, Reason{Code: onlyItHasData, Member: v.c.Primary, Because: []Reason{since}}
	}
	seen := v.observations()
	if 2*len(seen.hear) > seen.controllers {
		why := Reason{Code: leaderIsOddOneOut, Other: host, Names: seen.hear, Because: []Reason{since}}
		v.problem(health.ObserverIsolated, v.c.Primary, why.String(), true)
		v.decision.Transfer = true
		return nil, why
	}
	if alive := append(seen.streaming, append(seen.reach, seen.hear...)...); len(alive) > 0 {
		v.problem(health.PrimaryAgentSilent, v.c.Primary, Reason{Code: othersHaveContact, Names: alive, Because: []Reason{since}}.String(), false)
		return nil, Reason{}
	}
	if against := seen.deaf + len(seen.silent); len(seen.silent) == 0 || 2*against <= seen.expected {
		if cmd, why := v.reroute(); cmd != nil {
			return cmd, why // whose upstream is lost as well tells something once it looks for the primary itself
		}
		why := Reason{Code: tooFewObservers, Number: against, Of: seen.expected, Names: seen.absent, Because: []Reason{since}}
		v.problem(health.PrimaryUnreachable, v.c.Primary, why.String(), false)
		return nil, why
	}
	kind, lost := health.PrimaryUnreachable, v.siteLost(v.site(v.c.Primary))
	if lost.given() {
		kind, since = health.SiteLost, lost
	}
	if v.c.Recovered != "" && (!lost.given() || !v.recoveredAtHome()) {
		why := join(since, v.blockReason())
		v.problem(kind, v.c.Primary, why.String(), false)
		return nil, why
	}
	return v.begin(kind, Reason{Code: receiveNothing, Names: seen.silent, Because: []Reason{since}}, false)
}

// observations are the observers' fresh observations of a primary whose agent this leader does not hear.
type observations struct {
	expected    int // observers there should be: the controllers and the replicas
	controllers int // of them, controllers
	deaf        int // controllers that asked it after its agent fell silent, and had no answer

	hear      []string // controllers that its agent reports to
	reach     []string // controllers whose probes it answers
	streaming []string // replicas that receive from it
	silent    []string // replicas that receive nothing
	absent    []string // observers without a fresh observation, or that have not asked
}

// observations asks the controllers (what they hear, and their probes) and the replicas' receivers.
func (v *clusterView) observations() observations {
	// Of a primary reports come every heartbeat, and answers to probes.
	m, recent := v.conf.Member(v.c.Primary), 2*platform.Heartbeat(v.conf.Lease)
	observers := v.Controllers
	if len(observers) == 0 {
		observers = []string{v.Self}
	}
	seen := observations{controllers: len(observers), expected: len(observers)}
	for _, name := range observers {
		observation, self := v.View.Observation(name, m, v.suspect(), v.Now), name == v.Self
		switch {
		case observation == nil:
			seen.absent = append(seen.absent, name)
		case !self && observation.Heard(recent):
			seen.hear = append(seen.hear, name)
		case observation.Probed(recent):
			seen.reach = append(seen.reach, name)
		case observation.Failed(2 * v.suspect()):
			seen.deaf++
		default: // it has not asked, or has no answer yet
			seen.absent = append(seen.absent, name)
		}
	}
	for _, name := range v.replicas() {
		if v.c.Upstreams[name] != "" {
			continue // what it receives comes from another replica, and tells nothing of the primary
		}
		seen.expected++
		switch r := v.fresh(name); {
		case r == nil:
			seen.absent = append(seen.absent, name)
		case r.Streams():
			seen.streaming = append(seen.streaming, name)
		default:
			seen.silent = append(seen.silent, name)
		}
	}
	return seen
}

// blocked is for how long this leader has counted the block after the last automatic failover. A new leader counts anew:
// late, never early.
func (v *clusterView) blocked() time.Duration {
	return v.heldFor(failoverBlocked, v.c.Recovered)
}

func (v *clusterView) blockReason() Reason {
	return Reason{Code: recoveryBlock, Cluster: v.c.Name, Other: v.c.Recovered,
		For: max(0, (platform.RecoveryBlock - v.blocked()).Round(time.Second))}
}

// unblock ends the block when it has been counted out.
func (v *clusterView) unblock() (*state.Command, Reason) {
	if v.c.Recovered == "" || v.blocked() < platform.RecoveryBlock {
		return nil, Reason{}
	}
	return &state.Command{Ack: &state.Ack{Operation: v.c.Recovered}}, Reason{Code: blockEnds}
}

func (v *clusterView) begin(kind health.Kind, evidence Reason, stopOld bool) (*state.Command, Reason) {
	v.problem(kind, v.c.Primary, evidence.String(), true)
	why := Reason{Code: primaryFails, Kind: kind, Member: v.c.Primary, Because: []Reason{evidence}}
	return &state.Command{Begin: &state.Begin{Kind: state.Failover, Reason: why.String(), StopOld: stopOld}}, why
}

// paused names a pause for as long as it lasts: nothing else would show, in a cluster that is well, that a failure would have no answer.
func (v *clusterView) paused() {
	p := v.c.Pause
	if p == nil {
		return
	}
	why := Reason{Code: clusterPaused, Other: p.By, Is: p.Since, Detail: p.Reason}
	if p.Until != "" {
		why.Want = " until " + p.Until
	}
	if p.Resuming {
		why.Code = clusterResumes
	}
	v.problem(health.ClusterPaused, "", why.String(), false)
}

// problems names faults that alone are no reason to fail over.
func (v *clusterView) problems() {
	if v.c.Recovered != "" {
		v.problem(health.RecoveryBlocked, v.c.Primary, v.blockReason().String(), false)
	}
	for _, m := range v.conf.Members {
		if run := v.View.OtherRun(m.Host, v.suspect(), v.Now); run != "" {
			v.problem(health.ClonedMachine, m.Name,
				fmt.Sprintf("another agent (run %s) also reports as host %s: it is a copy of that machine, "+
					"and is ignored. Stop the copy", run, m.Host), false)
		}
		if v.c.Members[m.Name].Older {
			v.problem(health.OlderDisk, m.Name, "host "+m.Host+" came back with an older copy of its disk: a backup, a snapshot, or a copied "+
				"machine. What its data acknowledged does not count until it has rejoined", m.Name != v.c.Primary)
		}
		if r := v.View.Report(m.Host); r != nil && r.CertificateEnds != "" {
			v.problem(health.CertificateExpires, m.Name,
				fmt.Sprintf("the certificate of the agent of %s ends on %s: run `mainstay cert issue --role agent --name %s`. "+
					"Its date alone stops nothing", m.Host, r.CertificateEnds, m.Host), false)
		}
		if r := v.View.Report(m.Host); r != nil && r.Pressure.Busy() != "" && v.View.Silence(m.Host, v.Now) <= v.suspect() {
			v.problem(health.HostBusy, m.Name,
				fmt.Sprintf("host %s is busy: %s. No lease runs longer for it; "+
					"if CPUs are short, a primary that hangs is given up to %d times as long", m.Host, r.Pressure.Busy(), excuse), false)
		}
		if f := v.State.Fences[m.Host]; f != nil {
			v.problem(health.HostFenced, m.Name, fenceText(m.Host, f), false)
		}
	}
	for _, m := range v.conf.Members {
		r := v.fresh(m.Name)
		if r == nil {
			if m.Name != v.c.Primary {
				v.problem(health.ReplicaMissing, m.Name, v.unheard(m.Name).String(), false)
			}
			continue
		}
		v.memberProblems(m.Name, r)
	}
}

// unheard says why nothing fresh is known of a member.
func (v *clusterView) unheard(name string) Reason {
	host := v.conf.Member(name).Host
	silence := v.View.Silence(host, v.Now)
	if r := v.View.Report(host); r != nil && silence <= v.suspect() {
		if why := r.Unmanaged[name]; why != "" {
			return Reason{Code: agentCannot, Member: name, Other: host, Detail: why}
		}
		return Reason{Code: agentNotSpoken, Member: name, Other: host}
	}
	if v.View.Hypothetical() {
		return Reason{Code: agentGone, Member: name, Other: host}
	}
	return Reason{Code: agentNotHeard, Member: name, Other: host, For: silence}
}

// streams: while a cluster is paused its primary makes no small commits, so an idle stream brings nothing.
func (v *clusterView) streams(r *health.Member) bool {
	return r.Streams() || v.c.Pause != nil && r.Receiver != nil && r.Receiver.Streaming
}

// syncWait is for how long some session has waited for an acknowledgement.
func (v *clusterView) syncWait() time.Duration {
	if p := v.fresh(v.c.Primary); p == nil || p.SyncWaits == 0 {
		return 0
	}
	return v.heldFor(sessionsWait)
}

func (v *clusterView) memberProblems(name string, r *health.Member) {
	primary := name == v.c.Primary
	said := false // the error, by another problem
	defer func() {
		if r.Error != "" && !said {
			v.problem(health.AgentError, name, r.Error, false)
		}
	}()
	if !r.Guard.Complete {
		v.problem(health.NotProtected, name, "missing: "+strings.Join(r.Guard.Missing, ", "), false)
	}
	if r.Corrupt != "" {
		kind := health.ReplicaCorrupt
		if primary {
			kind = health.PrimaryCorrupt
		}
		v.problem(kind, name, r.Corrupt, !primary)
	} else if why := v.against(name, r); why != "" {
		v.damageProblem(name, why)
	} else if why := v.suspected(name, r); why != "" {
		v.problem(health.DataSuspect, name, why+"; that excludes no member: see `mainstay integrity show "+v.c.Name+"`", false)
	}
	if len(r.Short) > 0 {
		v.problem(health.SettingsTooLow, name, strings.Join(r.Short, "; ")+
			": it replays no further, and PostgreSQL would end if it were promoted; its agent restarts it with the primary's values", true)
	} else if len(r.Raised) > 0 {
		v.problem(health.SettingsTooLow, name, "started with a higher "+strings.Join(r.Raised, ", ")+
			" than its own configuration has, because its primary had that: raise it there", false)
	}
	if len(r.Full) > 0 {
		v.problem(health.DiskFull, name, "no room is left in "+strings.Join(r.Full, ", ")+
			". Give it room, but remove nothing from pg_wal by hand", false)
	}
	if len(r.NoFolder) > 0 && !primary {
		v.problem(health.TablespaceMissing, name, fmt.Sprintf("its host %s lacks the folders of tablespaces that %s has: %s. "+
			"Its replay ends where they were made: make each folder on %[1]s, empty, and give it to PostgreSQL's user",
			v.conf.Member(name).Host, v.c.Primary, strings.Join(r.NoFolder, ", ")), false)
	}
	if len(r.Tablespaces) > 0 {
		v.sharedSpaces(name, r)
	}
	if len(r.Overridden) > 0 {
		v.problem(health.SettingOverridden, name, "its user's files override settings that Mainstay manages: "+overrides(r.Overridden), false)
	}
	if r.Replaced != nil {
		v.problem(health.HostFilesReplaced, name, r.Replaced.String(), false)
	}
	if len(r.StuckWorkers) > 0 && r.Process == health.ProcessRunning {
		v.problem(health.IOWorkersStuck, name, "its I/O workers do nothing, so that queries which read from disk hang: "+
			strings.Join(r.StuckWorkers, ", ")+". Continue them on its host, or switch over and restart it", false)
	}
	v.archiving(name, r)
	v.collations(name, r)
	v.logSigns(name, r)
	if primary {
		v.sendersTaken(r)
	}
	if len(r.Unusable) > 0 && r.Process == health.ProcessRunning {
		v.problem(health.ConfigurationBroken, name, "its PostgreSQL cannot use "+strings.Join(r.Unusable, "; ")+
			". It would not start again", false)
	}
	if text := startTime(r); text != "" {
		v.problem(health.PendingRestart, name, text, false)
	}
	switch {
	case primary && r.SyncWaits > 0 && v.syncWait().Seconds() > 2:
		v.problem(health.SyncBlocked, name, fmt.Sprintf("%d sessions wait for an acknowledgement", r.SyncWaits)+v.frozenSilent(), false)
	case primary && r.Saturated:
		v.problem(health.PrimarySaturated, name,
			"every connection slot is taken: new connections are refused. Raise max_connections, or see in pg_stat_activity what holds them", false)
	case !primary && r.Role == health.RolePrimary && r.Process == health.ProcessRunning:
		v.problem(health.TwoPrimaries, name, "it runs writable beside "+v.c.Primary+"; its agent has been told to stop it", true)
	case !primary && (r.Still > 0 || v.crashedAlike(r) != "") && v.fresh(v.c.Primary) != nil && v.lineAtFault(v.fresh(v.c.Primary), r).given():
		v.problem(health.ReplicaNotStreaming, name, v.lineAtFault(v.fresh(v.c.Primary), r).String(), true)
	case !primary && r.Needs != "" && v.against(name, r) == "":
		v.problem(health.ReplicaDiverged, name, "needs a "+r.Needs, true)
	case !primary && v.c.Members[name].Frozen() != nil: // said by freezeProblems
	case !primary && !v.streams(r) && v.c.Attempt == nil && v.c.Opened:
		why := "it receives nothing" + says(r)
		if r.CatchUp != nil && r.Error == "" {
			why = "it does not stream yet: " + r.CatchUp.String()
		}
		v.problem(health.ReplicaNotStreaming, name, why, false)
		said = true
	}
}
