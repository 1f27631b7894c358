package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// SlotFate says what becomes of one of the user's replication slots on the primary when another member is promoted. PostgreSQL does
// not replicate slots, except for failover slots that a standby synchronises (17 and later).
type SlotFate struct {
	health.Slot
	Left bool // its consumer must be set up anew
	Text string
}

// SlotFates tells it of each slot that the primary's last report names, with `to` as the next primary, "" for any; more counts the
// slots that the report does not name.
func SlotFates(in Input, cluster, to string) (fates []SlotFate, more int) {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || c.Primary == "" || to == c.Primary {
		return nil, 0
	}
	return (&clusterView{Input: in, c: c, conf: conf}).slotFates(to)
}

func (v *clusterView) slotFates(to string) (fates []SlotFate, more int) {
	p := v.known(v.c.Primary)
	if p == nil {
		return nil, 0
	}
	for _, s := range p.Slots {
		f := SlotFate{Slot: s}
		switch {
		case s.Invalid():
			f.Text = "is invalid already and cannot be used"
		case to != "":
			f.Left, f.Text = v.slotOn(s, to)
		default:
			f.Left, f.Text = v.slotOnAny(s)
		}
		fates = append(fates, f)
	}
	return fates, p.MoreSlots
}

// slotOn compares a slot of the primary's with the slot of that name on one replica.
func (v *clusterView) slotOn(s health.Slot, to string) (left bool, text string) {
	anew := "set up its consumer anew on " + to
	r := v.known(to)
	if r == nil {
		return true, "stays behind: " + anew
	}
	switch there := r.Slot(s.Name); {
	case there == nil && s.Failover && r.MoreSlots > 0:
		return true, fmt.Sprintf("may stay behind: the report of %s does not name all of its slots, see pg_replication_slots there", to)
	case there == nil && s.Failover:
		return true, "stays behind, since it is not synchronised to " + to + ": " + anew
	case there == nil:
		return true, "stays behind: " + anew
	case there.Synced && there.Invalid():
		return true, "stays behind, since its copy on " + to + " is invalid: " + anew
	case there.Synced && stops(r) != "":
		return true, fmt.Sprintf("may stay behind: its copy on %s is not kept up to date, since the failover slot %s of its own "+
			"stops the synchronisation; drop that there first", to, stops(r))
	case there.Synced:
		return false, "goes along: it is synchronised to " + to
	case s.Logical || there.Logical:
		return true, "stays behind; " + to + " has another slot of that name, which does not know what this one has sent: " +
			"drop that there and " + anew
	}
	return false, "stays behind, but " + to + " has one of that name"
}

// stops is a failover slot of a replica's own, "" for none: PostgreSQL ends the synchronisation of all slots at it,
// again and again, once the primary has one of that name (seen on 17.12 and 18.6).
func stops(r *health.Member) string {
	for _, s := range r.Slots {
		if s.Failover && !s.Synced {
			return s.Name
		}
	}
	return ""
}

// slotOnAny says which replicas have a slot as well, while it is not known which one is promoted.
func (v *clusterView) slotOnAny(s health.Slot) (left bool, text string) {
	var along []string
	for _, name := range v.replicas() {
		if left, _ := v.slotOn(s, name); !left {
			along = append(along, name)
		}
	}
	switch len(along) {
	case 0:
		return true, "stays behind: set up its consumer anew on the new primary"
	case len(v.replicas()):
		return false, "is there on each of " + strings.Join(along, ", ")
	}
	return false, "is there on " + strings.Join(along, ", ") + "; stays behind if another member is promoted"
}

// slotsLeftBy names the user's slots that would stay behind if a member were promoted, each with why.
func (v *clusterView) slotsLeftBy(to string) []string {
	fates, more := v.slotFates(to)
	return SlotWarnings(fates, more, v.c.Primary)
}

// RefusedSlots says which slots of the user's speak against a switchover to a member, where the platform file lets none be left behind.
func RefusedSlots(in Input, cluster, to string) (bad []Reason) {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || conf.SlotsLeft != platform.RefuseSlotsLeft || to == c.Primary {
		return nil
	}
	for _, text := range (&clusterView{Input: in, c: c, conf: conf}).slotsLeftBy(to) {
		bad = append(bad, Reason{Code: slotStaysBehind, Member: to, Detail: text})
	}
	if len(bad) > 0 {
		bad[len(bad)-1].Code = slotsAreRefused
	}
	return bad
}

// noteSlots writes into the reason of a change of primary which slots it leaves behind: history keeps that. It is a part of the reason
// because a command with a new field would stop controllers that are not upgraded yet.
func (v *clusterView) noteSlots(begin *state.Begin) {
	fates, more := v.slotFates(begin.To)
	begin.Reason += SlotNote(fates, more, v.c.Primary, begin.To)
}

