package config

import (
	"fmt"

	"mainstay/controller/platform"
)

const (
	noteGone = "it is no longer checked and gets no requests"
	noteNext = "applies to every site switchover that begins from now on"
)

var appNotes = notes[platform.App]{
	removed: func(platform.App) (string, string) { return noteGone + "; its instances are not stopped", "" },
	changed: func(key string, _, new platform.App) string {
		switch key {
		case "run":
			return runNote(new)
		case "needs":
			if new.Run == platform.RunWithPrimary && len(new.Needs) > 0 {
				return "its instances run with the primary of " + new.Needs[0]
			}
		case "minimum":
			return "fewer healthy instances on a site raise the problem AppPoolShort"
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
	removed: func(platform.Instance) (string, string) { return noteGone + "; it is not stopped", "" },
	changed: func(key string, _, new platform.Instance) string {
		switch key {
		case "site":
			return "from now on it counts for the pool of the new site"
		case "address":
			return "it is checked and gets requests there: it must already listen"
		case "host":
			if new.Host == "" {
				return "from now on no agent starts or stops it"
			}
			return fmt.Sprintf("the agent of %s starts and stops it: add it under instances in that agent's file", new.Host)
		}
		return ""
	},
}
