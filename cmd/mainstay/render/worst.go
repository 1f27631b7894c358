package render

import (
	"slices"
	"strings"

	"mainstay/controller/wire"
	"mainstay/health"
)

// severityStyle is the colour of a problem.
func severityStyle(s health.Severity) style {
	switch s {
	case health.Critical:
		return red
	case health.Info:
		return dim
	}
	return yellow
}

// WorstFirst sorts problems by how bad they are; equally bad ones keep their order.
func WorstFirst(ps []health.Problem) []health.Problem {
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b health.Problem) int { return health.Worse(a.Kind, b.Kind) })
	return sorted
}

// nextStep is the command to run next, "" where all is well.
func nextStep(s wire.Status) string {
	switch {
	case s.Leader == "":
		return "mainstay controllers list"
	case s.Platform == "":
		return "mainstay apply -f platform.yaml"
	}
	if len(s.Problems) > 0 {
		worst := WorstFirst(s.Problems)[0]
		for _, c := range s.Clusters {
			if c.Name == worst.Cluster && c.Pause != nil && !c.Pause.Resuming { // Mainstay does nothing about it before that
				return "mainstay resume " + c.Name
			}
		}
		return nextFor(s, worst)
	}
	if reached(s.Controllers) < len(s.Controllers) {
		return "mainstay controllers list"
	}
	return ""
}

// helpTopic is the worst kind of problem that mainstay help knows, "" for none.
func helpTopic(ps []health.Problem) string {
	for _, p := range WorstFirst(ps) {
		if _, known := health.Describe(p.Kind); known {
			return string(p.Kind)
		}
	}
	return ""
}

// nextFor is the next command of a problem's kind with the problem's own names in it. Where a name is not known it is explain of
// the cluster; an app has no explain.
func nextFor(s wire.Status, worst health.Problem) string {
	kind, known := health.Describe(worst.Kind)
	if known && kind.Next == "" {
		return ""
	}
	if next, all := fillIn(kind.Next, map[string]string{"CLUSTER": clusterOf(s, worst), "HOST": hostOf(s, worst),
		"OPERATION": operationOf(s, worst.Cluster)}); known && all {
		return next
	}
	switch {
	case worst.Cluster != "":
		return "mainstay explain " + worst.Cluster
	case worst.App != "":
		return ""
	}
	return "mainstay controllers list"
}

// fillIn replaces the placeholders of a command by names, and tells whether it had a name for each.
func fillIn(command string, names map[string]string) (string, bool) {
	words := strings.Split(command, " ")
	for i, word := range words {
		name, place := names[word]
		if place && name == "" {
			return "", false
		}
		if place {
			words[i] = name
		}
	}
	return strings.Join(words, " "), true
}

func operationOf(s wire.Status, cluster string) string {
	for _, c := range s.Clusters {
		if c.Name == cluster && c.Operation != nil {
			return c.Operation.ID
		}
	}
	return ""
}

// clusterOf is the problem's cluster; for a site, the first cluster whose primary is there.
func clusterOf(s wire.Status, p health.Problem) string {
	if p.Cluster != "" {
		return p.Cluster
	}
	for _, c := range s.Clusters {
		for _, m := range c.Members {
			if p.Site != "" && m.Name == c.Primary && m.Site == p.Site {
				return c.Name
			}
		}
	}
	return ""
}

// hostOf is the host of the problem's member; for an app, that of the first matching instance that is not well.
func hostOf(s wire.Status, p health.Problem) string {
	for _, c := range s.Clusters {
		for _, m := range c.Members {
			if c.Name == p.Cluster && m.Name == p.Member {
				return m.Host
			}
		}
	}
	for _, a := range s.Apps {
		for _, i := range a.Instances {
			meant := a.Name == p.App && (p.Instance == i.Name || p.Instance == "" && p.Site == i.Site)
			if meant && i.Host != "" && i.Health != health.Well {
				return i.Host
			}
		}
	}
	return ""
}