// SlotNote is the tail of such a reason, "" where nothing is left behind.
func SlotNote(fates []SlotFate, more int, primary, to string) string {
	var left, along []string
	for _, f := range fates {
		switch {
		case f.Left:
			left = append(left, f.Name)
		case !f.Invalid():
			along = append(along, f.Name)
		}
	}
	if more > 0 {
		left = append(left, fmt.Sprintf("%d more", more))
	}
	if len(left) == 0 {
		return ""
	}
	text := "; replication slots left behind on " + primary
	if to == "" {
		text += " if another member is promoted"
	}
	text += ", their consumers to be set up anew: " + strings.Join(left, ", ")
	if len(along) > 0 {
		text += " (not " + strings.Join(along, ", ") + ")"
	}
	return text
}

// SlotWarnings is a sentence for each slot that is left behind.
func SlotWarnings(fates []SlotFate, more int, primary string) (out []string) {
	for _, f := range fates {
		if f.Left {
			out = append(out, f.Slot.String()+" on "+primary+" "+f.Text)
		}
	}
	if more > 0 {
		out = append(out,
			fmt.Sprintf("%s has %d more replication slots of yours, which may stay behind: see pg_replication_slots there", primary, more))
	}
	return out
}

// Unstartable warns of a planned change that the primary cannot return from: its PostgreSQL would not start again as a replica.
func Unstartable(in Input, cluster string) []string {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return nil
	}
	if p := (&clusterView{Input: in, c: c, conf: conf}).known(c.Primary); p != nil && len(p.Unusable) > 0 {
		return []string{fmt.Sprintf("%s will not start again as a replica, because its PostgreSQL cannot use %s", c.Primary,
			strings.Join(p.Unusable, "; "))}
	}
	return nil
}

// Outsiders warns of clients that stream from the primary and are not members: a base backup, a receiver of the user's, a subscriber. Each
// is disconnected when the primary stops; nil for none. A base backup that is awaited is none of them.
func Outsiders(in Input, cluster string) []string {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return nil
	}
	p := (&clusterView{Input: in, c: c, conf: conf}).known(c.Primary)
	if p == nil {
		return nil
	}
	ours := map[string]bool{}
	for _, m := range c.Members {
		ours[m.Incarnation] = true
	}
	var names []string
	for _, s := range p.Senders {
		awaited := s.State == senderBacksUp && conf.BaseBackups == platform.AwaitBackups
		if !ours[s.Name] && !strings.HasPrefix(s.Name, "mainstay-") && !awaited {
			names = append(names, fmt.Sprintf("%q (%s)", s.Name, s.State))
		}
	}
	if len(names) == 0 {
		return nil
	}
	if more := len(names) - mostOutsiders; more > 0 {
		names = append(names[:mostOutsiders], fmt.Sprintf("%d more", more))
	}
	fails := ", and a base backup fails, so let it end first"
	if conf.BaseBackups == platform.AwaitBackups {
		fails = "" // none is among them
	}
	return []string{fmt.Sprintf("clients that stream from %s and are not members are disconnected%s: %s", c.Primary, fails,
		strings.Join(names, ", "))}
}

