package decide

import (
	"maps"
	"strings"
	"time"
)

// condition names something that holds for a while, of a cluster, an app or a site switchover.
type condition string

// The conditions whose duration a decision depends on. Of those that can begin anew (in another epoch, attempt or step), what tells one
// time from the next is part of the subject.
const (
	primaryNotOpen      condition = "primary not open"
	failoverBlocked     condition = "failover blocked"
	sessionsWait        condition = "sessions wait for an acknowledgement"
	appsReachNothing    condition = "apps do not reach the primary"
	sealsMissing        condition = "seals missing"
	candidateIncomplete condition = "candidate incomplete"
	sealedCatchesUp     condition = "sealed member catches up"
	proofMissing        condition = "proof missing"
	primaryCheckpoints  condition = "primary checkpoints"
	primaryStops        condition = "primary stops"
	targetReplays       condition = "target replays"
	leaseShortened      condition = "lease shortened"
	guardNotArmed       condition = "guard not armed"
	setShort            condition = "durability set short"
	upstreamAway        condition = "upstream away"
	mendWaits           condition = "mending of a page"
	mendCompares        condition = "mended page is not compared"
	damagedReturns      condition = "damaged data that commits need does not stream"
	lineCut             condition = "line to the primary cut"
	recoveryHangs       condition = "recovery hangs"
	slotsNotSynced      condition = "failover slots not synchronised"
	archiverFails       condition = "archiver fails"
	archiverHangs       condition = "archiver finishes nothing after a file"
	archiverBehind      condition = "archiver is behind"

	poolMoves         condition = "pool moves"
	instanceRuns      condition = "instance runs"
	instanceStaysDown condition = "instance stays down"

	siteStepWaits   condition = "site switchover's step waits"
	siteCheckpoints condition = "site switchover checkpoints"
	siteHookRuns    condition = "site switchover's hook runs"
)

// subject is a condition of something: a cluster, app or site switchover, then what it is about there.
type subject struct {
	condition
	of string
}

// Conditions remembers since when conditions have held without a break. It is volatile: a new leader starts it anew, so
// everything bounded by it happens late, never early.
type Conditions struct {
	now     time.Duration
	round   uint64 // numbers the rounds of questions
	touched int    // how many conditions were kept alive in this round
	holds   map[subject]hold
}

type hold struct {
	since time.Duration
	round uint64 // in which it was kept alive last
}

// NewConditions returns conditions of which none holds.
func NewConditions() *Conditions {
	return &Conditions{holds: map[subject]hold{}}
}

func (s *Conditions) begin(now time.Duration) { s.now, s.round, s.touched = now, s.round+1, 0 }

// end forgets every condition that was not kept alive in this round.
func (s *Conditions) end() {
	if s.touched < len(s.holds) {
		maps.DeleteFunc(s.holds, func(_ subject, h hold) bool { return h.round != s.round })
	}
}

// heldFor says for how long a condition of something has held; asking keeps it alive.
func (s *Conditions) heldFor(c condition, of ...string) time.Duration {
	key := subject{c, strings.Join(of, "/")}
	h, ok := s.holds[key]
	if !ok {
		h.since = s.now
	}
	if !ok || h.round != s.round {
		h.round = s.round
		s.holds[key] = h
		s.touched++
	}
	return s.now - h.since
}

// heldFor says for how long a condition of the cluster has held, or one of what is named in it.
func (v *clusterView) heldFor(c condition, of ...string) time.Duration {
	return v.Conditions.heldFor(c, append([]string{v.c.Name}, of...)...)
}

// None tells whether no condition holds, so that no decision waits for the end of a bound.
func (s *Conditions) None() bool { return len(s.holds) == 0 }

// Clone copies them, for explain.
func (s *Conditions) Clone() *Conditions {
	c := *s
	c.holds = maps.Clone(s.holds)
	return &c
}
