package decide

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/health"
)

// detect names a failed primary and begins the failover. First-hand evidence (its own agent saw it end) acts at once;
// inference needs fresh votes from a majority of the expected observers: this leader, and the replicas' receivers.
func (l *look) detect() (*state.Command, Reason) {
	p := l.fresh(l.c.Primary)
	if l.c.Pause != nil {
		return l.downWhilePaused(p)
	}
	if p != nil {
		if closed(p, l.c.Epoch) || p.Process == health.ProcessEnding && p.Epoch == l.c.Epoch {
			return l.begin(health.PrimaryCrashed, "its agent saw the postmaster end", true)
		}
		if l.lostData(p) {
			return l.begin(health.PrimaryCrashed, "its data directory is "+string(p.Data), true)
		}
		if !l.c.Opened && l.c.SystemID != "" && l.Watch.held(l.c.Name+"/opening/"+l.c.Epoch.String()) > openBound {
			return l.begin(health.PrimaryStuck, fmt.Sprintf("it has not opened within %s%s", openBound, because(p)), true)
		}
		return nil, Reason{}
	}
	return l.unreachable()
}

// openBound is how long a member that answers may take to open its epoch: replaying what it has, promoting, checkpointing.
const openBound = 5 * time.Minute

// downWhilePaused says that a primary does not run, or is not heard, and that nothing is done about it (L7).
func (l *look) downWhilePaused(p *health.Member) (*state.Command, Reason) {
	pause := fmt.Sprintf("the cluster is paused by %s (%s), so nobody is promoted before `mainstay resume %s`", l.c.Pause.By, l.c.Pause.Reason, l.c.Name)
	switch silence := l.View.Silence(l.conf.Member(l.c.Primary).Host, l.Now); {
	case p == nil && silence > l.suspect():
		l.problem(health.PrimaryUnreachable, l.c.Primary, fmt.Sprintf("no report for %s; %s", round(silence), pause), false)
	case p != nil && (p.Process == health.ProcessEnded || p.Process == health.ProcessEnding):
		l.problem(health.PrimaryCrashed, l.c.Primary, "its PostgreSQL does not run; "+pause, false)
	default:
		return nil, Reason{}
	}
	return wait(RuleDetect, pause)
}

// lostData: a host that came back without its disk takes up the epoch and then has nothing to start.
func (l *look) lostData(p *health.Member) bool {
	return l.c.SystemID != "" && p.Process == health.ProcessEnded && (p.Data == health.DataEmpty || p.Data == health.DataForeign)
}

func (l *look) unreachable() (*state.Command, Reason) {
	host := l.conf.Member(l.c.Primary).Host
	silence := l.View.Silence(host, l.Now)
	if silence <= l.suspect() {
		return nil, Reason{}
	}
	if l.c.SystemID == "" {
		return wait(RuleDetect, fmt.Sprintf("no report for %s, and nobody else has data yet: waiting for %s to finish initialising", round(silence), l.c.Primary))
	}
	silent, streaming, absent := l.votes()
	if len(streaming) > 0 {
		text := fmt.Sprintf("no report for %s, but %s still receive from it: looking again, no failover", round(silence), strings.Join(streaming, ", "))
		l.problem(health.PrimaryAgentSilent, l.c.Primary, text, false)
		return nil, Reason{}
	}
	observers := 1 + len(l.replicas())
	if votes := 1 + len(silent); len(silent) == 0 || 2*votes <= observers {
		text := fmt.Sprintf("no report for %s, and too few observers answer to be sure (%d of %d; silent: %s)", round(silence), votes, observers, strings.Join(absent, ", "))
		l.problem(health.PrimaryUnreachable, l.c.Primary, text, false)
		return wait(RuleDetect, text)
	}
	return l.begin(health.PrimaryUnreachable, fmt.Sprintf("no report for %s, and %s receive nothing from it", round(silence), strings.Join(silent, ", ")), false)
}

// votes asks the replicas' receivers: who hears nothing from the primary, who still does, who does not answer.
func (l *look) votes() (silent, streaming, absent []string) {
	for _, name := range l.replicas() {
		switch r := l.fresh(name); {
		case r == nil:
			absent = append(absent, name)
		case r.Streams():
			streaming = append(streaming, name)
		default:
			silent = append(silent, name)
		}
	}
	return silent, streaming, absent
}

func (l *look) begin(kind health.Kind, evidence string, stopOld bool) (*state.Command, Reason) {
	l.problem(kind, l.c.Primary, evidence, true)
	reason := fmt.Sprintf("%s: %s, %s", kind, l.c.Primary, evidence)
	return &state.Command{Begin: &state.Begin{Kind: state.Failover, Reason: reason, StopOld: stopOld}}, Reason{RuleDetect, reason}
}

// problems names what is wrong but is not, by itself, a reason to fail over.
func (l *look) problems() {
	for _, m := range l.conf.Members {
		r := l.fresh(m.Name)
		if r == nil {
			if m.Name != l.c.Primary {
				l.problem(health.ReplicaMissing, m.Name, "its agent on "+m.Host+" has not been heard for "+round(l.View.Silence(m.Host, l.Now)).String(), false)
			}
			continue
		}
		l.memberProblems(m.Name, r)
	}
}

func (l *look) memberProblems(name string, r *health.Member) {
	primary := name == l.c.Primary
	if r.Error != "" {
		l.problem(health.AgentError, name, r.Error, false)
	}
	if !r.Guard.Complete {
		l.problem(health.NotProtected, name, "missing: "+strings.Join(r.Guard.Missing, ", "), false)
	}
	if len(r.PendingRestart) > 0 {
		l.problem(health.PendingRestart, name, strings.Join(r.PendingRestart, ", ")+" wait for a restart", false)
	}
	switch {
	case primary && r.SyncWaits > 0 && l.Watch.held(l.c.Name+"/syncwait").Seconds() > 2:
		l.problem(health.SyncBlocked, name, fmt.Sprintf("%d sessions wait for an acknowledgement", r.SyncWaits), false)
	case primary && r.Stale > 2000:
		l.problem(health.PrimaryStuck, name, fmt.Sprintf("a new connection has not been answered for %d ms", r.Stale), false)
	case !primary && r.Role == health.RolePrimary && r.Process == health.ProcessRunning:
		l.problem(health.TwoPrimaries, name, "it runs writable beside "+l.c.Primary+"; its agent has the order to stop it", true)
	case !primary && r.Needs != "":
		l.problem(health.ReplicaDiverged, name, "needs a "+r.Needs, true)
	case !primary && !r.Streams() && l.c.Attempt == nil && l.c.Opened:
		l.problem(health.ReplicaNotStreaming, name, "it receives nothing"+because(r), false)
	}
}