// AwaitedBackups names the base backups that a switchover of the cluster, or of its site, has to wait for, as the platform file says:
// those that are taken from its primary, except Mainstay's own copies. It is empty for none.
func AwaitedBackups(in Input, cluster string) (why []Reason) {
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	if c == nil || conf == nil || conf.BaseBackups != platform.AwaitBackups {
		return nil
	}
	p := (&clusterView{Input: in, c: c, conf: conf}).known(c.Primary)
	if p == nil {
		return nil
	}
	var names []string
	for _, s := range p.Senders {
		if s.State == senderBacksUp && !strings.HasPrefix(s.Name, "mainstay-") {
			names = append(names, fmt.Sprintf("%q", s.Name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Reason{{Code: backupAwaited, Member: c.Primary, Names: names}}
}

// PlanBackups is the step of a plan that waits for base backups, "" for none.
func PlanBackups(in Input, cluster string) string {
	for _, r := range AwaitedBackups(in, cluster) {
		return fmt.Sprintf("wait for the base backups that are being taken from %s, now %s (base-backups: wait); "+
			"nothing changes before they have ended, and the command gives up after --backups-wait", r.Member, strings.Join(r.Names, ", "))
	}
	return ""
}

// OnlyBackups tells whether objections of CheckSite are only base backups, which end.
func OnlyBackups(bad []Reason) bool {
	for _, b := range bad {
		if b.Code != ofCluster || slices.ContainsFunc(b.Because, func(r Reason) bool { return r.Code != backupAwaited }) {
			return false
		}
	}
	return len(bad) > 0
}

// senderBacksUp is the state of a WAL sender that sends a base backup (pg_stat_replication).
const senderBacksUp = "backup"

// mostOutsiders is how many of them a warning names.
const mostOutsiders = 8

// SiteSlotWarnings is the same for a site switchover.
func SiteSlotWarnings(in Input, to string) (out []string) {
	for _, name := range in.State.ClusterNames() {
		if at := in.State.PrimarySite(name); at == "" || at == to {
			continue
		}
		if target := bestOn(in, name, to); target != "" {
			fates, more := SlotFates(in, name, target)
			out = append(out, SlotWarnings(fates, more, in.State.Clusters[name].Primary)...)
			out = append(out, Outsiders(in, name)...)
		}
	}
	return out
}

// replicationProblems names, of replicas that answer, paused replay and the user's slots that are unused there.
func (v *clusterView) replicationProblems() {
	for _, name := range v.replicas() {
		r := v.fresh(name)
		if r == nil || r.Process != health.ProcessRunning || r.Role != health.RoleStandby {
			continue
		}
		if r.ReplayPaused && v.c.Members[name].Frozen() == nil {
			v.problem(health.ReplayPaused, name, fmt.Sprintf("its replay was paused (pg_wal_replay_pause) %d bytes of WAL ago: "+
				"it acknowledges commits, shows none of them, and cannot take over in a switchover. Resume it on %s: SELECT pg_wal_replay_resume()",
				r.Position-min(r.Position, r.Replayed), name), false)
		}
		if missing, since := v.notSyncedFor(name, r); since > syncBound {
			v.problem(health.SlotNotSynchronised, name,
				fmt.Sprintf("it has no copy of the failover slots %s of %s, whose consumers could not follow if it were promoted; "+
					"on %s set sync_replication_slots = on and hot_standby_feedback = on and reload, then see its log; "+
					"if that asks for a dbname, restart it",
					strings.Join(missing, ", "), v.c.Primary, name), false)
		}
		if text := v.slotsLeft(name, r); text != "" {
			v.problem(health.SlotLeftBehind, name, text, false)
		}
	}
}

// syncBound is how long a failover slot may be without a copy: the synchronisation naps for up to 30 s, and reports lag by 10 s. A new copy
// counts only once it has the WAL that its consumer needs.
const syncBound = 2 * time.Minute

// notSyncedFor is notSynced, and for how long there have been any.
func (v *clusterView) notSyncedFor(name string, r *health.Member) (missing []string, since time.Duration) {
	if missing = v.notSynced(name, r); len(missing) > 0 {
		since = v.heldFor(slotsNotSynced, name)
	}
	return missing, since
}

// notSynced names the primary's failover slots of which a replica that may lead and streams from it has no good copy.
func (v *clusterView) notSynced(name string, r *health.Member) (missing []string) {
	p, m := v.fresh(v.c.Primary), v.conf.Member(name)
	if p == nil || m == nil || !m.MayLead || !r.Streams() || r.MoreSlots > 0 ||
		v.c.Upstreams[name] != "" { // none are synchronised from an upstream
		return nil
	}
	for _, s := range p.Slots {
		if !s.Failover || s.Invalid() {
			continue
		}
		if there := r.Slot(s.Name); there == nil || !there.Synced || there.Invalid() {
			missing = append(missing, s.Name)
		}
	}
	return missing
}

// slotsLeft is the evidence of slots left behind on a replica and how to drop them, "" where there are none.
func (v *clusterView) slotsLeft(name string, r *health.Member) string {
	var left, drops, stop []string
	xmin := false
	for _, s := range r.Slots {
		if !s.LeftBehind() {
			continue
		}
		left = append(left, s.String())
		drops = append(drops, "pg_drop_replication_slot('"+s.Name+"')")
		xmin = xmin || s.CatalogXmin != 0 && !s.Invalid()
		if s.Failover {
			stop = append(stop, s.Name)
		}
	}
	if len(left) == 0 {
		return ""
	}
	text := "it keeps back WAL for replication slots of yours that are unused here: " + strings.Join(left, ", ")
	if xmin {
		text += "; a catalog_xmin keeps dead rows of the catalogs, and if hot_standby_feedback is on, also those on " + v.c.Primary
	}
	if len(stop) > 0 {
		text += "; its own failover slot " + strings.Join(stop, ", ") + " stops the synchronisation of all slots to it"
	}
	return fmt.Sprintf("%s. Bring back consumers that belong to %s; once the others are set up on %s, drop their slots on %s: SELECT %s",
		text, name, v.c.Primary, name, strings.Join(drops, ", "))
}
