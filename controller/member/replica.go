package member

import (
	"fmt"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health"
)

// replica brings a member to stream from the goal's upstream, from whatever state it is in: follow, else rewind, else
// rebuild, each bounded, and nothing discarded under the name it was acknowledged by (S9, durability sets).
func (in *Input) replica() Act {
	g, d := in.Goal, in.Durable
	switch {
	case g.Epoch.Less(d.Epoch):
		return in.outdated()
	case d.Epoch.Less(g.Epoch):
		d.Epoch = g.Epoch
		if !g.Epoch.Less(d.Sealed) {
			d.Sealed = platform.Epoch{} // the seal ended by that epoch's promotion, or by an abandonment before it
		}
		return in.persist(d, "follow epoch "+g.Epoch.String())
	case g.Epoch.Less(d.Sealed):
		return in.wait("sealed for attempt " + d.Sealed.String())
	case in.foreign():
		return in.wait("the data directory holds something that is not of this cluster; empty it, or name another one")
	case in.Seen.Corrupt != "":
		return in.discard(Clone, "rebuild", in.Seen.Corrupt)
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

// rebuildDue: a restart did not help either, and the controllers have given a name for other data.
func (in *Input) rebuildDue() bool {
	return in.Goal.Opened && in.Memory.Restarted && in.stuck() && in.Goal.Incarnation != in.Durable.Incarnation
}

// restart decides what a stopped member's data is good for.
func (in *Input) restart() Act {
	if in.rebuildDue() {
		return in.discard(Clone, "rebuild", "it has got no WAL for "+in.patience().String()+", nor did it after a restart")
	}
	switch in.course() {
	case courseFollow:
		if why := in.Memory.unfit(); why != "" && in.Memory.Mend() == "" {
			act := in.repair(why)
			if act.Needs != "" { // until the controllers agree it is tried all the same: what its host lacks may be there by now
				needs := act.Needs
				act = in.rename(StartStandby, why+", and may do so now")
				act.Needs = needs
			}
			return act
		}
		return in.rename(StartStandby, "its WAL is part of the primary's history")
	case courseDiverged:
		if in.Memory.RewindFailures >= rewindsFail {
			return in.discard(Clone, "rebuild", "the rewind failed")
		}
		return in.discard(Rewind, "rewind", "its WAL went past the point where the primary's history left it")
	}
	return in.wait("waiting for the primary's history, to tell whether this data is part of it")
}

type course int

const (
	courseUnknown course = iota
	courseFollow
	courseDiverged
)

// course compares the data with the primary's history. Data that ended as a primary, and not cleanly, may hold WAL that
// no other member has, so it is never simply followed on (S9).
func (in *Input) course() course {
	g, s := in.Goal, in.Seen
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
		return courseDiverged // where its WAL ends cannot be read: pg_rewind tells
	}
	return courseFollow
}

// follow keeps a running standby streaming from the goal's upstream.
func (in *Input) follow() Act {
	g, s := in.Goal, in.Seen
	if s.Timeline != g.Timeline && !s.Known && s.Upstream != upstreamName(g) {
		return in.wait("waiting for the end of its WAL, to tell whether it is part of the primary's history")
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
		return in.act(StopClean, "somebody else started it, beyond its guards: restart it")
	case !g.Opened && in.mayBePast():
		return in.wait("waiting for the primary's history, to tell whether its WAL is part of it" + pastWhat(g.Fork))
	case in.mayReceive():
		return in.act(StopReceiver, "end its stream from before: its WAL is compared with the history of "+upstreamName(g)+" once it grows no more")
	case in.rebuildDue() && !s.Streaming && s.Upstream == upstreamName(g):
		return in.act(StopClean, "it gets no WAL, nor did it after a restart: rebuild it")
	case s.Upstream != upstreamName(g) || s.Application != g.Incarnation || s.SyncNames != in.replicaSyncNames():
		return in.rename(Settings, "stream from "+upstreamName(g))
	case in.Durable.Incarnation == "" && s.Streaming:
		d := in.Durable
		d.Incarnation = s.Application
		return in.persist(d, "its agent had lost its state: the data streams as "+s.Application)
	case s.Streaming || !g.Opened:
		return in.upkeep()
	case in.stuck():
		return in.repair("it has got no WAL for " + in.patience().String())
	}
	return in.wait(in.catchingUp())
}

// mayBePast: before the primary has told its history, only WAL of the timeline that it left, up to where it will not have left it
// earlier, is surely part of it.
func (in *Input) mayBePast() bool {
	g, s := in.Goal, in.Seen
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

// mayReceive: on a timeline before the primary's it may be past the fork by what its receiver still takes from whoever it
// streamed from, however far its position is now: that one may live. A standby past the fork is refused by the primary, but
// not before its flush position counted as an acknowledgement (S2).
func (in *Input) mayReceive() bool {
	g, s, m := in.Goal, in.Seen, in.Memory
	if s.Timeline == g.Timeline || g.ForkFinal && g.Fork != nil && s.Timeline == g.Fork.Timeline {
		return false
	}
	apart := m.Apart == g.Epoch || m.SealConfirmed == g.Epoch
	return !apart || s.Upstream != "" && s.Upstream != upstreamName(g)
}

func (in *Input) upkeep() Act {
	if missing(in.Seen.Slots, in.Goal.Slots) || len(in.Seen.Strays) > 0 {
		return in.act(Slots, "a slot for every other member")
	}
	if in.Seen.Unwritten {
		return in.act(Settings, unwrittenWhy)
	}
	if names := in.Seen.Superseded; len(names) > 0 {
		return in.act(DropSlots, "the primary has "+strings.Join(names, ", ")+" by now, and its own stops the synchronisation of slots")
	}
	if in.unlearned() {
		d := in.Durable
		d.Peers, d.Longest = in.peers(), in.longest()
		return in.persist(d, "whom it may vouch for, and how long, should its agent be restarted while no controller answers")
	}
	return in.wait("")
}

// repair goes one rung further with a standby that neither starts nor streams: restart, then rebuild.
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

// discard rewinds or rebuilds, which needs a confirmed goal (L8: all goals are), an open primary, and a name under which
// the present data never acknowledged anything.
func (in *Input) discard(k Kind, needs, why string) Act {
	if in.Goal.Incarnation == in.Durable.Incarnation {
		return Act{Durable: in.Durable, Needs: needs, Wait: "waiting for a new incarnation for the " + needs + ": " + why}
	}
	if !in.Goal.Opened {
		return in.wait("waiting for the primary to open before the " + needs)
	}
	if id := in.countedOn(); id != 0 {
		return in.wait(fmt.Sprintf("waiting for durability set %d to end before the %s: it counts on the data in place as %s", id, needs, in.Durable.Incarnation))
	}
	return in.rename(k, why)
}

// countedOn is the durability set in force that the data in place belongs to: it first leaves every set by the drop rule
// (S2). Only where the newest set cannot do without this member's next data, or nobody is left to be in it, would waiting
// never end: the primary holds everything, and this copy is renewed from it.
func (in *Input) countedOn() uint64 {
	if last := lastSet(in.Goal); len(in.Goal.Sets) > 0 && last.Acks == 0 || last.Has(in.Goal.Incarnation) {
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

// rename is an act after which the data bears the goal's incarnation.
func (in *Input) rename(k Kind, why string) Act {
	d := in.Durable
	if k == StartStandby || k == Settings {
		d.Incarnation = in.Goal.Incarnation
	}
	return Act{Kind: k, Durable: d, Why: why}
}

// replicaSyncNames is what a replica shows on a new connection when it has loaded its list.
func (in *Input) replicaSyncNames() string { return SyncNames(ReplicaSet()) }

// ReplicaSet is the durability list that every replica keeps loaded, under whatever sets: one that nobody satisfies, so that
// a promotion never opens without its own. It is never empty, not even while commits wait for nobody: backends obey a flag
// that only the checkpointer sets, late after a list that was empty, and a replica may be promoted under a stricter set
// before that. A promotion to an asynchronous set loads the empty one first.
func ReplicaSet() platform.Set {
	return platform.Set{Acks: 1, Names: []string{"mainstay_not_primary"}}
}

func upstreamName(g platform.Goal) string {
	if g.Upstream == nil {
		return ""
	}
	return g.Upstream.Member
}
