package decide

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// graceForSeals is how long a fenced cluster waits for seals of replicas that answer, when going on without them would
// lose something or cost a restart.
const graceForSeals = 3 * time.Second

// byPolicy is who accepts a loss where the cluster's own policy does.
const byPolicy = "policy"

// fence drives an attempt that seals: it collects a proof and the positions, then promotes, restarts the old primary in
// place, or abandons. Its inputs are durable promises and sealed positions, so any leader comes to the same end (S7).
func (l *look) fence() (*state.Command, Reason) {
	a := l.c.Attempt
	old := l.known(l.c.Primary)
	ch := l.choose()
	if why := l.overtaken(); why.given() {
		return l.leaveToOperator(why)
	}
	if l.turnedOutWell(ch) {
		why := Reason{Code: wellAgain, Member: l.c.Primary}
		return &state.Command{Abandon: &state.Abandon{Attempt: a.Number, Reason: why.String()}},
			Reason{Code: abandons, Member: l.c.Primary, Because: []Reason{why}}
	}
	if a.Feed != nil {
		return l.feed(a.Feed)
	}
	if cmd, why := l.withdrawFence(); cmd != nil {
		return cmd, why
	}
	if cmd, why := l.handWALOver(old, ch); cmd != nil {
		return cmd, why
	}
	proof := l.proof(old, ch.sealed)
	if proof == nil {
		return l.waitForProof(ch)
	}
	if l.cleanlyStopped(old) {
		if name := l.caughtUp(old.Shutdown, ch); name != "" {
			ch.best = name
			return l.promote(*proof, ch, true, Reason{})
		}
	}
	return l.promoteComplete(*proof, ch, old)
}

func (l *look) promoteComplete(proof fencing.Proof, ch choice, old *health.Member) (*state.Command, Reason) {
	if l.c.Doubtful {
		return l.promoteDoubtful(proof, ch, old)
	}
	incomplete, a := state.Complete(l.c.Sets, ch.sealed), l.c.Attempt.Accepted
	if incomplete == nil && ch.best != "" && !l.worthWaiting(ch) {
		return l.promote(proof, ch, false, l.loss(ch))
	}
	if l.sealing(ch) {
		return nil, Reason{Code: sealsAwaited, Names: ch.pending}
	}
	if incomplete == nil && ch.best != "" {
		return l.promote(proof, ch, false, l.loss(ch))
	}
	l.askApproval(ch)
	if l.restartable(old) {
		ch.instead(l.c.Primary, incomplete)
		return l.promote(proof, ch, false, Reason{})
	}
	if cmd, why := l.stopToRestart(); cmd != nil {
		return cmd, why
	}
	if cmd, why := l.needBack(); cmd != nil && (a == nil || !a.Completeness) {
		return cmd, why
	}
	if incomplete != nil {
		return l.waitOrAccept(proof, ch, Reason{Code: notComplete, Detail: incomplete.Error()})
	}
	if why := l.unapproved(ch); why.given() {
		return nil, why
	}
	return l.waitOrAccept(proof, ch, Reason{Code: nobodyEligible})
}

// handWALOver lets the one that is ahead and may not lead give what it has to the one that may. It needs a proof like a
// promotion, to which whoever is sealed counts, behind or ahead; afterwards none of them is ahead.
func (l *look) handWALOver(old *health.Member, ch choice) (*state.Command, Reason) {
	from := ch.ahead()
	if from == "" || l.c.Attempt.Fed || l.c.Doubtful || l.proof(old, ch.all) == nil ||
		l.cleanlyStopped(old) && l.caughtUp(old.Shutdown, ch) != "" {
		return nil, Reason{}
	}
	if state.Complete(l.c.Sets, ch.sealed) == nil && !l.asynchronous() {
		return nil, Reason{}
	}
	return l.advanceSeal(&state.Feed{From: from, To: ch.best}, Reason{Code: handsWALOver, Member: from, Other: ch.best})
}

// stopToRestart: the primary was to turn out well, answers, and has not: nobody can go on without it, so let it be stopped
// and restarted in place. It may never have taken up its epoch, and then nothing else closes it.
func (l *look) stopToRestart() (*state.Command, Reason) {
	if old := l.fresh(l.c.Primary); old == nil || closed(old, l.c.Epoch) || l.c.Attempt.StopOld {
		return nil, Reason{}
	}
	why := Reason{Code: neededAgain, Member: l.c.Primary}
	return &state.Command{Advance: &state.Advance{Attempt: l.c.Attempt.Number, Phase: state.PhaseSeal, StopOld: true, Note: why.String()}}, why
}

