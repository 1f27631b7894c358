package decide

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// graceForSeals is how long a fenced cluster waits for seals of replicas that answer, when continuing without them would
// lose commits or cost a restart.
const graceForSeals = 3 * time.Second

// byPolicy is the author of a loss that the cluster's own policy accepts.
const byPolicy = state.ByPolicy

// fence drives an attempt that seals: it collects a proof and the positions, then promotes, restarts the old primary in
// place, or abandons. Its inputs are durable promises and sealed positions, so any leader comes to the same end (S7).
func (v *clusterView) fence() (*state.Command, Reason) {
	if cmd, why := v.judge(); cmd != nil {
		return cmd, why
	}
	a := v.c.Attempt
	old := v.known(v.c.Primary)
	ch := v.choose()
	if why := v.overtaken(); why.given() {
		return v.leaveToOperator(why)
	}
	if v.turnedOutWell(ch) {
		why := Reason{Code: wellAgain, Member: v.c.Primary}
		return &state.Command{Abandon: &state.Abandon{Attempt: a.Number, Reason: why.String()}},
			Reason{Code: abandons, Member: v.c.Primary, Because: []Reason{why}}
	}
	if a.CatchUp != nil {
		return v.catchUp(a.CatchUp)
	}
	if cmd, why := v.withdrawFence(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.handWALOver(old, ch); cmd != nil {
		return cmd, why
	}
	proof := v.proof(old, ch.sealed)
	if proof == nil {
		return v.waitForProof(ch)
	}
	if v.cleanlyStopped(old) {
		if name := v.caughtUp(old.Shutdown, ch); name != "" {
			ch.best = name
			return v.promote(*proof, ch, true, Reason{})
		}
	}
	return v.promoteComplete(*proof, ch, old)
}

func (v *clusterView) promoteComplete(proof fencing.Proof, ch choice, old *health.Member) (*state.Command, Reason) {
	if v.c.Unconfirmed {
		return v.promoteUnconfirmed(proof, ch, old)
	}
	incomplete, a := state.Complete(v.c.Sets, ch.sealed), v.c.Attempt.Accepted
	if incomplete == nil && ch.best != "" && !v.worthWaiting(ch) {
		return v.promote(proof, ch, false, v.loss(ch))
	}
	if v.sealing(ch) {
		return nil, Reason{Code: sealsAwaited, Names: ch.pending}
	}
	if incomplete == nil && ch.best != "" {
		return v.promote(proof, ch, false, v.loss(ch))
	}
	v.askApproval(ch)
	if v.restartable(old) {
		ch.instead(v.c.Primary, incomplete)
		return v.promote(proof, ch, false, Reason{})
	}
	if cmd, why := v.stopToRestart(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.needBack(); cmd != nil && (a == nil || !a.Completeness) {
		return cmd, why
	}
	if why := v.onlyFrozenLeft(ch); why.given() {
		return v.failoverWaits("", why)
	}
	if incomplete != nil {
		return v.waitOrAccept(proof, ch, Reason{Code: notComplete, Detail: incomplete.Error()})
	}
	if why := v.unapproved(ch); why.given() {
		return nil, why
	}
	return v.waitOrAccept(proof, ch, Reason{Code: noMemberEligible})
}

// handWALOver lets the member that is ahead and may not lead give its WAL to the one that may. It needs a proof like a
// promotion, for which every sealed member counts, behind or ahead; afterwards none of them is ahead.
func (v *clusterView) handWALOver(old *health.Member, ch choice) (*state.Command, Reason) {
	from := ch.ahead()
	if from == "" || v.c.Attempt.CaughtUp || v.c.Unconfirmed || v.proof(old, ch.all) == nil ||
		v.cleanlyStopped(old) && v.caughtUp(old.Shutdown, ch) != "" {
		return nil, Reason{}
	}
	if state.Complete(v.c.Sets, ch.sealed) == nil && !v.asynchronous() {
		return nil, Reason{}
	}
	return v.advanceSeal(&state.CatchUp{From: from, To: ch.best}, Reason{Code: handsWALOver, Member: from, Other: ch.best})
}

// stopToRestart: the primary answers again but did not recover, and no member can lead without its commits, so it is stopped
// and restarted in place. It may never have taken up its epoch, and then nothing else closes it.
func (v *clusterView) stopToRestart() (*state.Command, Reason) {
	if old := v.fresh(v.c.Primary); old == nil || closed(old, v.c.Epoch) || v.c.Attempt.StopOld {
		return nil, Reason{}
	}
	why := Reason{Code: neededAgain, Member: v.c.Primary}
	return &state.Command{Advance: &state.Advance{Attempt: v.c.Attempt.Number, Phase: state.PhaseSeal, StopOld: true, Note: why.String()}}, why
}

// sealing: members that answer are yet to be sealed, and have the time that is given for it.
func (v *clusterView) sealing(ch choice) bool {
	return len(ch.pending) > 0 && v.heldFor(sealsMissing) < graceForSeals
}

// worthWaiting: under asynchronous replication nothing shows completeness, so every replica that answers is asked first.
func (v *clusterView) worthWaiting(ch choice) bool {
	return v.asynchronous() && len(ch.pending) > 0
}

// asynchronous: under one of the sets in force commits were acknowledged that perhaps no other member holds.
func (v *clusterView) asynchronous() bool {
	for _, s := range v.c.Sets {
		if s.Acks == 0 {
			return true
		}
	}
	return false
}

// loss says what an asynchronous promotion may have lost: the WAL that the old primary had written when it was last heard.
func (v *clusterView) loss(ch choice) Reason {
	if !v.asynchronous() {
		return Reason{}
	}
	have := ch.positions[ch.best]
	old := v.known(v.c.Primary)
	if old == nil || old.Position == 0 {
		return Reason{Code: lossUnknown, At: have}
	}
	if old.Position <= have {
		return Reason{Code: lossSinceReport, At: old.Position}
	}
	return Reason{Code: lossAtLeast, At: have, Past: old.Position, Number: int(old.Position - have)}
}

// waitOrAccept applies the policy for a cluster in which no candidate can be shown to hold every acknowledged commit. The loss
// that a policy accepts is bounded; after a recovery of the controllers nothing bounds it, so only an operator may accept it.
func (v *clusterView) waitOrAccept(proof fencing.Proof, ch choice, why Reason) (*state.Command, Reason) {
	a := v.c.Attempt
	if v.c.Members[v.c.Primary].Older {
		why = Reason{Code: olderPrimary, Member: v.c.Primary, Other: v.conf.Member(v.c.Primary).Host, Because: []Reason{why}}
		if old := v.known(v.c.Primary); ch.best == "" && a.Accepted != nil && a.Accepted.By != byPolicy && v.startable(old) {
			ch.best, ch.sealed = v.c.Primary, nil // they may be ahead of it
		}
	}
	if a.Accepted != nil && a.Accepted.Completeness && ch.best != "" {
		return v.promote(proof, ch, false, Reason{Code: lossAccepted, Other: a.Accepted.By, Detail: a.Accepted.Reason, Because: []Reason{why}})
	}
	p := v.conf.Failover
	if p.WhenIncomplete == platform.AcceptWhenIncomplete && !v.c.Unconfirmed &&
		ch.best != "" && v.heldFor(candidateIncomplete) >= p.AcceptAfter {
		acc := &state.Acceptance{By: byPolicy, Reason: "failover.when-incomplete: accept", Completeness: true}
		return &state.Command{Advance: &state.Advance{Attempt: a.Number, Phase: state.PhaseSeal, Accepted: acc, Note: why.String()}},
			Reason{Code: policyAccepts, Because: []Reason{why}}
	}
	wait := Reason{Code: noPromotion, Cluster: v.c.Name, Because: []Reason{why}}
	if damaged := v.onlyDamaged(ch); damaged != nil {
		wait.Code, wait.Names, wait.Member = onlyDamaged, damaged, v.c.Primary
	}
	return v.failoverWaits("", wait)
}

// onlyDamaged names the replicas that could lead but for damage to their data, where no other one could, and none is missing.
func (v *clusterView) onlyDamaged(ch choice) (names []string) {
	if ch.best != "" {
		return nil
	}
	for _, name := range v.replicas() {
		switch ch.notChosen[name].Code {
		case excluded, corrupt:
			names = append(names, name)
		case mayNotLead, beingRemoved:
		default:
			return nil
		}
	}
	return names
}

// proof returns the first proof there is that the epoch in force is fenced (S4), or nil. A report's age does not matter
// for `stopped`: it is a durable promise.
func (v *clusterView) proof(old *health.Member, sealed []state.Sealed) *fencing.Proof {
	e := v.c.Epoch
	if closed(old, e) {
		return &fencing.Proof{Kind: fencing.Stopped, Epoch: e, Detail: "its agent saw the last process end and closed the epoch"}
	}
	if !v.c.Unconfirmed && state.QuorumSealed(v.c.Sets, sealed) {
		return &fencing.Proof{Kind: fencing.QuorumSealed, Epoch: e,
			Detail: "sealed: " + strings.Join(namesOf(sealed), ", ") + "; no further commit can gather its acknowledgements"}
	}
	if end := v.leaseEnd(); v.c.Guarded && v.Now > end && state.NoPromisesLeft(v.c.Sets, v.c.Members, sealed) {
		return &fencing.Proof{Kind: fencing.LeaseExpired, Epoch: e, Detail: fmt.Sprintf("counted out %s ago", round(v.Now-end))}
	}
	if f := v.fenceOf(v.c.Primary); f != nil && f.Off {
		return &fencing.Proof{Kind: fencing.PoweredOff, Epoch: e, Detail: f.Detail}
	}
	if a := v.c.Attempt.Accepted; a != nil && a.Fence {
		return &fencing.Proof{Kind: fencing.Operator, Epoch: e, Detail: a.Reason, By: a.By}
	}
	return nil
}

func closed(m *health.Member, e platform.Epoch) bool {
	return m != nil && m.Process == health.ProcessEnded && !m.Closed.Less(e)
}

func (v *clusterView) leaseEnd() time.Duration {
	return v.Leases.End(v.c.Name, v.c.Primary, v.c.Epoch, v.c.LongestLease)
}

func (v *clusterView) waitForProof(ch choice) (*state.Command, Reason) {
	v.askApproval(ch)
	if cmd, why := v.stopToRestart(); cmd != nil {
		return cmd, why // its agent answers, and can close the epoch
	}
	if cmd, why := v.cutPower(ch); cmd != nil {
		return cmd, why
	}
	if !v.c.Guarded {
		return v.failoverWaits(v.c.Primary, Reason{Code: neverGuarded, Cluster: v.c.Name, Member: v.c.Primary})
	}
	if v.Now > v.leaseEnd() {
		return v.failoverWaits(v.c.Primary, Reason{Code: othersMayPromise, Cluster: v.c.Name, Member: v.c.Primary})
	}
	return nil, Reason{Code: proofAwaited, Member: v.c.Primary, For: v.leaseEnd() - v.Now}
}

// failoverWaits waits for something that needs an operator.
func (v *clusterView) failoverWaits(member string, why Reason) (*state.Command, Reason) {
	v.problem(health.FailoverWaits, member, why.String(), false)
	return nil, why
}

// turnedOutWell: an unreachable primary reports again before anything was promoted, it still runs its epoch, and no
// candidate is ready. Then the epoch is not wasted: the attempt is abandoned. That seals have fenced it already matters only
// if a member may be promoted: they end with the attempt.
func (v *clusterView) turnedOutWell(ch choice) bool {
	old := v.fresh(v.c.Primary)
	return !v.c.Attempt.StopOld && v.fenceOf(v.c.Primary) == nil && old != nil &&
		old.Process == health.ProcessRunning && old.Role == health.RolePrimary &&
		old.Epoch == v.c.Epoch && (ch.best == "" && state.QuorumSealed(v.c.Sets, ch.sealed) || v.proof(old, ch.sealed) == nil)
}

func (v *clusterView) cleanlyStopped(old *health.Member) bool {
	return closed(old, v.c.Epoch) && old.Clean && old.Shutdown != 0 && !v.c.Members[v.c.Primary].Older
}

// caughtUp finds the best member that has replayed past the shutdown checkpoint: it holds everything (the token).
func (v *clusterView) caughtUp(shutdown platform.LSN, ch choice) string {
	if ch.best == "" {
		return ""
	}
	if r := v.fresh(ch.best); r != nil && r.Timeline == v.c.Timeline && r.Replayed > shutdown {
		return ch.best
	}
	return ""
}

// restartable: the old primary's agent answers, its data is there and nothing speaks against it. It alone satisfies the sets of
// its own and earlier epochs.
func (v *clusterView) restartable(old *health.Member) bool {
	return !v.c.Members[v.c.Primary].Older && v.startable(old)
}

// startable is restartable, whatever its data lacks.
func (v *clusterView) startable(old *health.Member) bool {
	return v.fresh(v.c.Primary) != nil && v.fenceOf(v.c.Primary) == nil && closed(old, v.c.Epoch) &&
		old.Data == health.DataPresent && old.Corrupt == "" && (!v.insisted() || v.c.Attempt.To == v.c.Primary)
}

func (v *clusterView) promote(proof fencing.Proof, ch choice, clean bool, loss Reason) (*state.Command, Reason) {
	timeline := v.c.HighTimeline + 1
	if v.c.RestartsInPlace(ch.best) {
		timeline = v.c.Timeline
	}
	ch.notChosen[v.c.Primary] = Reason{Code: isReplaced, Member: v.c.Primary}
	delete(ch.notChosen, ch.best)
	why := Reason{Rule: RuleAttempt, Code: promotes, Member: ch.best}
	if loss.given() {
		why.Because = append(why.Because, loss)
	}
	for i := range v.conf.Members {
		if not, ok := ch.notChosen[v.conf.Members[i].Name]; ok {
			why.Because = append(why.Because, not)
		}
	}
	r := v.known(ch.best)
	p := &state.Promote{Attempt: v.c.Attempt.Number, Member: ch.best, Timeline: timeline, Guarded: r != nil && r.Guard.Complete,
		Proof: proof, Sealed: ch.sealed, Clean: clean, Positions: ch.positions, NotChosen: textsOf(ch.notChosen), Loss: loss.String()}
	p.MergeSets = v.mergesSets(p)
	return &state.Command{Promote: p}, why
}

// mostSets is how many durability sets may be in force although some are equal. Few do no harm, and a controller of a build that knows no
// merge stops at it.
const mostSets = 4

// mergesSets tells whether equal sets go with a promotion.
func (v *clusterView) mergesSets(p *state.Promote) bool {
	if len(v.c.Sets) < mostSets {
		return false
	}
	next, err := state.Apply(v.State, v.State.Index+1, state.Command{Cluster: v.c.Name, Promote: p})
	return err == nil && next.Clusters[v.c.Name].HasEqualSets()
}
