package member

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Next returns the act to do now. Every pair of goal and observation has one; an act of Nothing says what it waits for, or that
// nothing is left to do.
func Next(in Input) Act {
	if in.Goal.Kind == platform.GoalReleased {
		return in.released()
	}
	if act, must := in.always(); must {
		return act
	}
	switch in.Goal.Kind {
	case platform.GoalPrimary:
		return in.primary()
	case platform.GoalReplica:
		return in.replica()
	case platform.GoalSealed:
		return in.sealed()
	case platform.GoalStopped:
		return in.stopped()
	}
	return in.wait("no goal")
}

// always is the act that any goal requires: the last process of an ended primary is killed and its epoch is closed, so that only
// a higher epoch starts a primary here again.
func (in *Input) always() (Act, bool) {
	switch {
	case in.Seen.Process == health.ProcessEnding && in.neverOurs():
		return in.wait("processes without a postmaster use its data directory, and Mainstay did not start them: " +
			"the user may be starting PostgreSQL"), true
	case in.Seen.Process == health.ProcessEnding:
		return in.act(Kill, "the postmaster has ended, but processes of its tree still run"), true
	case in.Seen.Process == health.ProcessEnded && in.Durable.Closed.Less(in.Durable.Ran):
		d := in.Durable
		d.Closed = d.Ran
		return in.persist(d, "its primary has ended: epoch "+d.Ran.String()+" is closed"), true
	case in.Seen.Process == health.ProcessUnknown || in.Seen.Data == health.DataUnknown:
		return in.wait("waiting for the first observation of the member"), true
	case in.adopting():
		d := in.Durable
		d.SystemID, d.AlterSystem = in.Seen.SystemID, true
		return Act{Kind: Adopt, Durable: d, Why: "apply Mainstay's settings without a restart"}, true
	}
	return Act{}, false
}

// neverOurs tells whether nothing shows that this member was ever managed here. A server that has not yet written its pid file looks
// like one whose postmaster has ended.
func (in *Input) neverOurs() bool {
	observed := in.Goal.Kind == platform.GoalNone || in.Goal.Kind == platform.GoalObserve
	return observed && in.Durable.SystemID == "" && in.Durable.Ran.IsZero() && in.Durable.Epoch.IsZero()
}

// outdated waits: a goal of a lower epoch than one already obeyed changes nothing (S3).
func (in *Input) outdated() Act {
	return in.wait(fmt.Sprintf("its goal has epoch %s, but it has already obeyed epoch %s: waiting for a newer goal",
		in.Goal.Epoch, in.Durable.Epoch))
}

// adopting tells whether to adopt the member: it runs, was never managed here, and its cluster is adopted.
func (in *Input) adopting() bool {
	wanted := in.Goal.Kind == platform.GoalPrimary || in.Goal.Kind == platform.GoalReplica
	return wanted && in.Durable.SystemID == "" && in.Seen.Adoptable && in.Seen.Role != health.RoleUnknown && !in.foreign()
}

func (in *Input) primary() Act {
	g, d := &in.Goal, in.Durable
	switch {
	case g.Epoch.Less(d.Epoch):
		return in.outdated()
	case !d.Closed.Less(g.Epoch):
		return in.wait("epoch " + g.Epoch.String() + " is closed here")
	case g.Epoch.Less(d.Sealed):
		return in.wait("sealed for attempt " + d.Sealed.String() + "; only that epoch or a later one ends the seal")
	case d.Epoch.Less(g.Epoch) && in.waitsForPromise() != "":
		return in.wait(in.waitsForPromise())
	case d.Epoch.Less(g.Epoch):
		d.Epoch = g.Epoch
		return in.persist(d, "take up epoch "+g.Epoch.String())
	case in.foreign():
		return in.wait("the data directory has another system identifier (" + in.Seen.SystemID + ")")
	case in.Seen.Data == health.DataEmpty && g.Create:
		return in.act(Initialise, "the first primary of a new cluster")
	case in.Seen.Corrupt != "":
		return in.wait("this data cannot become a primary: " + in.Seen.Corrupt)
	case in.Seen.Data != health.DataPresent:
		return in.wait("the data directory is " + string(in.Seen.Data) + ", and only a new cluster's first primary may be created")
	case in.Spent == g.Epoch && d.Ran.Less(g.Epoch) && in.Seen.Process == health.ProcessEnded && !in.leased():
		// A lease lapsed before a primary ran under it, so the epoch is not closed. But guards that have killed take no other lease
		// of that epoch until they are disarmed, and nothing else would end the wait (S8).
		return in.act(Disarm, "the guards killed a standby under epoch "+g.Epoch.String()+", under which no primary has run here")
	case !in.GuardComplete && !g.Paused && in.Lease.Epoch != g.Epoch:
		return in.wait("waiting for both guards: without them it gets no lease")
	case !in.leased():
		return in.wait("waiting for the lease of epoch " + g.Epoch.String())
	}
	if in.Seen.Process == health.ProcessRunning && in.Seen.Role == health.RolePrimary {
		return in.leading()
	}
	return in.becomePrimary()
}