// sealing: members that answer are yet to be sealed, and have the time that is given for it.
func (l *look) sealing(ch choice) bool {
	return len(ch.pending) > 0 && l.Watch.held(l.c.Name+"/seals") < graceForSeals
}

// worthWaiting: under asynchronous replication nothing shows completeness, so every replica that answers is asked first.
func (l *look) worthWaiting(ch choice) bool {
	return l.asynchronous() && len(ch.pending) > 0
}

// asynchronous: under one of the sets in force commits were acknowledged that nobody else may hold.
func (l *look) asynchronous() bool {
	for _, s := range l.c.Sets {
		if s.Acks == 0 {
			return true
		}
	}
	return false
}

// loss says what an asynchronous promotion may have lost: what the old primary had written when it was last heard.
func (l *look) loss(ch choice) Reason {
	if !l.asynchronous() {
		return Reason{}
	}
	have := ch.positions[ch.best]
	old := l.known(l.c.Primary)
	if old == nil || old.Position == 0 {
		return Reason{Code: lossUnknown, At: have}
	}
	if old.Position <= have {
		return Reason{Code: lossSinceReport, At: old.Position}
	}
	return Reason{Code: lossAtLeast, At: have, Past: old.Position, Number: int(old.Position - have)}
}

// waitOrAccept applies the policy for a cluster in which no candidate can be shown to hold every acknowledged commit. The loss
// that a policy accepts is bounded; after a recovery of the controllers nothing bounds it, so only a person's word counts.
func (l *look) waitOrAccept(proof fencing.Proof, ch choice, why Reason) (*state.Command, Reason) {
	a := l.c.Attempt
	if a.Accepted != nil && a.Accepted.Completeness && ch.best != "" {
		return l.promote(proof, ch, false, Reason{Code: lossAccepted, Other: a.Accepted.By, Detail: a.Accepted.Reason, Because: []Reason{why}})
	}
	p := l.conf.Failover
	if p.WhenIncomplete == platform.AcceptWhenIncomplete && !l.c.Doubtful &&
		ch.best != "" && l.Watch.held(l.c.Name+"/incomplete") >= p.AcceptAfter {
		acc := &state.Acceptance{By: byPolicy, Reason: "failover.when-incomplete: accept", Completeness: true}
		return &state.Command{Advance: &state.Advance{Attempt: a.Number, Phase: state.PhaseSeal, Accepted: acc, Note: why.String()}},
			Reason{Code: policyAccepts, Because: []Reason{why}}
	}
	return l.failoverWaits("", Reason{Code: noPromotion, Cluster: l.c.Name, Because: []Reason{why}})
}

// proof returns the first proof there is that the epoch in force is fenced (S4), or nil. A report's age does not matter
// for `stopped`: it is a durable promise.
func (l *look) proof(old *health.Member, sealed []state.Sealed) *fencing.Proof {
	e := l.c.Epoch
	if closed(old, e) {
		return &fencing.Proof{Kind: fencing.Stopped, Epoch: e, Detail: "its agent saw the last process end and closed the epoch"}
	}
	if !l.c.Doubtful && state.QuorumSealed(l.c.Sets, sealed) {
		return &fencing.Proof{Kind: fencing.QuorumSealed, Epoch: e,
			Detail: fmt.Sprintf("%d members sealed; nothing can be acknowledged any more", len(sealed))}
	}
	if end := l.leaseEnd(); l.c.Guarded && l.Now > end && state.Unvouched(l.c.Sets, l.c.Members, sealed) {
		return &fencing.Proof{Kind: fencing.LeaseExpired, Epoch: e, Detail: fmt.Sprintf("counted out %s ago", round(l.Now-end))}
	}
	if f := l.fenceOf(l.c.Primary); f != nil && f.Off {
		return &fencing.Proof{Kind: fencing.PoweredOff, Epoch: e, Detail: f.Detail}
	}
	if a := l.c.Attempt.Accepted; a != nil && a.Fence {
		return &fencing.Proof{Kind: fencing.Operator, Epoch: e, Detail: a.Reason, By: a.By}
	}
	return nil
}

