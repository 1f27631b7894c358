package member

import (
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
)

// replica makes a member stream from the goal's upstream, from any state: follow, else rewind, else rebuild, each bounded. Data is
// never discarded under the incarnation that acknowledged it (S9, durability sets). Damaged data streams, and acknowledges, until the
// controllers have given an incarnation for the copy that replaces it.
func (in *Input) replica() Act {
	act := in.streaming()
	if act.Needs == "" && in.damaged() && in.Goal.Damage != "" && in.Goal.Incarnation == in.Durable.Incarnation {
		act.Needs = "rebuild"
	}
	return act
}

// damaged: the data is known to be damaged. An agent that has lost its state does not know what its data is: no member has
// confirmed it as a copy.
func (in *Input) damaged() bool {
	g, own := in.Goal.Damaged, in.Durable.Incarnation
	return g != "" && in.Seen.Data == health.DataPresent && (g == own || own == "" && g != in.Goal.Incarnation ||
		slices.Contains(strings.Fields(in.Durable.Lineage), g))
}

// giveUp replaces damaged data by a whole copy. It never streams under the new incarnation: that would be taken for the copy.
func (in *Input) giveUp() Act {
	if in.Goal.Damage == "" {
		return in.wait("this data is damaged, and so is the primary's: nothing is copied before `mainstay integrity clear` says which to keep")
	}
	if in.Seen.Process == health.ProcessRunning && in.Goal.Opened && in.countedOn() == 0 {
		return in.act(StopClean, in.Goal.Damage+": rebuild it")
	}
	return in.discard(Clone, "rebuild", in.Goal.Damage)
}

func (in *Input) streaming() Act {
	g, d := &in.Goal, in.Durable
	switch {
	case g.Epoch.Less(d.Epoch):
		return in.outdated()
	case d.Epoch.Less(g.Epoch):
		d.Epoch = g.Epoch
		if !g.Epoch.Less(d.Sealed) {
			d.Sealed = platform.Epoch{} // that epoch's promotion, or an abandonment before it, ended the seal
		}
		return in.persist(d, "follow epoch "+g.Epoch.String())
	case g.Epoch.Less(d.Sealed):
		return in.wait("sealed for attempt " + d.Sealed.String())
	case in.foreign():
		return in.wait("the data directory holds data of another cluster or other files; empty it, or configure another directory")
	case in.Seen.Corrupt != "":
		return in.discard(Clone, "rebuild", in.Seen.Corrupt)
	case frozen(in):
		return freeze(in)
	case thaws(in):
		return thaw(in)
	case mends(in):
		return mend(in)
	case in.damaged() && g.Incarnation != d.Incarnation:
		return in.giveUp()
	case in.Seen.Data == health.DataEmpty:
		return in.clone("the data directory is empty")
	case in.Seen.Process == health.ProcessRunning && in.Seen.Role == health.RolePrimary:
		return in.act(Kill, "it runs as primary, but epoch "+g.Epoch.String()+" belongs to "+upstreamName(g))
	case in.Seen.Process == health.ProcessEnded:
		return in.restart()
	case in.Seen.Role == health.RoleStandby:
		return in.follow()
	case in.Seen.starting():
		return in.recovering()
	}
	return in.wait("waiting for PostgreSQL to answer")
}

// rebuildDue tells whether to rebuild: a restart did not help, and the controllers have given an incarnation for new data.
func (in *Input) rebuildDue() bool {
	return in.Goal.Opened && in.Memory.Restarted && in.stuck() && in.Goal.Incarnation != in.Durable.Incarnation
}

// restart decides how to use a stopped member's data.
func (in *Input) restart() Act {
	if in.rebuildDue() {
		return in.discard(Clone, "rebuild", "it has received no WAL for "+in.patience().String()+", not even after a restart")
	}
	switch in.course() {
	case courseFollow:
		if why := in.Memory.unfit(); why != "" && in.Memory.Mend() == "" {
			act := in.repair(why)
			if act.Needs != "" { // try again until the controllers agree: the host's fault may be repaired by now
				needs := act.Needs
				act = in.rename(StartStandby, why+"; try again")
				act.Needs = needs
			}
			return act
		}
		return in.rename(StartStandby, "its WAL is part of the primary's history")
	case courseDiverged:
		if in.Memory.RewindFailures >= rewindsFail {
			return in.discard(Clone, "rebuild", "its rewinds failed, or were in vain")
		}
		return in.discard(Rewind, "rewind", "its WAL continues past the fork of the primary's timeline")
	}
	return in.wait("waiting for the primary's timeline history, to tell whether this data is part of it")
}