// becomePrimary starts or promotes, under a lease. Ran is on disk first, so that the end of this primary closes its epoch.
// Data on the epoch's own timeline is started. Data on an earlier one starts as a standby and is promoted, because a plain
// start would continue to write the old primary's timeline.
func (in *Input) becomePrimary() Act {
	g, d, s := &in.Goal, in.Durable, &in.Seen
	d.Ran, d.Sealed, d.Frozen = g.Epoch, platform.Epoch{}, ""
	d.Rename(g.Incarnation)
	switch {
	case s.Timeline > g.Timeline:
		return in.wait(fmt.Sprintf("it has diverged: its data is on timeline %d, past timeline %d of epoch %s", s.Timeline, g.Timeline, g.Epoch))
	case s.Process == health.ProcessEnded && s.Timeline == g.Timeline:
		return Act{Kind: StartPrimary, Durable: d, Why: "primary of epoch " + g.Epoch.String()}
	case s.Process == health.ProcessEnded:
		return in.act(StartStandby, fmt.Sprintf("before its promotion to timeline %d", g.Timeline))
	case s.Role == health.RoleStandby && s.Short:
		return in.act(StopClean, shortWhy)
	case s.Role == health.RoleStandby && s.Held:
		return in.act(StopClean, heldWhy)
	case s.Role == health.RoleStandby && s.Timeline == g.Timeline:
		return in.act(Kill, fmt.Sprintf("it runs as a standby on timeline %d, and a promotion would leave that timeline", g.Timeline))
	case s.Role == health.RoleStandby:
		return Act{Kind: Promote, Durable: d, Why: fmt.Sprintf("primary of epoch %s on timeline %d", g.Epoch, g.Timeline)}
	}
	return in.wait("waiting for PostgreSQL to answer")
}

// leading maintains a running primary.
func (in *Input) leading() Act {
	g, d := &in.Goal, in.Durable
	set := lastSet(g)
	switch {
	case in.Seen.Timeline != 0 && in.Seen.Timeline != g.Timeline:
		return in.act(Kill, fmt.Sprintf("it has diverged: it writes timeline %d, but epoch %s has timeline %d",
			in.Seen.Timeline, g.Epoch, g.Timeline))
	case d.Ran.Less(g.Epoch):
		d.Ran, d.Sealed = g.Epoch, platform.Epoch{}
		return in.persist(d, "continue as primary of epoch "+g.Epoch.String())
	case !Shows(in.Seen.SyncNames, set) || !in.Seen.SyncOurs:
		return in.act(LoadSet, "durability set "+SyncNames(set))
	case in.Memory.Opened != g.Epoch:
		return in.act(Open, "epoch "+g.Epoch.String())
	case needsSetCheckpoint(g) && in.Memory.SetCheckpoint != set.ID:
		return in.act(Checkpoint, "backends obey a new durability set only after a CHECKPOINT")
	case raised(g) && !(in.Memory.Settling.ID == set.ID && in.Memory.Settling.Done) && anyStale(set, in.Seen.Senders):
		return in.act(EndSenders, "WAL senders with an older configuration release commits after too few acknowledgements")
	case !g.Checkpoint.IsZero() && in.Memory.Checkpointed != g.Checkpoint:
		return in.act(Checkpoint, "before the planned stop")
	case missing(in.Seen.Slots, g.SlotOwners()) || len(in.Seen.Strays) > 0:
		return in.act(Slots, slotsWhy)
	case in.Seen.Unwritten:
		return in.act(LoadSet, unwrittenWhy)
	}
	return in.wait("")
}

// slotsWhy is why Slots is done.
const slotsWhy = "a slot for every other member, and for the archive"

const unwrittenWhy = "the user's configuration files ask for higher values than Mainstay's"

// shortWhy: only a restart raises such settings.
const shortWhy = "its replay has stopped because a setting is lower than its primary's: restart it with the primary's value"