func closed(m *health.Member, e platform.Epoch) bool {
	return m != nil && m.Process == health.ProcessEnded && !m.Closed.Less(e)
}

func (l *look) leaseEnd() time.Duration {
	return l.Leases.End(l.c.Name, l.c.Primary, l.c.Epoch, l.c.LongestLease)
}

func (l *look) waitForProof(ch choice) (*state.Command, Reason) {
	l.askApproval(ch)
	if cmd, why := l.stopToRestart(); cmd != nil {
		return cmd, why // its agent answers, and can close the epoch
	}
	if cmd, why := l.cutPower(ch); cmd != nil {
		return cmd, why
	}
	if !l.c.Guarded {
		return l.failoverWaits(l.c.Primary, Reason{Code: neverGuarded, Cluster: l.c.Name, Member: l.c.Primary})
	}
	if l.Now > l.leaseEnd() {
		return l.failoverWaits(l.c.Primary, Reason{Code: othersMayVouch, Cluster: l.c.Name, Member: l.c.Primary})
	}
	return nil, Reason{Code: proofAwaited, Member: l.c.Primary, For: l.leaseEnd() - l.Now}
}

// failoverWaits waits for something that does not come about without an operator.
func (l *look) failoverWaits(member string, why Reason) (*state.Command, Reason) {
	l.problem(health.FailoverWaits, member, why.String(), false)
	return nil, why
}

// turnedOutWell: an unreachable primary reports again before anything was promoted, it still runs its epoch, and no
// candidate is ready. Then the epoch is not wasted: the attempt is abandoned. That seals have fenced it already matters only
// where somebody may be promoted: they end with the attempt.
func (l *look) turnedOutWell(ch choice) bool {
	old := l.fresh(l.c.Primary)
	return !l.c.Attempt.StopOld && l.fenceOf(l.c.Primary) == nil && old != nil &&
		old.Process == health.ProcessRunning && old.Role == health.RolePrimary &&
		old.Epoch == l.c.Epoch && (ch.best == "" && state.QuorumSealed(l.c.Sets, ch.sealed) || l.proof(old, ch.sealed) == nil)
}

func (l *look) cleanlyStopped(old *health.Member) bool {
	return closed(old, l.c.Epoch) && old.Clean && old.Shutdown != 0
}

// caughtUp finds the best member that has replayed past the shutdown checkpoint: it holds everything (the token).
func (l *look) caughtUp(shutdown platform.LSN, ch choice) string {
	if ch.best == "" {
		return ""
	}
	if r := l.fresh(ch.best); r != nil && r.Timeline == l.c.Timeline && r.Replayed > shutdown {
		return ch.best
	}
	return ""
}

// restartable: the old primary's agent answers, its data is there and nothing speaks against it. It satisfies the sets of
// its own and earlier epochs by itself.
func (l *look) restartable(old *health.Member) bool {
	return l.fresh(l.c.Primary) != nil && l.fenceOf(l.c.Primary) == nil && closed(old, l.c.Epoch) &&
		old.Data == health.DataPresent && old.Corrupt == "" &&
		l.c.Members[l.c.Primary].Excluded == "" && (!l.insisted() || l.c.Attempt.To == l.c.Primary)
}

func (l *look) promote(proof fencing.Proof, ch choice, clean bool, loss Reason) (*state.Command, Reason) {
	timeline := l.c.HighTimeline + 1
	if ch.best == l.c.Primary {
		timeline = l.c.Timeline
	}
	ch.notChosen[l.c.Primary] = Reason{Code: isReplaced, Member: l.c.Primary}
	delete(ch.notChosen, ch.best)
	why := Reason{Rule: RuleAttempt, Code: promotes, Member: ch.best}
	if loss.given() {
		why.Because = append(why.Because, loss)
	}
	for i := range l.conf.Members {
		if not, ok := ch.notChosen[l.conf.Members[i].Name]; ok {
			why.Because = append(why.Because, not)
		}
	}
	r := l.known(ch.best)
	p := &state.Promote{Attempt: l.c.Attempt.Number, Member: ch.best, Timeline: timeline, Guarded: r != nil && r.Guard.Complete,
		Proof: proof, Sealed: ch.sealed, Clean: clean, Positions: ch.positions, NotChosen: textsOf(ch.notChosen), Loss: loss.String()}
	return &state.Command{Promote: p}, why
}
