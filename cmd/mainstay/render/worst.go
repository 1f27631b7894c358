package render

import (
	"slices"

	"mainstay/controller/wire"
	"mainstay/health"
)

// rank is how bad a problem is: 0 is the worst.
type rank int

// order lists the problems from the worst to the mildest. Two primaries may lose data, what waits for a person and a primary
// that is gone stop the service, what waits for replicas stops it soon; the rest takes away protection.
var order = []health.Kind{
	health.TwoPrimaries, health.TwoRecoveries, health.ApprovalNeeded, health.SiteChangeHalted, health.PrimaryCrashed, health.PrimaryUnreachable,
	health.PrimaryStuck, health.FailoverWaits, health.SiteLost, health.AppsCutOff, health.AppPoolShort, health.SyncBlocked,
	health.ClonedMachine, health.PrimaryAgentSilent, health.NotProtected, health.NotAdoptable, health.ProgramNotAllowed, health.ReplicaDiverged,
	health.AppDown, health.ReplicaMissing, health.ReplicaNotStreaming, health.SettingsTooLow, health.ReplayPaused, health.AgentError, health.HostBusy,
	health.SlotNotSynchronised, health.SlotLeftBehind, health.PendingRestart,
}

// severity ranks a kind; one that this version does not know stands between what stops the service and the rest.
func severity(k health.Kind) rank {
	if i := slices.Index(order, k); i >= 0 {
		return rank(i)
	}
	return severity(health.ClonedMachine)
}

func (r rank) style() style {
	switch {
	case r <= severity(health.SyncBlocked):
		return red
	case r < severity(health.PendingRestart):
		return yellow
	}
	return dim
}

// WorstFirst sorts problems by how bad they are; equally bad ones keep their order.
func WorstFirst(ps []health.Problem) []health.Problem {
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b health.Problem) int { return int(severity(a.Kind) - severity(b.Kind)) })
	return sorted
}

// nextStep is the command that gets an operator further, "" where all is well.
func nextStep(s wire.Status) string {
	switch {
	case s.Leader == "":
		return "mainstay controllers list"
	case s.Platform == "":
		return "mainstay apply -f platform.yaml"
	}
	if len(s.Problems) > 0 {
		return nextFor(s, WorstFirst(s.Problems)[0])
	}
	if reached(s.Controllers) < len(s.Controllers) {
		return "mainstay controllers list"
	}
	return ""
}

func nextFor(s wire.Status, worst health.Problem) string {
	switch worst.Kind {
	case health.AgentError, health.ReplicaMissing, health.PrimaryAgentSilent, health.ClonedMachine:
		if h := hostOf(s, worst); h != "" {
			return "mainstay local, on host " + h
		}
	case health.ApprovalNeeded:
		if op := operationOf(s, worst.Cluster); op != "" {
			return "mainstay approve " + op
		}
	case health.SiteChangeHalted:
		return "mainstay site retry, or another of the choices above"
	case health.AppDown, health.AppPoolShort:
		return nextForApp(s, worst)
	case health.SiteLost:
		return nextForSite(s, worst.Site)
	case health.ReplayPaused, health.SlotNotSynchronised, health.SlotLeftBehind:
		return "" // the line has the statement to run
	case health.PendingRestart, health.SettingsTooLow:
		return "" // nothing is wrong: the operator chooses when to restart
	}
	if worst.Cluster == "" {
		return "mainstay controllers list"
	}
	return "mainstay explain " + worst.Cluster
}

func operationOf(s wire.Status, cluster string) string {
	for _, c := range s.Clusters {
		if c.Name == cluster && c.Operation != nil {
			return c.Operation.ID
		}
	}
	return ""
}

// nextForApp is the host of the first instance that is meant and not well.
func nextForApp(s wire.Status, p health.Problem) string {
	for _, a := range s.Apps {
		for _, i := range a.Instances {
			meant := a.Name == p.App && (p.Instance == i.Name || p.Instance == "" && p.Site == i.Site)
			if meant && i.Host != "" && i.Health != health.Well {
				return "mainstay local, on host " + i.Host
			}
		}
	}
	return ""
}

// nextForSite explains the first cluster whose primary is on the site; where there is none, what is left of the controllers.
func nextForSite(s wire.Status, site string) string {
	for _, c := range s.Clusters {
		for _, m := range c.Members {
			if m.Name == c.Primary && m.Site == site {
				return "mainstay explain " + c.Name
			}
		}
	}
	return "mainstay controllers list"
}

func hostOf(s wire.Status, p health.Problem) string {
	for _, c := range s.Clusters {
		for _, m := range c.Members {
			if c.Name == p.Cluster && m.Name == p.Member {
				return m.Host
			}
		}
	}
	return ""
}
