package config

import (
	"fmt"

	"mainstay/controller/platform"
)

// The notes on changes name the effects that an operator should know before the change is applied.

func notePlatform(old string) func(key string) string {
	return func(string) string {
		if old == "" {
			return ""
		}
		return "refused: these controllers protect this platform and no other; use --context to reach the right ones"
	}
}

var siteNotes = notes[platform.Site]{}

var hostNotes = notes[platform.Host]{
	changed: func(key string, _, new platform.Host) string {
		switch key {
		case "site":
			return "from now on failovers and acks count its members on the new site"
		case "fence":
			return "applies to every fence that begins from now on"
		case "watchdog":
			return watchdogNote(new.Watchdog)
		}
		return "replicas and clients connect to the new address: it must already be reachable"
	},
	removed: func(platform.Host) (string, string) { return "its agent has nothing left to manage: stop it", "" },
}

func watchdogNote(mode platform.WatchdogMode) string {
	switch mode {
	case platform.WatchdogRequired:
		return "from now on a member there is primary only while the watchdog is armed"
	case platform.WatchdogAutomatic:
		return "armed where the host has one; `status` shows whether it is, or what is missing"
	}
	return "the device is stopped at once"
}

var clusterNotes = notes[platform.Cluster]{
	removed: func(c platform.Cluster) (string, string) {
		return fmt.Sprintf("needs --remove %s and a paused cluster; its members keep running unprotected, no data is deleted, unused slots "+
			"are dropped",
			c.Name), c.Name
	},
	changed: func(key string, old, new platform.Cluster) string {
		switch key {
		case "lease":
			return leaseNote(old, new)
		case "durability.acks":
			return acksNote(old.Durability.Acks, new.Durability.Acks)
		case "durability.from":
			return "takes effect once the primary has loaded it; until then acks count as before"
		case "durability.when-short":
			if new.Durability.WhenShort == platform.DegradeWhenShort {
				return "commits may continue with fewer acks, which is recorded and raises an alarm"
			}
			return "commits wait as long as there are too few replicas"
		case "failover.when-incomplete":
			if new.Failover.WhenIncomplete == platform.AcceptWhenIncomplete {
				return fmt.Sprintf("after %s a failover may lose acknowledged commits; the loss is bounded and reported",
					span(new.Failover.AcceptAfter))
			}
			return "a failover that could lose a commit waits for the missing member or an operator"
		case "failover.on-corruption":
			if new.Failover.OnCorruption == platform.AutomaticOnCorruption {
				return "once the primary's data is known to be damaged, its role moves to a replica whose files were read since without a finding"
			}
			return "a damaged primary keeps its role until an operator moves it"
		case "integrity.freeze":
			if new.Freeze == platform.FreezeOff {
				return "from now on no replica's replay is paused once a comparison speaks against the primary; those that are frozen stay so"
			}
			return "once a comparison speaks against the primary, replay is paused on a good replica that the cluster can spare"
		case "failover.across-sites":
			return "applies to every failover that begins from now on"
		case "failover.reachable-by":
			return reachableByNote(new)
		case "integrity.compare":
			return checkNote("a comparison of all members", new.Integrity.Plan(platform.CheckCompare))
		case "integrity.structure":
			return checkNote("a check of each member's structure", new.Integrity.Plan(platform.CheckStructure))
		case "slots-left-behind":
			if new.SlotsLeft == platform.RefuseSlotsLeft {
				return "a switchover that would leave one of your replication slots behind is refused; a failover is not"
			}
			return "a switchover names your replication slots that it leaves behind, and continues"
		case "base-backups":
			if new.BaseBackups == platform.AwaitBackups {
				return "no switchover begins while a base backup is taken from the primary; a failover does"
			}
			return "a switchover names the base backups that it ends, and continues"
		}
		return backupNote(key, new)
	},
}

func reachableByNote(c platform.Cluster) string {
	by := c.Failover.ReachableBy
	if by == nil {
		return "reports of app servers no longer cause a failover"
	}
	return fmt.Sprintf("when all instances of %s on the primary's site have reported for %s that they do not reach it, it fails over "+
		"although it looks well",
		by.App, span(by.After))
}

// leaseNote says how long the old and the new lease may be in force. The longer lease counts until a leader has counted it out (L4).
func leaseNote(old, new platform.Cluster) string {
	if new.Lease > old.Lease {
		return fmt.Sprintf("safe at once: recorded before it is used; a fence by lease-expired then takes up to %s",
			span(platform.CountOut(new.Lease)))
	}
	return fmt.Sprintf("safe at once: fences still count %s until a leader has counted out the old lease, then %s",
		span(platform.CountOut(old.Lease)), span(platform.CountOut(new.Lease)))
}

// acksNote says which losses a commit survives during the change (durability sets are dropped last).
func acksNote(old, new int) string {
	switch {
	case new == 0:
		return "commits no longer wait: a failover may lose the last commits before it"
	case new < old:
		return fmt.Sprintf("from now on commits survive the loss of the primary and %s", furtherMembers(new))
	}
	return fmt.Sprintf("promised once every replica's sender has started with %d; until then commits survive as with %d", new, old)
}

// furtherMembers counts the k-1 further members of S2.
func furtherMembers(acks int) string {
	if acks == 1 {
		return "no further member"
	}
	return count(acks-1, "further member")
}

var memberNotes = notes[platform.Member]{
	removed: func(m platform.Member) (string, string) {
		return fmt.Sprintf("needs --remove %s; its PostgreSQL and data stay as they are on %s, its slots are dropped", m.Name, m.Host), m.Name
	},
	changed: func(key string, _, new platform.Member) string {
		switch key {
		case "host":
			return "a member does not move with its data: remove it, and add a member with another name"
		case "port":
			return "needs a restart of the member"
		case "may-lead":
			if !new.MayLead {
				return "from now on it is never promoted; if it is the primary, switch over first"
			}
		case "may-ack":
			if new.NoAck {
				return "commits no longer count on it once the primary has loaded its new set"
			}
			return "commits count on it once it has caught up and the primary has loaded its new set"
		}
		return ""
	},
}
