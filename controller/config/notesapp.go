package config

import (
	"fmt"

	"mainstay/controller/platform"
)

const (
	noteGone = "it is no longer checked or routed to"
	noteNext = "holds for every site switchover that begins from now on"
)

var appNotes = notes[platform.App]{
	removed: func(platform.App) (string, string) { return noteGone + "; its instances are left as they are", "" },
	changed: func(key string, _, new platform.App) string {
		switch key {
		case "run":
			return runNote(new)
		case "needs":
			if new.Run == platform.RunWithPrimary && len(new.Needs) > 0 {
				return "its instances run with the primary of " + new.Needs[0]
			}
		case "minimum":
			return "fewer instances that are well on a site are a problem: AppPoolShort"
		case "drain":
			if new.Drain == 0 {
				return "instances are stopped at once"
			}
			return fmt.Sprintf("an instance is out of routing for up to %s before it is stopped", span(new.Drain))
		case "quiesce", "resume", "verify":
			return noteNext
		case "check.fall":
			return fmt.Sprintf("an instance is down after %s in a row", count(new.Check.Fall, "bad check"))
		case "check.rise":
			return fmt.Sprintf("an instance that was down is well after %s in a row", count(new.Check.Rise, "good check"))
		}
		return ""
	},
}

// runNote says what happens to instances that run, or do not run, now.
func runNote(a platform.App) string {
	if a.Run == platform.RunEverywhere {
		return "the instances of every site will be started"
	}
	where := "the primary's site"
	if len(a.Needs) > 0 {
		where = "the site of the primary of " + a.Needs[0]
	}
	return "it runs on " + where + " only: the instances of the other sites will be drained and stopped"
}

var instanceNotes = notes[platform.Instance]{
	removed: func(platform.Instance) (string, string) { return noteGone + ", and left as it is", "" },
	changed: func(key string, _, new platform.Instance) string {
		switch key {
		case "site":
			return "its verdict counts for the pool of the new site from now on"
		case "address":
			return "it is checked and routed to there: it must already listen"
		case "host":
			if new.Host == "" {
				return "no agent starts or stops it any more"
			}
			return fmt.Sprintf("the agent of %s starts and stops it: its file must say how", new.Host)
		}
		return ""
	},
}