func (in *Input) sealed() Act {
	g, d := &in.Goal, in.Durable
	switch {
	case !d.Epoch.Less(g.Epoch):
		return in.wait("attempt " + g.Epoch.String() + " is over")
	case g.Epoch.Less(d.Sealed):
		return in.wait("sealed for a later attempt, " + d.Sealed.String())
	case d.Sealed.Less(g.Epoch) && in.waitsForPromise() != "":
		return in.wait(in.waitsForPromise())
	case d.Sealed.Less(g.Epoch):
		d.Sealed = g.Epoch // the number is on disk before anything else (Seals)
		if d.Incarnation == "" {
			d.Incarnation = in.Seen.Application // the agent lost its state; the data streamed under that name
		}
		return in.persist(d, "seal for attempt "+g.Epoch.String())
	case in.Seen.Corrupt != "":
		return in.wait(in.Seen.Corrupt)
	case in.Seen.Data != health.DataPresent || in.foreign():
		return in.wait("it has no data of this cluster to seal")
	case in.Seen.Process == health.ProcessRunning && in.Seen.Role == health.RolePrimary:
		return in.act(Kill, "it runs as primary, but another attempt is running")
	case in.Seen.Process == health.ProcessEnded && in.Seen.AsPrimary && !in.Seen.Clean:
		return in.wait("it is a crashed primary, which is not a candidate")
	case in.Seen.Process == health.ProcessEnded && in.Memory.StartFailures >= startsFail:
		return in.wait("it does not start")
	case in.Seen.Process == health.ProcessEnded:
		return in.act(StartStandby, "without an upstream, to read its position")
	case in.Seen.Short:
		return in.act(StopClean, shortWhy)
	case frozen(in) && d.Frozen != in.Goal.Freeze.Incarnation:
		d.Frozen = in.Goal.Freeze.Incarnation
		return in.persist(d, "its replay must be frozen")
	case frozen(in) && in.Seen.Role == health.RoleStandby && !in.Seen.Paused:
		return in.act(Freeze, "before it is sealed, since it replays what it has")
	case in.Memory.SealConfirmed != g.Epoch:
		return in.act(Seal, "attempt "+g.Epoch.String())
	case g.Upstream != nil && in.Seen.Upstream != g.Upstream.Member:
		return in.act(Settings, "receive the WAL of "+g.Upstream.Member+", which is ahead but may not lead")
	case g.Upstream != nil:
		return in.wait("waiting for the WAL of " + g.Upstream.Member)
	case in.Seen.Receiver || in.Seen.Upstream != "":
		return in.act(Seal, "attempt "+g.Epoch.String())
	case in.Seen.Known && in.Memory.Quiet != g.Epoch && in.Now-in.Memory.SealedAt > quietAfter:
		return in.act(Quieten, "it has been sealed for long, and each search for WAL writes a line to its log")
	}
	return in.wait("")
}

// quietAfter is longer than most attempts: before it, a sealed standby is not changed for the sake of its log.
const quietAfter = 15 * time.Second

func (in *Input) stopped() Act {
	g, d := &in.Goal, in.Durable
	if g.Epoch.Less(d.Epoch) {
		return in.outdated()
	}
	if in.Seen.Process == health.ProcessRunning {
		if g.Clean {
			return in.act(StopClean, "planned change of primary")
		}
		return in.act(Kill, "fenced: epoch "+g.Epoch.String())
	}
	if d.Closed.Less(g.Epoch) {
		d.Closed, d.Epoch = g.Epoch, maxEpoch(d.Epoch, g.Epoch)
		return in.persist(d, "epoch "+g.Epoch.String()+" is closed")
	}
	return in.wait("")
}

// released releases a member that was removed from the platform. It starts, stops and kills nothing.
func (in *Input) released() Act {
	switch d := in.Durable; {
	case in.Goal.Epoch.Less(d.Epoch):
		return in.outdated()
	case in.Seen.Process == health.ProcessUnknown && (d.SystemID != "" || !d.Epoch.IsZero()):
		return in.wait("waiting for the first observation of the member")
	}
	return in.act(Release, "it was removed from the platform")
}

func (in *Input) leased() bool { return in.Lease.Epoch == in.Goal.Epoch && in.Lease.End > in.Now }

func (in *Input) foreign() bool {
	want := in.Goal.SystemID
	return in.Seen.Data == health.DataForeign ||
		want != "" && in.Seen.Data == health.DataPresent && in.Seen.SystemID != "" && in.Seen.SystemID != want
}

func (in *Input) act(k Kind, why string) Act { return Act{Kind: k, Durable: in.Durable, Why: why} }

func (in *Input) persist(d Durable, why string) Act { return Act{Kind: Persist, Durable: d, Why: why} }

func (in *Input) wait(what string) Act { return Act{Durable: in.Durable, Wait: what} }

func lastSet(g *platform.Goal) platform.DurabilitySet {
	if len(g.Sets) == 0 {
		return platform.DurabilitySet{}
	}
	return g.Sets[len(g.Sets)-1]
}

func missing(have, want []string) bool {
	for _, w := range want {
		found := false
		for _, h := range have {
			found = found || h == w
		}
		if !found {
			return true
		}
	}
	return false
}

func maxEpoch(a, b platform.Epoch) platform.Epoch {
	if a.Less(b) {
		return b
	}
	return a
}