type course int

const (
	courseUnknown course = iota
	courseFollow
	courseDiverged
)

// course compares the data with the primary's history. Data of a primary that did not stop cleanly may hold WAL that no other
// member has, so it never simply follows (S9).
func (in *Input) course() course {
	g, s := &in.Goal, &in.Seen
	switch {
	case !g.Opened:
		return courseUnknown
	case s.Timeline == g.Timeline:
		if s.AsPrimary && !s.Clean {
			return courseDiverged
		}
		return courseFollow
	}
	fork, ok := g.History.ForkOf(s.Timeline)
	switch {
	case !ok || s.AsPrimary && !s.Clean:
		return courseDiverged
	case s.End == 0 && s.AsPrimary:
		return courseUnknown
	case s.End == 0 && !s.Copied || s.End > fork:
		return courseDiverged // pg_rewind finds the end of its WAL where that cannot be read
	}
	return courseFollow
}

// follow keeps a running standby streaming from the goal's upstream.
func (in *Input) follow() Act {
	g, s := &in.Goal, &in.Seen
	if s.Timeline != g.Timeline && !s.Known && s.Upstream != upstreamName(g) {
		return in.wait("waiting for the end of its WAL, to tell whether it is part of the primary's timeline history")
	}
	if g.Opened && s.Timeline != g.Timeline {
		if fork, ok := g.History.ForkOf(s.Timeline); !ok || s.Position > fork {
			return in.act(StopClean, fmt.Sprintf("diverged: timeline %d at %s is not part of the history of %d", s.Timeline, s.Position, g.Timeline))
		}
	}
	switch {
	case s.Short:
		return in.act(StopClean, shortWhy)
	case s.Outside && !in.Durable.AlterSystem:
		return in.act(StopClean, "it was not started by Mainstay, so its guards do not cover it: restart it")
	case !g.Opened && in.mayBePast():
		return in.wait("waiting for the primary's timeline history, to tell whether its WAL is part of it" + pastWhat(g.Fork))
	case in.mayReceive():
		return in.act(StopReceiver, "end its former stream, to compare the end of its WAL with the timeline history of "+upstreamName(g))
	case in.rebuildDue() && !s.Streaming && s.Upstream == upstreamName(g):
		return in.act(StopClean, "it receives no WAL, not even after a restart: rebuild it")
	case s.Upstream != upstreamName(g) || s.Application != g.Incarnation || !in.showsReplicaSet():
		return in.rename(Settings, "stream from "+upstreamName(g))
	case in.Durable.Incarnation == "" && s.Streaming:
		d := in.Durable
		d.Incarnation = s.Application
		return in.persist(d, "its agent had lost its state; the data streams as "+s.Application)
	case s.Streaming || !g.Opened:
		return in.upkeep()
	case in.stuck():
		return in.repair("it has received no WAL for " + in.patience().String())
	}
	return in.wait(in.catchingUp())
}

// mayBePast tells whether the WAL may be past the fork. Until the primary has reported its history, only WAL of the timeline that it
// left, up to the earliest possible fork, is certainly part of it.
func (in *Input) mayBePast() bool {
	g, s := &in.Goal, &in.Seen
	if s.Timeline == g.Timeline {
		return false
	}
	return g.Fork == nil || s.Timeline != g.Fork.Timeline || !g.ForkFinal && s.Position > g.Fork.End
}

func pastWhat(f *platform.Fork) string {
	if f == nil || f.Timeline == 0 {
		return ""
	}
	return fmt.Sprintf(": it may hold WAL past %s of timeline %d, where the new one may fork", f.End, f.Timeline)
}

// mayReceive tells whether the standby may still receive WAL from a former upstream, which may be alive, and so move past the fork.
// The primary refuses a standby past the fork, but only after its flush position has counted as an acknowledgement (S2).
func (in *Input) mayReceive() bool {
	g, s, m := &in.Goal, &in.Seen, &in.Memory
	if s.Timeline == g.Timeline || g.ForkFinal && g.Fork != nil && s.Timeline == g.Fork.Timeline {
		return false
	}
	apart := m.Apart == g.Epoch || m.SealConfirmed == g.Epoch
	return !apart || s.Upstream != "" && s.Upstream != upstreamName(g)
}

