package decide

import (
	"cmp"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

const (
	// mostListed is how many backups of another program's repository one command records.
	mostListed = 50
	// listedLate is how much older than a list a backup must be before the list can say that it is gone: their clocks are of two hosts.
	listedLate = time.Minute
)

// lister is the member whose agent lists the repository of another program, "" for none. Where none can at the moment, one tries again.
func (v *backupView) lister() string {
	if v.plan == nil || v.plan.With == nil {
		return ""
	}
	tries := ""
	for i := range v.conf.Members {
		name := v.conf.Members[i].Name
		r := v.fresh(name)
		switch {
		case r == nil || !r.Backups.Defines(v.plan.With.Program):
		case r.Backups.Cannot(v.plan) == "":
			return name
		case tries == "":
			tries = name
		}
	}
	return tries
}

// listing is what the repository of another program holds; nil if that is not known.
func (v *backupView) listing() *health.BackupListing {
	r := v.fresh(v.lister())
	if r == nil || r.Backups == nil || r.Backups.Listing == nil || r.Backups.Listing.With != *v.plan.With {
		return nil
	}
	return r.Backups.Listing
}

// listed records what another program has made, and removed, on its own; not while one is made for us, which the list may have already.
func (v *backupView) listed() *state.ChangeBackups {
	l := v.listing()
	if j := v.b.Job; l == nil || l.Same || j != nil && j.Work == platform.BackupMake {
		return nil
	}
	known := v.b.Labels(l.With)
	change := &state.ListedBackups{With: l.With}
	there := map[string]bool{}
	for _, r := range l.Backups {
		if r.Foreign == nil {
			continue
		}
		if there[r.Foreign.Label] = true; known[r.Foreign.Label] == nil && len(change.New) < mostListed {
			change.New = append(change.New, r)
		}
	}
	at, _ := instant(l.At)
	for label, r := range known {
		if ended, ok := instant(r.Ended); !there[label] && (!ok || at.Sub(ended) > listedLate) {
			change.Gone = append(change.Gone, r.ID)
		}
	}
	slices.Sort(change.Gone)
	if len(change.New)+len(change.Gone) == 0 {
		return nil
	}
	return &state.ChangeBackups{Listed: change}
}

// foreignMember is backupMember for another program, which itself knows from which member it copies, and whose configuration decides on
// which host it works at all. Agents that have failed come last, the one that failed least recently first: so all get their turn. Else it
// is the agent that made the newest one, and a replica's before the primary's.
func (v *backupView) foreignMember() (name string, why []string) {
	able := []string{}
	for _, name := range append(slices.Clip(v.replicas()), v.c.Primary) {
		if against := v.cannotBackUp(name); against == "" {
			able = append(able, name)
		} else {
			why = append(why, name+": "+against)
		}
	}
	if len(able) == 0 {
		return "", why
	}
	failed, made := map[string]string{}, "" // by member, when its agent's last attempt failed
	for i := range v.b.Records {
		switch r := &v.b.Records[i]; {
		case r.Member == "":
		case r.Verdict == platform.BackupUnfinished:
			failed[r.Member] = r.Ended
		case r.Foreign != nil:
			delete(failed, r.Member)
			made = r.Member
		}
	}
	slices.SortStableFunc(able, func(a, b string) int {
		return cmp.Or(cmp.Compare(failed[a], failed[b]), falseFirst(a != made, b != made), v.cleaner(a, b))
	})
	return able[0], nil
}
