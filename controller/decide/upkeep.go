package decide

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

const (
	// leaveAfter is how long a replica may not stream before it leaves the durability set, if enough others remain. With
	// it in the set, losing the primary too would leave no member that can be shown to hold every commit.
	leaveAfter = 3 * time.Second
	// joinLag is how far behind a replica may be when it enters the set.
	joinLag = 1 << 20
)

// upkeep keeps a cluster with a working primary in order; one step at a time, in this order.
func (v *clusterView) upkeep() (*state.Command, Reason) {
	if v.c.LongestLease > v.conf.Lease && v.leaseCounted() {
		return &state.Command{LeaseCounted: &state.LeaseCounted{Longest: int64(v.conf.Lease)}}, Reason{Code: longerLeaseOver}
	}
	p := v.fresh(v.c.Primary)
	if cmd, why := v.reaffirm(p); cmd != nil || why.given() {
		return cmd, why
	}
	if p == nil || p.Epoch != v.c.Epoch {
		return nil, Reason{Code: epochAwaited, Member: v.c.Primary, Want: v.c.Epoch.String()}
	}
	if v.c.AwaitsGuards && p.Guard.Complete && p.Guard.Armed == v.c.Epoch {
		return &state.Command{Reaffirm: &state.Reaffirm{Epoch: v.c.Epoch, GuardsArmed: true}}, Reason{Code: guardsArmed, Member: v.c.Primary}
	}
	if p.Opened && (!v.c.Opened || v.c.SystemID == "") {
		return &state.Command{Opened: &state.Opened{Epoch: v.c.Epoch, SystemID: p.SystemID, Timeline: p.Timeline, History: p.History}},
			Reason{Code: opens, Member: v.c.Primary}
	}
	if p.Settled > v.c.Sets[0].ID && v.settles(p.Settled) && v.closedFrom(p.Settled) {
		return &state.Command{Settled: &state.Settled{Epoch: v.c.Epoch, ID: p.Settled}}, Reason{Code: earlierSetsEnd}
	}
	if !v.c.Opened {
		return nil, Reason{Code: notWritable, Member: v.c.Primary, Detail: says(p)}
	}
	if cmd, why := v.givePowerBack(); cmd != nil {
		return cmd, why
	}
	if name := v.left(); name != "" {
		return &state.Command{RemoveLeaving: &state.RemoveLeaving{}}, Reason{Code: memberLeaves, Member: name}
	}
	if cmd, why := v.freeze(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.judge(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.mend(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.leaveDamage(); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.replicaUpkeep(p); cmd != nil {
		return cmd, why
	}
	if cmd, why := v.reroute(); cmd != nil {
		return cmd, why
	}
	return v.changeSet(p)
}

// settles: the earlier sets must leave. Not after a step down to none that no operator asked for: the last member might be
// promoted without commits that were acknowledged before it, so the older sets go only once commits wait for a replica again.
func (v *clusterView) settles(id uint64) bool {
	for _, s := range v.c.Sets {
		if s.ID == id {
			return s.Acks > 0 || v.conf.Durability.Acks == 0
		}
	}
	return false
}

// leaseCounted: this leader has seen the shorter lease in force for as long as the longer one could still run (L4).
func (v *clusterView) leaseCounted() bool {
	held := v.heldFor(leaseShortened, v.conf.Lease.String())
	return held > platform.CountOut(v.c.LongestLease)
}

// pause ends a pause that has expired, and completes a resume once the guards are armed or out of reach (L7).
func (v *clusterView) pause() (*state.Command, Reason) {
	pause := v.c.Pause
	if pause == nil {
		return nil, Reason{}
	}
	if !pause.Resuming {
		if until, err := time.Parse(time.RFC3339, pause.Until); err == nil && !v.Wall.Before(until) {
			return &state.Command{Pause: &state.SetPause{Resume: true}}, Reason{Code: pauseExpired}
		}
		return nil, Reason{}
	}
	p := v.fresh(v.c.Primary)
	switch {
	case p == nil:
		return &state.Command{Pause: &state.SetPause{EndResume: true}}, Reason{Code: resumedOutOfReach}
	case p.Process != health.ProcessRunning:
		return &state.Command{Pause: &state.SetPause{EndResume: true}}, Reason{Code: resumedNotRunning}
	case p.Guard.Complete && p.Guard.Armed == v.c.Epoch && p.Guard.Told >= pause.Resumed:
		return &state.Command{Pause: &state.SetPause{EndResume: true, Guarded: true}}, Reason{Code: resumedArmed}
	case !p.Guard.Complete && v.heldFor(guardNotArmed) > v.conf.Lease:
		return &state.Command{Pause: &state.SetPause{EndResume: true}}, Reason{Code: resumedUnguarded}
	}
	return nil, Reason{}
}

// left is a member that is leaving and that no durability set in force counts on any more, "" if there is none.
func (v *clusterView) left() string {
	for _, m := range v.conf.Members {
		if m.Leaving && !v.c.CountsOn(m.Name) {
			return m.Name
		}
	}
	return ""
}

// needed is a member that is leaving, but whose acknowledgements commits still need, "" if there is none.
func (v *clusterView) needed(p *health.Member, set *platform.DurabilitySet) string {
	for i := range v.conf.Members {
		m := &v.conf.Members[i]
		if !m.Leaving {
			continue
		}
		if inc := v.c.Members[m.Name].Incarnation; set.Has(inc) && sender(p, inc) != nil &&
			v.caughtUpAckers(p) < min(set.Acks, v.conf.Durability.Acks) {
			return m.Name
		}
	}
	return ""
}

// caughtUpAckers counts the replicas whose acknowledgements count and that are close enough behind. One that is frozen does not count: once
// its stream breaks it does not ask for another.
func (v *clusterView) caughtUpAckers(p *health.Member) (n int) {
	for _, name := range v.replicas() {
		m := v.c.Members[name]
		if s := sender(p, m.Incarnation); s != nil && near(p, s) && m.Frozen() == nil && v.State.MayAck(v.conf, v.c.Primary, name) {
			n++
		}
	}
	return n
}

func (v *clusterView) replicaUpkeep(p *health.Member) (*state.Command, Reason) {
	for _, name := range v.replicas() {
		r, m := v.fresh(name), v.c.Members[name]
		if r == nil || v.conf.Member(name).Leaving {
			continue
		}
		if r.Needs != "" && r.Incarnation == m.Incarnation && v.sound(p) && v.mayRepair(p, r) {
			why := Reason{Code: needsRepair, Member: name, Want: r.Needs}
			return &state.Command{Reincarnate: &state.Reincarnate{Member: name, Reason: why.String()}}, why
		}
		// Its own report must be of the new data as well, because it names the WAL that the repair left out (S9).
		// One whose data descends from damaged data by a rewind is no other data: it is rebuilt first (S5).
		if !m.HasStreamed && sender(p, m.Incarnation) != nil && r.Incarnation == m.Incarnation && !r.Had(m.DamagedAs) &&
			(m.KnownToPrimary || p.MembersVersion >= v.State.PlatformVersion) {
			return v.rejoined(name, r)
		}
	}
	return nil, Reason{}
}

// stillBound is how long a replica may get no WAL that its primary has before its data is replaced all the same. The leader counts,
// while it hears the replica: one that was cut off with its agent gets that time once both are back.
const stillBound = 10 * time.Minute

// lineAtFault says that the data of a replica is not what keeps it from streaming, because the primary has the WAL that it
// needs next; no reason if it may be the data. A copy would then cost the primary a checkpoint and the reading of all its
// data, and would not help.
func (v *clusterView) lineAtFault(p, r *health.Member) Reason {
	if other := v.crashedAlike(r); other != "" {
		return Reason{Code: crashesAlike, Member: r.Name, Other: other, At: r.CrashedAt}
	}
	if r.Still > 0 && r.Role == health.RoleUnknown {
		return v.recoveryAtFault(p, r)
	}
	if r.Still == 0 || p.OldestWAL == 0 || r.Position < p.OldestWAL || r.Position > p.Position ||
		v.heldFor(lineCut, r.Name) > stillBound {
		return Reason{}
	}
	return Reason{Code: lineIsCut, Member: r.Name, Other: p.Name,
		For: time.Duration(r.Still) * time.Millisecond, At: p.OldestWAL, Past: r.Position, Detail: stillBound.String()}
}

// crashedAlike is another replica whose replay ends at the same record, "" for none.
func (v *clusterView) crashedAlike(r *health.Member) string {
	for _, name := range v.replicas() {
		if other := v.known(name); r.CrashedAt != 0 && name != r.Name && other != nil && other.CrashedAt == r.CrashedAt {
			return name
		}
	}
	return ""
}

// recoveryAtFault is the same for a replica whose recovery takes no sessions and does not advance. It lacks WAL only if it asks
// for some that the primary no longer has; otherwise it may be busy with a long task.
func (v *clusterView) recoveryAtFault(p, r *health.Member) Reason {
	lacks := r.Asks != 0 && r.Asks < p.OldestWAL
	if lacks || v.heldFor(recoveryHangs, r.Name) > stillBound {
		return Reason{}
	}
	why := Reason{Code: recoveryStands, Member: r.Name, For: time.Duration(r.Still) * time.Millisecond, Want: stillBound.String()}
	if r.Asks != 0 && p.OldestWAL != 0 {
		why.Detail = fmt.Sprintf(" (it asks for WAL from %s on, which %s has)", r.Asks, p.Name)
	}
	return why
}

// sound: the primary answers, and nothing is known against its data, so that of a replica may be discarded for a copy. A primary that
// hangs is no source, and the data of its replicas may be needed in a moment; a damaged one would spread its damage.
func (v *clusterView) sound(p *health.Member) bool {
	return p.Opened && p.Role == health.RolePrimary && p.Stale == 0 && p.WriteStale == 0 && v.against(p.Name, p) == ""
}

func (v *clusterView) rejoined(name string, r *health.Member) (*state.Command, Reason) {
	discard := ""
	if d := r.Discarded; d != nil {
		discard = fmt.Sprintf("left out WAL %s to %s of timeline %d: %d bytes, %d transactions, kept in %s",
			d.From, d.To, d.Timeline, d.Bytes, d.Transactions, d.Kept)
	}
	why := Reason{Code: streamsAgain, Member: name}
	return &state.Command{Rejoined: &state.Rejoined{Member: name, Note: why.String(), Discard: discard}}, why
}

// near: a replica is close enough behind for commits to wait for it.
func near(p *health.Member, s *health.Sender) bool {
	return p.Position <= s.Flush || p.Position-s.Flush < joinLag
}

// sender finds the WAL sender that streams to an incarnation.
func sender(p *health.Member, incarnation string) *health.Sender {
	for i := range p.Senders {
		if p.Senders[i].Name == incarnation && p.Senders[i].State == "streaming" {
			return &p.Senders[i]
		}
	}
	return nil
}

// changeSet lets replicas leave the durability set that no longer stream, and enter it once they do; it follows a change of
// durability.acks, and of durability.from, and steps down where when-short says degrade. The new set is recorded before the
// primary loads it; the old ones stay in force until the drop rule holds.
func (v *clusterView) changeSet(p *health.Member) (*state.Command, Reason) {
	set, able := v.c.Set(), v.ableAckers(p)
	acks := v.wantedAcks(set, able)
	if set.Acks < v.conf.Durability.Acks {
		v.problem(health.DurabilityReduced, v.c.Primary,
			fmt.Sprintf("commits wait for %d replicas instead of %d: %d of those that count stream", set.Acks, v.conf.Durability.Acks, able), false)
	}
	wanted := acks
	if set.Acks < acks && able < acks {
		acks = set.Acks // commits must not begin to wait for replicas that are not there yet; those that they wait for may change
	}
	if name := v.needed(p, set); name != "" {
		return nil, Reason{Code: neededToLeave, Member: name, Other: v.c.Primary}
	}
	want := v.wantedNames(p, set, acks)
	if len(want) < acks || set.Acks == acks && (acks == 0 || slices.Equal(want, set.Names)) {
		if acks < wanted {
			return nil, Reason{Code: acksCannotRise, Member: v.c.Primary, Number: set.Acks, Of: wanted, Is: fmt.Sprint(able)}
		}
		return nil, Reason{Rule: RuleHealthy}
	}
	acks, want = onlyRecorded(v.ownSets(), acks, want)
	why := Reason{Code: setChanges, Number: acks, Names: want}
	if acks == 0 {
		why.Code = setEmpty
	}
	switch {
	case acks < wanted:
		why = Reason{Code: moreOnceTheyStream, Of: wanted, Because: []Reason{why}}
	case acks < v.conf.Durability.Acks:
		why = Reason{Code: degraded, Of: v.conf.Durability.Acks, Because: []Reason{why}}
	}
	return &state.Command{Sets: &state.ChangeSet{Epoch: v.c.Epoch, Acks: acks, Names: want, Reason: why.String()}}, why
}

// onlyRecorded is the next set on the way to that many acks of those names, such that senders make no rule that the log does not have
// (S2). Each sender releases commits by the number that it has loaded, but counts every sender that has a place in its own list. The
// primary may load the last of several sets at once, so any number of those in force may meet any names: a sender that is still at one
// ack of a counts b, whose own list has b (seed 532052). So with the least of the numbers either each name stands in a set of its own
// with that number, if it is 1, or one set has them all (uncovered). Where that is not so, the names are added under the least number
// first, which costs nothing: that number is in force. So the number rises after the names have come, falls before they go, and names
// come before others go.
func onlyRecorded(own []platform.DurabilitySet, acks int, names []string) (int, []string) {
	if acks == 0 {
		return acks, names
	}
	all := append([]platform.DurabilitySet{{Acks: acks, Names: names}}, own...)
	least, missing := uncovered(all)
	if len(missing) == 0 {
		return acks, names
	}
	next := slices.Clone(names)
	for _, s := range all[1:] {
		for _, name := range s.Names {
			if s.Acks > 0 && (missing[name] || least > 1) && !slices.Contains(next, name) {
				next = append(next, name)
			}
		}
	}
	sort.Strings(next)
	return least, next
}

// uncovered is the least number of the sets, and the names that no set with that number covers; see onlyRecorded.
func uncovered(sets []platform.DurabilitySet) (least int, missing map[string]bool) {
	missing = map[string]bool{}
	for _, s := range sets {
		if s.Acks > 0 && (least == 0 || s.Acks < least) {
			least = s.Acks
		}
	}
	for _, s := range sets {
		if s.Acks > 0 {
			for _, name := range s.Names {
				missing[name] = true
			}
		}
	}
	all := len(missing)
	for _, s := range sets {
		if s.Acks > 0 && s.Acks == least && (least == 1 || len(s.Names) == all) {
			for _, name := range s.Names {
				delete(missing, name)
			}
		}
	}
	return least, missing
}

// ownSets are the sets in force that senders of the present primary may have loaded, and not only those of its predecessor.
func (v *clusterView) ownSets() (own []platform.DurabilitySet) {
	for _, s := range v.c.Sets {
		if s.ID >= v.c.FirstOwn {
			own = append(own, s)
		}
	}
	return own
}

// closedFrom tells whether the sets from that one on make no rule that is not theirs, also without the earlier ones, which may have covered
// it. If not, the earlier ones stay until the primary has settled a later one.
func (v *clusterView) closedFrom(id uint64) bool {
	left := slices.DeleteFunc(v.ownSets(), func(s platform.DurabilitySet) bool { return s.ID < id })
	_, missing := uncovered(left)
	return len(missing) == 0
}

// wantedAcks is the number that durability.acks asks for or, where when-short is degrade and replicas have been short for a while, as
// many as there are. Commits do not wait for those that cannot come back in a moment: their agents are not heard either.
func (v *clusterView) wantedAcks(set *platform.DurabilitySet, able int) int {
	acks := v.conf.Durability.Acks
	if able >= acks || v.conf.Durability.WhenShort != platform.DegradeWhenShort {
		return acks
	}
	short := v.heldFor(setShort)
	if able < set.Acks && short < leaveAfter && v.heardAckers() >= set.Acks {
		return set.Acks
	}
	return able
}

// heardAckers counts the replicas whose acknowledgements count and whose agents are heard.
func (v *clusterView) heardAckers() (n int) {
	for _, name := range v.replicas() {
		if v.State.MayAck(v.conf, v.c.Primary, name) && v.fresh(name) != nil {
			n++
		}
	}
	return n
}

// mayAck are the incarnations whose acknowledgements count.
func (v *clusterView) mayAck() []string {
	if len(v.ackers) == 0 {
		for _, name := range v.replicas() {
			if v.State.MayAck(v.conf, v.c.Primary, name) {
				v.ackers = append(v.ackers, v.c.Members[name].Incarnation)
			}
		}
	}
	return v.ackers
}

// ableAckers counts the incarnations that stream and whose acknowledgements count.
func (v *clusterView) ableAckers(p *health.Member) (n int) {
	for _, name := range v.mayAck() {
		if sender(p, name) != nil {
			n++
		}
	}
	return n
}

func (v *clusterView) wantedNames(p *health.Member, set *platform.DurabilitySet, acks int) []string {
	keep := make([]string, 0, len(v.mayAck()))
	var gone, next []string
	for _, inc := range v.mayAck() {
		s := sender(p, inc)
		switch {
		case set.Has(inc) && (s != nil || v.View.NotStreaming(inc, v.Now) < leaveAfter):
			keep = append(keep, inc)
		case set.Has(inc):
			gone = append(gone, inc)
		case s != nil && near(p, s):
			keep = append(keep, inc)
		default:
			next = append(next, inc)
		}
	}
	// Never below the number of acknowledgements: waiting for known members, and then for data that is still to be
	// made, is better than promising nothing.
	if len(keep) < acks {
		sort.Strings(gone)
		sort.Strings(next)
		others := append(gone, next...)
		keep = append(keep, others[:min(len(others), acks-len(keep))]...)
	}
	if len(keep) == 0 {
		return nil
	}
	sort.Strings(keep)
	return keep
}