func (in *Input) upkeep() Act {
	if missing(in.Seen.Slots, in.Goal.SlotOwners()) || len(in.Seen.Strays) > 0 {
		return in.act(Slots, slotsWhy)
	}
	if in.Seen.Unwritten {
		return in.act(Settings, unwrittenWhy)
	}
	if names := in.Seen.Superseded; len(names) > 0 {
		return in.act(DropSlots, "the primary now has "+strings.Join(names, ", ")+", and the member's own copy blocks slot synchronisation")
	}
	if in.unlearned() {
		d := in.Durable
		d.Peers, d.Longest = in.peers(), in.longest()
		return in.persist(d, "the members and the lease length for promises, in case its agent restarts while no controller answers")
	}
	if in.Seen.Streaming && in.Seen.Recovery == Delayed {
		return in.wait("streaming; recovery_min_apply_delay delays its replay")
	}
	return in.wait("")
}

// repair takes the next step with a standby that does not start or stream: restart, then rebuild.
func (in *Input) repair(why string) Act {
	if in.Seen.Process == health.ProcessRunning && !in.Memory.Restarted {
		return in.act(StopClean, why+": restart it")
	}
	if in.Seen.Process == health.ProcessRunning {
		if in.Goal.Incarnation == in.Durable.Incarnation {
			return Act{Durable: in.Durable, Needs: "rebuild", Wait: why}
		}
		return in.act(StopClean, why+": rebuild it")
	}
	return in.discard(Clone, "rebuild", why)
}

// discard rewinds or rebuilds. That needs a confirmed goal (L8: all goals are), an open primary, and an incarnation under which
// the present data never acknowledged anything.
func (in *Input) discard(k Kind, needs, why string) Act {
	if in.Goal.Incarnation == in.Durable.Incarnation {
		return Act{Durable: in.Durable, Needs: needs, Wait: "waiting for a new incarnation for the " + needs + ": " + why}
	}
	if !in.Goal.Opened {
		return in.wait("waiting for the primary to open before the " + needs)
	}
	if id := in.countedOn(); id != 0 {
		return in.wait(fmt.Sprintf("waiting for durability set %d to end before the %s: it counts on the present data as %s",
			id, needs, in.Durable.Incarnation))
	}
	return in.rename(k, why)
}

// countedOn is the durability set in force that the present data belongs to; 0 for none. The data must first leave every set by the
// drop rule (S2). But if the newest set is asynchronous or needs this member's next data, the wait would never end: the primary
// holds everything, and this copy is rebuilt from it.
func (in *Input) countedOn() uint64 {
	if last := lastSet(&in.Goal); len(in.Goal.Sets) > 0 && last.Acks == 0 || last.Has(in.Goal.Incarnation) {
		return 0
	}
	for _, s := range in.Goal.Sets {
		if s.Has(in.Durable.Incarnation) {
			return s.ID
		}
	}
	return 0
}

func (in *Input) clone(why string) Act {
	if !in.Goal.Opened {
		return in.wait("waiting for the primary to open before the clone")
	}
	return in.rename(Clone, why)
}

// rename is an act after which the data has the goal's incarnation.
func (in *Input) rename(k Kind, why string) Act {
	d := in.Durable
	if k == StartStandby || k == Settings {
		d.Rename(in.Goal.Incarnation)
	}
	return Act{Kind: k, Durable: d, Why: why}
}

// showsReplicaSet: a new connection shows the list that a replica keeps loaded.
func (in *Input) showsReplicaSet() bool { return Shows(in.Seen.SyncNames, ReplicaSet()) }

// ReplicaSet is the durability list that every replica keeps loaded. No standby satisfies it, so a promoted replica acknowledges
// nothing before it has loaded its own. It is never empty, even in an asynchronous cluster: after an empty list backends obey a
// new one only once the checkpointer has set a flag, and a promotion under a stricter set may come before that. A promotion to an
// asynchronous set loads the empty list first.
func ReplicaSet() platform.DurabilitySet {
	return platform.DurabilitySet{Acks: 1, Names: []string{"mainstay_not_primary"}}
}

func upstreamName(g *platform.Goal) string {
	if g.Upstream == nil {
		return ""
	}
	return g.Upstream.Member
}
